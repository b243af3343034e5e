"""`timbreflow results` with conditions, and `timbreflow compare`, as a user types them."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from flows.terminal import console
from manifests.results.layout import latest_uri, write_part
from tasks.storage.storage import Storage
from tests.conftest import Typed
from tests.manifests.result_rows import succeeded
from tests.tasks.test_overview import failed


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make two output roots, `one` and `other`, with a table each."""
    monkeypatch.chdir(tmp_path)
    for name, shift in (("one", 0.0), ("other", 0.1)):
        rows = [succeeded(f"p{k:02d}", rhythm_kept=0.01 * k + shift * (1 + 0.1 * (-1) ** k)) for k in range(60)]
        files, root = Storage(), str(tmp_path / name)
        part = write_part(files, root, "r1", 0, [*rows, failed("bad", "missing", "no such file")])
        with files.writing(latest_uri(root)) as sink:
            sink.write(files.read(part))


def test_rows_by_a_condition(typed: Typed, roots: None) -> None:
    code, said = typed("results", "one", "--where", "rhythm_kept > 0.57", "--sort", "pair_id desc")
    assert code == 0
    assert [name for name in ("p59", "p58", "p57", "p56") if name in said] == ["p59", "p58", "p57"]
    assert said.index("p59") < said.index("p58")


def test_csv_has_all_rows_and_the_columns_that_are_named(typed: Typed, roots: None) -> None:
    code, said = typed("results", "one", "--csv", "--columns", "pair_id, rhythm_kept", "--status", "succeeded")
    table = pd.read_csv(StringIO(said))
    assert code == 0
    assert table.columns.tolist() == ["pair_id", "rhythm_kept"]
    assert len(table) == 60


def test_without_a_limit_it_says_that_there_are_more(typed: Typed, roots: None) -> None:
    said = typed("results", "one", "--columns", "pair_id")[1]
    assert "p49" in said
    assert "p50" not in said
    assert "The first 50 rows; --limit shows more, --csv all." in said
    assert "p59" in typed("results", "one", "--columns", "pair_id", "--limit", "60")[1]


def test_no_rows(typed: Typed, roots: None) -> None:
    assert typed("results", "one", "--where", "rhythm_kept > 9") == (0, "No rows.\n")


def test_a_status_that_no_pair_has(typed: Typed, roots: None, tmp_path: Path) -> None:
    files, root = Storage(), str(tmp_path / "good")
    part = write_part(files, root, "r1", 0, [succeeded("00" * 32)])
    with files.writing(latest_uri(root)) as sink:
        sink.write(files.read(part))
    assert typed("results", "good", "--status", "failed") == (0, "No pair has failed.\n")


def test_what_is_no_condition_is_refused(typed: Typed, roots: None) -> None:
    code, said = typed("results", "one", "--where", "rhythm_kept >")
    assert code == 2
    assert said.startswith("Error: ")
    assert "Traceback" not in said


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_two_results_beside_each_other(
    typed: Typed, roots: None, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """However narrow the terminal is, no figure is cut."""
    monkeypatch.setattr(console, "_width", columns)
    code, said = typed("compare", "one", "other")
    assert code == 0
    assert "60 pairs in both, matched by pair_id; 60 and 60 succeeded." in " ".join(said.split())
    (line,) = [line for line in said.splitlines() if "rhythm_kept" in line]
    assert "+0.100" in line
    assert ("●" in line) == (columns > 40)


def test_their_differences_as_csv(typed: Typed, roots: None) -> None:
    table = pd.read_csv(StringIO(typed("compare", "one", "other", "--csv")[1])).set_index("figure")
    assert table.loc["rhythm_kept", "difference"] == pytest.approx(0.1)
    assert table.loc["rhythm_kept", "pairs"] == 60


def test_results_that_share_nothing_are_refused(typed: Typed, roots: None, tmp_path: Path) -> None:
    rows = [succeeded("elsewhere", content="/other.wav", rhythm_kept=0.5)]
    part = write_part(Storage(), str(tmp_path / "third"), "r1", 0, rows)
    code, said = typed("compare", "one", part)
    assert code == 2
    assert "share no succeeded pair" in said
