"""Results in a terminal of 80 columns, in a narrower one, and in a pipe: no figure is cut, nothing else is wrapped."""

from __future__ import annotations

import io
import re
from collections import Counter

import pytest
from rich.console import Console

from flows.results_view import failures, listening, succeeded
from flows.terminal import ANY_WIDTH
from flows.terminal_tables import duration
from tasks.ledger.query import SHOWN, Overview, Reason

NAME = "a-phrase-of-many-notes__a-style-with-a-long-name-too"
FIGURE = re.compile(r"-?\d+\.\d\d?$|-$")


def overview(count: int = 3, figure: float = -12.345) -> Overview:
    row = {"pair_id": NAME, "output": f"/out/{NAME}.flac", "fingerprint": "ab", "seconds_total": 1234.56}
    rows = [{**row, **dict.fromkeys(SHOWN, figure), "melody_kept": None} for _ in range(count)]
    return Overview(rows, 7, means={**dict.fromkeys(SHOWN, figure), "melody_kept": None})


def shown(found: Overview, width: int) -> list[str]:
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    terminal.print(succeeded(found, width), crop=False)
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 200, ANY_WIDTH])
def test_figures_are_whole_at_any_width(width: int) -> None:
    lines = shown(overview(), width)
    told = [line.split()[-8:] for line in lines if "-12.3" in line]
    assert len(told) == 4
    for cells in told[:3]:
        assert all(FIGURE.match(cell) for cell in cells)
        assert cells[:2] == ["-12.35", "-12.35"]
    assert not any("…" in line or "..." in line for line in lines)
    if width >= 80:
        assert max(map(len, lines)) <= width


def test_a_long_name_is_folded_in_a_terminal_and_whole_in_a_pipe() -> None:
    assert not any(NAME in line for line in shown(overview(1), 80))
    (line,) = (line for line in shown(overview(1), ANY_WIDTH) if NAME in line)
    assert line.split()[0] == NAME


def test_failures_come_by_cause_the_most_frequent_first() -> None:
    reasons = {
        "silent": {"'/y.wav' is silent": Reason(1, ["s"])},
        "missing": {"'/a.wav' does not exist": Reason(1, ["p"]), "'/b.wav' does not exist": Reason(5, ["q", "r", "s"])},
    }
    found = Overview(succeeded=2, failed=Counter(silent=1, missing=6), reasons=reasons)
    lines = failures(found, 1).plain.splitlines()
    assert lines[0] == "7 of 9 pairs FAILED"
    assert lines[1].startswith("  missing, 6 pairs: the sound does not exist")
    assert lines[2] == "    '/b.wav' does not exist  [q, r, s and 2 more]"
    assert lines[3] == "    and 1 pair more"
    assert lines[4].startswith("  silent, 1 pair: ")
    assert failures(Overview(succeeded=2), 5).plain == ""


def test_audio_that_is_gone_is_told_of() -> None:
    found = overview(1)
    assert f"{NAME}: /out/{NAME}.flac" in listening(found).plain
    found.missing = frozenset({"ab"})
    said = listening(found).plain
    assert f"{NAME}: no audio any more" in said
    assert "1 of 7 succeeded pairs have no audio any more" in said


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.0 s"), (3.21, "3.2 s"), (42.0, "42 s"), (300.0, "5.0 min"), (86_400.0, "24.0 h")]
)
def test_a_time_is_told_in_the_unit_in_which_it_reads_well(seconds: float, told: str) -> None:
    assert duration(seconds) == told
