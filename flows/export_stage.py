"""The export after a run, if one was asked for, and how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flows.progress_display import LINE_EVERY_S
from manifests.schema import ManifestError
from tasks.exporting import folder
from tasks.exporting.export_errors import ExportError
from tasks.ledger.close import Run, RunSummary


def exported_results(run: Run, summary: RunSummary) -> RunSummary:
    """Export the results of a run that has ended, if its options say so, and add to its summary what came of it.

    Raises
    ------
    ExportError
        If that fails: the results are there all the same.
    """
    options = run.options
    if options.export is None:
        return summary
    if summary.without_result is None:
        return replace(summary, exported="nothing yet; the last of the runs on other shards does it, if asked to")
    try:
        with shown_export() as progress:
            exported = folder.export_folder(run.output, options.export, options.name, options.copies, progress)
    except (ExportError, ManifestError, OSError) as error:
        raise ExportError(
            f"the results are complete, but their export is not: {error}. "
            f"`timbreflow export folder {run.output} {options.export}` goes on with it"
        ) from error
    return replace(summary, exported=exported.sentence())


@contextmanager
def shown_export() -> Iterator[folder.Progress]:
    """Show how many files are done while the block runs: a bar on a terminal, elsewhere a line now and then."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    said_at = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        row = bar.add_task("files", total=None)

        def show(done: int, total: int) -> None:
            nonlocal said_at
            bar.update(row, completed=done, total=total)
            if bar.disable and time.monotonic() - said_at >= LINE_EVERY_S:
                said_at = time.monotonic()
                bar.console.print(f"{done} of {total} files exported")

        yield show
