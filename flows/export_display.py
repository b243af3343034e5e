"""How far an export is, for whoever watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flows.terminal import LINE_EVERY_S
from tasks.exporting import folder


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
