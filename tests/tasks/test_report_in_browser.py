"""A listening report in a real browser, opened from the disk: what is heard, what is shown, and what is saved."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from math import comb
from pathlib import Path

import pytest

from tasks.exporting.folder import export_folder
from tasks.reporting import report_rows
from tasks.reporting.listening_report import Asked, write_report
from tests.browser import Browser, make_browser
from tests.tasks.output_root import failed_row, write_root
from tests.tasks.reported_root import CONTENT_HZ, CONTENT_S, RESULT_HZ, STYLE_HZ, STYLE_S, heard_row

EVIL = "</script><img src=x onerror=\"window.hacked='yes'\">"
NOTE = 'Wärme, "mehr" davon\n=1+1'

PEAK_HZ = """(() => {
    const analyser = timbreflow.engine.analyser;
    const levels = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(levels);
    const loudest = levels.indexOf(Math.max(...levels));
    return levels[loudest] > -60 ? loudest * analyser.context.sampleRate / analyser.fftSize : 0;
})()"""
"""The loudest frequency of what comes out of the page, Hz; 0 for silence."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start a browser for these tests."""
    browser = make_browser(tmp_path_factory.mktemp("downloads"))
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a root with five pairs that succeeded, one of them of a style that is gone, and two not."""
    folder = str(tmp_path_factory.mktemp("reported"))
    settings = ['{"strength": 0.5}', '{"strength": 1.0}']
    rows = [
        heard_row(folder, "best", settings=settings[1]),
        heard_row(folder, "worst", settings=settings[0], timbre_transfer=0.1, rhythm_kept=0.2, melody_kept=None),
        heard_row(folder, EVIL, content=f"a{EVIL.replace('/', '_')}", timbre_transfer=0.4),
        heard_row(folder, "lonely", style="gone", timbre_transfer=0.3),
        heard_row(folder, "drums", content="drums", style="bell", timbre_transfer=0.2, mood=f"loud {EVIL}"),
        {**failed_row("broken"), "error_message": EVIL},
        {**failed_row("silent"), "error_type": "silent", "error_message": "the sound is silence"},
    ]
    write_root(f"{folder}/root", rows)
    Path(folder, "sounds", "gone.wav").unlink()
    write_report(f"{folder}/root")
    return Path(folder, "root", "report", "index.html")


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Browser]:
    """Open the report; whatever a test does with it, the console has nothing to say."""
    browser.open(report.as_uri())
    browser.wait(lambda: browser.value("timbreflow.engine.chosen"))
    yield browser
    assert browser.console() == []


def hears(page: Browser, hz: float) -> bool:
    return abs(page.value(PEAK_HZ) - hz) < 50


def shown_rows(page: Browser) -> list[str]:
    """Return the pairs of the table as they stand there."""
    names: list[str] = page.value(
        "[...document.querySelectorAll('#list tbody td.name button')].map((one) => one.title)"
    )
    return names


def test_the_best_pair_is_shown_in_words_and_pictures(page: Browser) -> None:
    assert page.value("document.querySelector('#player h3').textContent") == "best"
    assert page.value("document.querySelector('.words').textContent") == (
        "87 % of the way to the style's timbre; dynamics and melody kept; rhythm mostly kept; audible leak"
    )
    loaded = "[...document.querySelectorAll('.lane img')].map((one) => one.complete && one.naturalWidth)"
    page.wait(lambda: page.value(loaded) == [400, 400, 400])
    assert page.value("document.querySelector('.verdict').textContent") == "2 of 7 pairs failed"
    spectrogram = page.value("document.querySelector('.lane.result img').src")
    page.press("d")
    assert page.value("document.querySelector('.lane.result img').src") != spectrogram
    page.press("d")
    assert page.value("document.querySelector('.lane.result img').src") == spectrogram


def test_all_three_are_heard_and_the_position_is_kept(page: Browser) -> None:
    page.press("r", " ")
    page.wait(lambda: hears(page, RESULT_HZ))
    positions = [page.value("timbreflow.engine.position()")]
    for key, hz in (("a", CONTENT_HZ), ("b", STYLE_HZ), ("c", RESULT_HZ), ("a", CONTENT_HZ)):
        page.press(key)
        page.wait(lambda hz=hz: hears(page, hz))
        positions.append(page.value("timbreflow.engine.position()"))
    assert positions == sorted(positions)
    gains = {one["name"]: one["gain"] for one in page.value("timbreflow.engine.players()")}
    assert gains["content"] > 0
    assert (gains["style"], gains["result"]) == (0, 0)
    places = page.value("timbreflow.engine.places()")
    assert places["content"] == places["result"]
    page.press(" ")
    stopped = page.value("timbreflow.engine.position()")
    time.sleep(0.1)
    assert page.value("timbreflow.engine.position()") == stopped
    page.press("r")


def test_nothing_sounds_before_a_key_and_no_browser_complains(report: Path, tmp_path: Path) -> None:
    browser = make_browser(tmp_path, policy="document-user-activation-required")
    try:
        browser.open(report.as_uri())
        browser.wait(lambda: browser.value("timbreflow.engine.chosen"))
        assert browser.console() == []
        browser.press(" ")
        browser.wait(lambda: hears(browser, RESULT_HZ))
    finally:
        browser.driver.quit()


def test_a_signed_report_is_heard_without_credentials(browser: Browser, s3: str) -> None:
    write_root(f"{s3}/root", [heard_row(s3, "a"), heard_row(s3, "b")])
    for embedded in (1, 0):
        browser.open(write_report(f"{s3}/root", Asked(most=embedded, presign_hours=1.0)).address)
        browser.wait(lambda: browser.value("timbreflow.engine.has('content')"))
        browser.press("r", "a")
        browser.wait(lambda: hears(browser, CONTENT_HZ))
        browser.press(" ", "r")
        assert browser.console() == []


def test_tracks_are_in_step_to_the_sample(page: Browser) -> None:
    """The same sound on two tracks, one of them turned over, cancels out: any shift would be heard."""
    level = page.driver.execute_async_script(
        """
        const done = arguments[0], engine = timbreflow.engine;
        (async () => {
            const key = timbreflow.data.pairs[timbreflow.data.best[0]].tracks.content.sound;
            await engine.load([{ name: "one", key }, { name: "other", key }], "one");
            await engine.play();
            const gains = engine.gainNodes();
            gains[0].gain.value = 1; gains[1].gain.value = -1;
            await new Promise((resolve) => setTimeout(resolve, 300));
            const samples = new Float32Array(engine.analyser.fftSize);
            engine.analyser.getFloatTimeDomainData(samples);
            const both = Math.max(...samples.map(Math.abs));
            gains[1].gain.value = 0;
            await new Promise((resolve) => setTimeout(resolve, 300));
            engine.analyser.getFloatTimeDomainData(samples);
            done([both, Math.max(...samples.map(Math.abs))]);
        })();
        """
    )
    assert level[0] < 1e-3 < 0.1 < level[1]


def test_a_click_into_a_picture_goes_there_and_a_shorter_sound_repeats(page: Browser) -> None:
    page.driver.execute_script(
        """
        const area = document.querySelector('.lane.content .area'), box = area.getBoundingClientRect();
        area.dispatchEvent(new PointerEvent('pointerdown',
            { clientX: box.left + box.width * 0.75, clientY: box.top + 5, pointerId: 1, bubbles: true }));
        """
    )
    assert page.value("timbreflow.engine.position()") == pytest.approx(0.75 * CONTENT_S, abs=0.02)
    assert page.value("timbreflow.engine.chosen") == "content"
    assert page.value("timbreflow.engine.places().style") == pytest.approx(0.75 * CONTENT_S - STYLE_S, abs=0.02)
    page.press("\ue012")  # arrow to the left
    assert page.value("timbreflow.engine.position()") == 0
    page.press("\ue014")
    assert page.value("timbreflow.engine.position()") == pytest.approx(CONTENT_S - 0.01)


def test_the_table_sorts_filters_and_searches(page: Browser) -> None:
    assert shown_rows(page) == ["best", EVIL, "lonely", "drums", "worst", "broken", "silent"]
    page.click("th[data-column=pair_id] button")
    assert shown_rows(page) == [EVIL, "best", "broken", "drums", "lonely", "silent", "worst"]
    page.click("th[data-column=timbre_transfer] button")
    page.click("th[data-column=timbre_transfer] button")
    assert shown_rows(page) == ["worst", "drums", "lonely", EVIL, "best", "broken", "silent"]
    assert page.value("document.querySelector('th[data-column=timbre_transfer]').ariaSort") == "ascending"

    def typed(selector: str, value: str, kind: str) -> list[str]:
        change = "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
        page.driver.execute_script(f"{change} field.dispatchEvent(new Event(arguments[2]))", selector, value, kind)
        page.driver.execute_async_script("setTimeout(arguments[0], 30)")
        return shown_rows(page)

    assert typed("#set", "failed", "change") == ["broken", "silent"]
    assert typed("#search", "SILENCE", "input") == ["silent"]
    assert typed("#search", "", "input") == ["broken", "silent"]
    assert typed("#set", "all", "change")[0] == "worst"
    assert typed("#search", "loud", "input") == ["drums"]
    page.click("#list tbody button")
    assert page.value("document.querySelector('.own').textContent") == f"mood loud {EVIL}"
    page.click(".play")
    assert typed("#search", "", "input")[0] == "worst"
    assert typed("#figure", "timbre_transfer", "change")[0] == "worst"
    assert typed("[data-bound=least]", "0.25", "input") == ["lonely", EVIL, "best"]
    assert typed("[data-bound=most]", "0.35", "input") == ["lonely"]


def test_what_names_and_errors_hold_is_text(page: Browser) -> None:
    page.click("tr[data-row='2'] button")
    assert page.value("document.querySelector('#player h3').textContent") == EVIL
    page.click("tr[data-row='5'] button")
    assert EVIL in page.value("document.querySelector('#player .problem').textContent")
    assert EVIL in page.value("document.querySelector('.failures').textContent")
    assert page.value("window.hacked") is None
    assert page.value("document.querySelectorAll('img[src=x]').length") == 0


def test_a_pair_whose_style_is_gone_is_heard_without_it(page: Browser) -> None:
    page.click("tr[data-row='3'] button")
    page.wait(lambda: hears(page, RESULT_HZ))
    assert "does not exist" in page.value("document.querySelector('.lane.style .silent').textContent")
    page.press("b")
    assert page.value("timbreflow.engine.chosen") == "result"
    page.press("a")
    assert page.value("timbreflow.engine.chosen") == "content"


def test_cells_of_the_matrix_are_heard_and_reached_by_keys(page: Browser) -> None:
    choose = "const choice = document.querySelector('#matrix select'); choice.value = 'timbre_transfer';"
    page.driver.execute_script(f"{choose} choice.dispatchEvent(new Event('change'))")
    cells = page.value("[...document.querySelectorAll('.matrix td button')].map((one) => one.ariaLabel)")
    assert "drums in the style of bell: 0.20" in cells
    assert any(cell.startswith("voice in the style of glass: 0.48") for cell in cells)  # the mean of two
    page.click(".matrix [aria-label^='drums']")
    page.wait(lambda: hears(page, RESULT_HZ))
    assert page.value("timbreflow.player.pair") == "drums"
    page.driver.execute_script("document.querySelector('.matrix td button').focus()")
    focused = "document.activeElement.ariaLabel.split(':')[0]"
    page.press("\ue014")  # to the right
    assert page.value(focused) == "voice in the style of gone"
    page.press("\ue015")  # down, where nothing is
    assert page.value(focused) == "voice in the style of gone"


def test_stars_and_notes_stay_are_saved_and_choose_what_is_exported(
    page: Browser, report: Path, tmp_path: Path
) -> None:
    page.press("s")
    page.click("tr[data-row='2'] button")
    write = "const note = document.getElementById('note'); note.value = arguments[0];"
    page.driver.execute_script(f"{write} note.dispatchEvent(new Event('input'))", NOTE)
    page.open(report.as_uri())
    assert page.value("document.querySelector('#player .star').ariaPressed") == "true"
    page.click("#save-stars")
    saved = page.download("starred.csv")
    with saved.open(encoding="utf-8", newline="") as text:
        assert list(csv.reader(text)) == [["pair_id", "star", "note"], ["best", "1", ""], [EVIL, "0", NOTE]]
    export_folder(str(report.parents[1]), str(tmp_path / "names"), "{pair_id}", starred=str(saved))
    assert [path.name for path in (tmp_path / "names").glob("*.flac")] == ["best.flac"]


def test_a_blind_test_ends_in_a_csv(page: Browser) -> None:
    page.click("#blind-start")
    page.wait(lambda: page.value("timbreflow.engine.chosen === 'X'"))
    hidden = page.value("document.getElementById('blind-body').innerText")
    assert "strength" not in hidden
    page.press(" ")
    page.wait(lambda: hears(page, RESULT_HZ))
    page.press("y")
    page.wait(lambda: page.value("timbreflow.engine.chosen === 'Y'"))
    page.click("[data-answer='X is better']")
    page.wait(lambda: page.value("document.getElementById('blind-p')"))
    page.click("#blind-save")
    with page.download("blind-test.csv").open(encoding="utf-8", newline="") as text:
        (answer,) = csv.DictReader(text)
    assert {answer["x"], answer["y"]} == {"strength 0.5", "strength 1.0"}
    assert answer["preferred"] == answer["x"]
    assert (answer["pair_id"], answer["other_pair_id"], answer["p"]) == ("worst", "best", "1.000")


def test_the_binomial_test_is_exact(page: Browser) -> None:
    for preferred, answers in ((0, 0), (1, 1), (5, 10), (9, 10), (1, 12), (33, 50), (700, 1_000)):
        clear = max(preferred, answers - preferred)
        tail = Fraction(sum(comb(answers, count) for count in range(clear, answers + 1)), 2**answers)
        expected = min(1.0, float(2 * tail))
        assert page.value(f"timbreflow.binomialP({preferred}, {answers})") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("where", ["disk", "web"])
def test_a_pair_that_is_only_linked_is_heard_too(browser: Browser, tmp_path: Path, where: str) -> None:
    folder = str(tmp_path)
    write_root(f"{folder}/root", [heard_row(folder, "a", content="my #1 voice", content_start_s=0.2)])
    write_report(f"{folder}/root", Asked(most=0))
    handler = partial(_Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = Path(folder, "root/report/index.html")
        address = f"http://127.0.0.1:{server.server_port}/root/report/" if where == "web" else page.as_uri()
        browser.open(address)
        browser.wait(lambda: browser.value("timbreflow.engine.has('content')"))
        browser.press("r", "a")
        browser.wait(lambda: browser.value("timbreflow.engine.position()") > 0.3)
        players = {one["name"]: one for one in browser.value("timbreflow.engine.players()")}
        assert (players["content"]["gain"] > 0, players["result"]["gain"]) == (True, 0)
        if where == "web":
            browser.wait(lambda: hears(browser, CONTENT_HZ))
        else:
            browser.wait(lambda: browser.value("timbreflow.engine.players()[0].time") > 0.3)
            assert browser.value("timbreflow.engine.lengthOf('content')") == pytest.approx(CONTENT_S - 0.2, abs=0.01)
        browser.click(".play")
        server.shutdown()
    assert browser.console() == []


def test_a_large_table_comes_in_pieces_and_pages(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_rows, "PIECE_ROWS", 100)
    write_root(str(tmp_path), [failed_row(f"pair {number:03d}") for number in reversed(range(330))])
    write_report(str(tmp_path))
    browser.open((tmp_path / "report/index.html").as_uri())
    assert shown_rows(browser)[0] == "pair 329"
    browser.click("th[data-column=pair_id] button")
    assert shown_rows(browser) == [f"pair {number:03d}" for number in range(50)]
    browser.click(".pages button:nth-of-type(4)")
    assert shown_rows(browser) == [f"pair {number:03d}" for number in range(300, 330)]
    browser.click(".pages button:nth-of-type(2)")
    assert browser.value("document.querySelector('.pages span').textContent") == "251 to 300"
    browser.click("tbody tr:last-child button")
    browser.press("\ue015")  # to the next pair, which is on the next page
    assert browser.value("document.querySelector('#player h3').textContent") == "pair 300"
    assert shown_rows(browser)[0] == "pair 300"


@pytest.mark.parametrize("failed", [0, 2])
def test_a_table_without_results_has_a_page_too(browser: Browser, tmp_path: Path, failed: int) -> None:
    write_root(str(tmp_path), [failed_row(f"f{number}") for number in range(failed)])
    write_report(str(tmp_path))
    browser.open((tmp_path / "report/index.html").as_uri())
    browser.press("a", " ", "\ue015", "d", "s", "r")
    assert browser.value("document.querySelector('#list .count').textContent") == f"{failed} pairs of {failed}."
    assert len(shown_rows(browser)) == failed
    assert browser.console() == []


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


CONTRAST = """((selectors) => {
    const luminance = (colour) => {
        const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
        const linear = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const behind = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if (colour.startsWith('rgb(')) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    return selectors.map((selector) => {
        const element = document.querySelector(selector);
        const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
        return [selector, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    });
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_legible_and_named_on_any_screen(browser: Browser, report: Path, width: int, scheme: str) -> None:
    browser.open(report.as_uri(), width, scheme)
    assert browser.value("document.documentElement.scrollWidth") <= width
    texts = [
        ".verdict",
        ".tiles dt",
        ".words",
        ".ear .what",
        ".figures dt",
        ".list td.error",
        ".hint",
        ".where",
        "footer",
    ]
    texts += [".lane.content kbd", ".lane.style kbd", ".toggle", ".list th button", ".list td.figure", "a[href]"]
    for selector, contrast in browser.value(f"{CONTRAST}({texts})"):
        assert contrast >= 4.5, selector
    nameless = """[...document.querySelectorAll('button, input, select, textarea')].filter((one) =>
        !(one.textContent.trim() && one.tagName === 'BUTTON' || one.ariaLabel || one.closest('label')))"""
    assert browser.value(f"{nameless}.map((one) => one.outerHTML)") == []
    pictures = "[...document.querySelectorAll('svg, img')].filter((one) => !one.ariaLabel && !one.alt).length"
    assert browser.value(pictures) == 0
    assert browser.console() == []
