"""The export after a run, if one was asked for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from flows.export_display import shown_export
from flows.report_stage import ReportedRun
from manifests.schema import ManifestError
from tasks.exporting.export_errors import ExportError
from tasks.exporting.folder import export_folder
from tasks.ledger.close import Run, RunSummary


@dataclass(frozen=True)
class ExportedRun(ReportedRun):
    """How a run ended, and in a sentence what its export did."""

    exported: str = ""


def exported_results(run: Run, summary: RunSummary) -> RunSummary:
    """Export the results of a run that has ended, if its options say so, and return its summary with what came of it.

    Raises
    ------
    ExportError
        If that fails: the results are there all the same.
    """
    options = run.options
    if options.export is None:
        return summary
    if summary.without_result is None:
        return _with(summary, "nothing yet; the last of the runs on other shards does it, if asked to")
    try:
        with shown_export() as progress:
            exported = export_folder(run.output, options.export, options.name, options.copies, progress)
    except (ExportError, ManifestError, OSError) as error:
        raise ExportError(
            f"the results are complete, but their export is not: {error}. "
            f"`timbreflow export folder {run.output} {options.export}` goes on with it"
        ) from error
    return _with(summary, exported.sentence())


def _with(summary: RunSummary, sentence: str) -> ExportedRun:
    told = {field.name: getattr(summary, field.name) for field in fields(summary)}
    return ExportedRun(**told, exported=sentence)
