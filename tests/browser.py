"""A browser for the tests of pages: Debian's Chromium, without a window, driven by selenium."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NEEDED = ("chromium", "chromedriver")


class Browser:
    """A Chromium that keeps its downloads in a folder, and what its console says; pages may play without a key."""

    def __init__(self, downloads: Path, policy: str = "no-user-gesture-required") -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
            options.add_argument(f"--{argument}")
        options.add_argument(f"--autoplay-policy={policy}")
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.downloads = downloads

    def open(self, address: str, width: int = 1280, scheme: str = "light") -> None:
        """Open a report in a window of that width, and wait until all of it is there."""
        size = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.get("about:blank")
        self.console()
        self.driver.get(address)
        self.wait(lambda: self.value("timbreflow.isReady"))

    def value(self, expression: str) -> Any:
        """Return the value of an expression of the page."""
        return self.driver.execute_script(f"return ({expression})")

    def click(self, selector: str) -> None:
        """Click the first element that is selected."""
        self.driver.execute_script("document.querySelector(arguments[0]).click()", selector)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def wait(self, condition: Callable[[], Any], seconds: float = 15.0) -> Any:
        """Wait until something is so, and return it; fail if it is not in time."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, "the page did not get there"
            time.sleep(0.02)
        return found

    def download(self, name: str) -> Path:
        """Wait for a download."""
        path = self.downloads / name
        self.wait(lambda: path.exists() and path.stat().st_size)
        return path

    def console(self) -> list[str]:
        """Return what the console said since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


def make_browser(downloads: Path, **options: str) -> Browser:
    """Return a browser; skip the test where there is none."""
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        pytest.skip(f"no {' and '.join(missing)}: `apt-get install chromium chromium-driver`")
    pytest.importorskip("selenium", reason="no selenium: `pip install '.[dev]'`")
    return Browser(downloads, **options)
