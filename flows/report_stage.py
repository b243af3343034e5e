"""The listening report after a run: a page beside the results, which never decides how the run ended."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tasks.ledger.close import Run, RunSummary
from tasks.logs import get_logger


@dataclass(frozen=True)
class ReportedRun(RunSummary):
    """How a run ended, and where its listening report is."""

    report: str = ""


def reported_results(run: Run, summary: RunSummary) -> RunSummary:
    """Write the listening report of a run that has ended, unless its options say no, and return where it is.

    Where other slices are at work still there is no table yet: the last of them writes it. What goes wrong is logged.
    """
    if not run.options.report or summary.without_result is None:
        return summary
    from tasks.reporting.listening_report import Asked, write_report

    try:
        written = write_report(run.output, Asked(most=run.options.report))
    except Exception as error:
        remedy = f"`timbreflow report {run.output}` writes it"
        get_logger("timbreflow.report").warning(
            "the results are complete, but their report is not: %s. %s", error, remedy
        )
        return summary
    told = {field.name: getattr(summary, field.name) for field in fields(summary)}
    return ReportedRun(**told, report=written.address)
