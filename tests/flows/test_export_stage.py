"""The export after a run and by its own command: when it is done, what is said of it, and its exit codes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.export_stage import ExportedRun, exported_results
from flows.terminal_tables import run_report
from stylecore.settings import Settings
from tasks.exporting.export_errors import ExportError
from tasks.ledger.close import Run, RunSummary
from tasks.options import RunOptions
from tests.tasks.output_root import exported_row, failed_row, files_in, put, write_root

COUNTS = {"up_to_date": 2, "audio_missing": 0, "failed_before": 0, "beyond_limit": 0, "other_shards": 0}


def ended(root: Path, without_result: int | None = 0, **options: object) -> tuple[Run, RunSummary]:
    """Return a run that had nothing to compute."""
    run = Run("r1", "/m.parquet", str(root), Settings(), RunOptions(**options), datetime.now(UTC))  # type: ignore[arg-type]
    summary = RunSummary("r1", "completed", 0, 0, COUNTS, {}, 1.0, f"{root}/results.parquet", None, without_result)
    return run, summary


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [exported_row(name, duration_s=1.0, sample_rate=16_000) for name in "ab"]
    write_root(str(tmp_path / "root"), [*rows, failed_row("c")])
    return tmp_path / "root"


def export(root: Path, *more: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", "folder", str(root), str(root.parent / "names"), *more])
    return result.exit_code, result.output


def test_a_run_that_computed_nothing_exports_all_the_same(root: Path, tmp_path: Path) -> None:
    names = str(tmp_path / "names")
    told = exported_results(*ended(root, export=names, name="{pair_id}"))
    assert isinstance(told, ExportedRun)
    assert told.exported == f"2 files in {names} (2 linked)"
    assert run_report(told).plain == run_report(ended(root)[1]).plain
    assert list(files_in(names)) == ["a.flac", "b.flac"]
    told = exported_results(*ended(root, export=names, name="{pair_id}", copies=True))
    assert isinstance(told, ExportedRun)
    assert told.exported == f"2 files in {names} (2 there already)"


def test_without_being_asked_or_without_a_table_nothing_is_exported(root: Path, tmp_path: Path) -> None:
    run, summary = ended(root)
    assert exported_results(run, summary) is summary
    told = exported_results(*ended(root, without_result=None, export=str(tmp_path / "names")))
    assert isinstance(told, ExportedRun)
    assert "the last of the runs on other shards" in told.exported
    assert not (tmp_path / "names").exists()


def test_an_export_that_fails_says_that_the_results_are_there(root: Path, tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(b"a file by now")
    with pytest.raises(ExportError, match=r"^the results are complete, but .* `timbreflow export folder .* goes on"):
        exported_results(*ended(root, export=str(tmp_path / "names")))


def test_the_command_exports_and_says_what_it_did_in_a_line(root: Path) -> None:
    names = str(root.parent / "names")
    assert export(root, "--name", "{pair_id}") == (0, f"2 files in {names} (2 linked)\n")
    assert export(root, "--name", "{pair_id}") == (0, f"2 files in {names} (2 there already)\n")
    assert export(root, "--name", "x{pair_id}") == (0, f"2 files in {names} (2 linked), 2 removed\n")
    put(names, "xa.wav", b"mine")
    next((root / "audio").rglob("*.flac")).unlink()
    (root.parent / "names" / "xa.flac").unlink()
    (root.parent / "names" / "xb.flac").unlink()
    code, said = export(root, "--name", "x{pair_id}")
    assert code == 1
    assert "1 file in" in said
    assert "1 have no audio any more" in said


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("hf", "2 pairs in 1 file in {}"),
        ("webdataset", "2 pairs in 1 file in {}"),
        ("reaper", "2 pairs in {}/timbreflow.RPP; 4 sounds are gone or have changed since, and are left out"),
    ],
)
def test_other_kinds_say_what_they_did_and_whether_something_is_missing(
    kind: str, told: str, root: Path, tmp_path: Path
) -> None:
    def called(dest: str, *more: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["export", kind, str(root), str(tmp_path / dest), *more])
        return result.exit_code, result.output

    assert called("new") == (int("gone" in told), told.format(tmp_path / "new") + "\n")
    next((root / "audio").rglob("*.flac")).unlink()
    code, said = called("later")
    assert code == 1
    assert "1 have no audio any more" in said or "5 sounds are gone" in said
    put(str(tmp_path / "mine"), "a.txt", b"mine")
    code, said = called("mine")
    assert (code, "no export has made" in said) == (2, True)


@pytest.mark.parametrize("kind", ["hf", "webdataset", "reaper"])
def test_other_kinds_take_stars(kind: str, tmp_path: Path) -> None:
    rows = [exported_row(name, duration_s=1.0, sample_rate=16_000) for name in ("a", "it's", "c")]
    write_root(str(tmp_path / "root"), rows)

    def starring(*ids: str) -> tuple[int, str]:
        (tmp_path / "stars.csv").write_text("pair_id,star\nc,\n" + "".join(f"{one},1\n" for one in ids))
        call = ["export", kind, str(tmp_path / "root"), str(tmp_path / "new"), "--starred", str(tmp_path / "stars.csv")]
        result = CliRunner().invoke(app, call)
        return result.exit_code, result.output

    assert starring("it's")[1].startswith("1 pair in ")
    assert starring("a", "it's")[1].startswith("2 pairs in ")
    code, said = starring("other")
    assert (code, "Are they of another root?" in said) == (2, True)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--name", "{genr}"], "Error: name='{genr}': unknown field 'genr'; known are content, style"),
        (["--name", ""], "Error: name=''"),
    ],
)
def test_a_wrong_template_is_refused(root: Path, more: list[str], told: str) -> None:
    code, said = export(root, *more)
    assert (code, said[: len(told)]) == (2, told)
    assert not (root.parent / "names").exists()


def test_a_run_refuses_a_wrong_export_at_once(root: Path, tmp_path: Path) -> None:
    def run(*more: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["run", "manifests/examples/demo.parquet", str(root), *more])
        return result.exit_code, result.output

    code, said = run("--export", str(tmp_path / "names"), "--name", "{genre}")
    assert (code, said.partition(";")[0]) == (2, "Error: name='{genre}': unknown field 'genre'")
    code, said = run("--export", str(root / "audio"))
    assert code == 2
    assert "the results themselves" in said
    assert run("--name", "{pair_id}") == (
        2,
        "Error: name='{pair_id}': names exported files; say with export=FOLDER where they go\n",
    )
