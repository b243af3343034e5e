"""The report after a run and by its own command: when it is written, and that it never decides how a run ended."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.report_stage import ReportedRun, reported_results
from tests.flows.test_export_stage import ended
from tests.tasks.output_root import failed_row, write_root
from tests.tasks.reported_root import heard_row


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_root(str(tmp_path / "root"), [heard_row(str(tmp_path), "a"), failed_row("b")])
    return tmp_path / "root"


def report(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["report", *arguments])
    return result.exit_code, result.output


def test_a_run_that_has_ended_says_where_its_report_is(root: Path) -> None:
    told = reported_results(*ended(root))
    assert isinstance(told, ReportedRun)
    assert told.report == f"{root}/report/index.html"
    assert Path(told.report).exists()


def test_without_being_asked_or_without_a_table_nothing_is_written(root: Path) -> None:
    for run, summary in (ended(root, report=0), ended(root, without_result=None)):
        assert reported_results(run, summary) is summary
    assert not (root / "report").exists()


@pytest.mark.parametrize("fault", ["a file in its place", "a damaged table"])
def test_a_report_that_fails_is_a_warning(root: Path, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    if fault == "a damaged table":
        (root / "results.parquet").write_bytes(b"PAR1 no table")
    else:
        (root / "report").write_bytes(b"mine")
    run, summary = ended(root)
    with caplog.at_level(logging.WARNING):
        assert reported_results(run, summary) is summary
    assert "the results are complete, but their report is not" in caplog.text
    assert f"`timbreflow report {root}` writes it" in caplog.text


def test_the_command_writes_it_and_says_where(root: Path) -> None:
    code, said = report(str(root), "--best", "3", "--by", "timbre_transfer")
    assert code == 0
    assert said.startswith(f"{root}/report/index.html (2 pairs, 1 with their sound, ")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--by", "beauty"], "Error: by='beauty': no figure. Use one of balance, "),
        (["--presign", "2"], "Error: presign=2: '"),
        (["--against", "nowhere"], "no results yet"),
    ],
)
def test_what_cannot_be_done_is_refused(root: Path, more: list[str], told: str) -> None:
    code, said = report(str(root), *more)
    assert code == 2
    assert told in said


def test_an_export_never_goes_into_a_report(root: Path) -> None:
    result = CliRunner().invoke(app, ["export", "folder", str(root), str(root / "report")])
    assert result.exit_code == 2
    assert "the results themselves are there" in result.output
