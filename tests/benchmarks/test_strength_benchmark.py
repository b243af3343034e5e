"""The slider: every strength is measured, and on the evaluation set more of it is further from the content."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.marked_tables import DOCS
from benchmarks.sound import strength
from tests.benchmarks.conftest import QUICK


def test_every_strength_is_measured_beside_the_content(pairs_csv: Path, tmp_path: Path) -> None:
    strength.main(["--pairs", str(pairs_csv), "--out", str(tmp_path), *QUICK])
    means = json.loads((tmp_path / "strength.json").read_text())["means"]
    assert list(means) == ["strength-0", "strength-0.25", "strength-0.5", "strength-0.75", "strength-1"]
    timbre = [row["timbre_transfer"] for row in means.values()]
    assert timbre[0] == pytest.approx(0, abs=1e-6)
    assert len(set(timbre)) == 5


def test_on_the_evaluation_set_timbre_grows_and_what_is_kept_falls_with_strength() -> None:
    """The table is the benchmark's own; it is looked at here so that no later one is put there unseen."""
    block = re.search(r"<!-- strength -->\n(.*?)<!-- end", (DOCS / "method.md").read_text(), re.DOTALL)
    assert block is not None
    header, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in block[1].splitlines() if line[:1] == "|"
    ]

    def column(name: str) -> list[float]:
        return [float(line[header.index(name)]) for line in lines]

    assert len(lines) == 5
    assert all(after > before for before, after in pairwise(column("timbre")))
    for name in ("rhythm", "dynamics", "pitch", "melody"):
        assert all(after <= before for before, after in pairwise(column(name)))
    assert all(after >= before for before, after in pairwise(column("texture")))
