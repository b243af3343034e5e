"""Progress of a run, for whoever watches: a bar in the terminal, a progress artifact in Prefect."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flows.terminal import LINE_EVERY_S
from tasks.progress import PROGRESS

ARTIFACT_EVERY_S = 5.0


class Display:
    """Shows how many of the pending pairs are done; `tick` is cheap and may be called at any time."""

    def __init__(self, bar: Progress, pending: int, artifact: UUID) -> None:
        self._bar, self._pending = bar, pending
        self._artifact: UUID | None = artifact
        self._least = 0
        self._row = bar.add_task("pairs", total=pending, steps=0, failed="")
        self._shown_at = self._said_at = time.monotonic()

    def tick(self) -> None:
        """Show the counters of this process, or what is known besides."""
        failed = f"[red]{PROGRESS.failed} failed[/]" if PROGRESS.failed else ""
        self._bar.update(self._row, completed=self._done, steps=PROGRESS.steps, failed=f"{segments_text()} {failed}")
        if time.monotonic() - self._shown_at >= ARTIFACT_EVERY_S:
            self._shown_at = time.monotonic()
            self.report()
        if self._bar.disable and time.monotonic() - self._said_at >= LINE_EVERY_S:
            self._said_at = time.monotonic()
            self._bar.console.print(f"{self._done} of {self._pending} pairs, {PROGRESS.failed} failed{segments_text()}")

    def at_least(self, share: float) -> None:
        """Show that this share of the pairs is done: a worker on another machine tells of it only when it ends."""
        self._least = int(share * self._pending)

    @property
    def _done(self) -> int:
        return max(PROGRESS.pairs, self._least)

    def report(self) -> None:
        """Tell Prefect; a server that is gone is not asked again, and no reason to stop computing."""
        if self._artifact is None:
            return
        try:
            update_progress_artifact(self._artifact, progress=min(100.0, 100.0 * self._done / self._pending))
        except Exception:
            self._artifact = None


def segments_text() -> str:
    """Return how far the long contents are that are at work, where there are any."""
    return f", {PROGRESS.segments_done} of {PROGRESS.segments} segments" if PROGRESS.segments else ""


@contextmanager
def shown_progress(pending: int) -> Iterator[Display]:
    """Show progress while the block runs; a bar on a terminal, elsewhere a line now and then, and the artifact."""
    PROGRESS.reset()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[steps]} steps {task.fields[failed]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        artifact = cast(UUID, create_progress_artifact(progress=0.0, description=f"{pending} pairs to compute"))
        display = Display(bar, pending, artifact)
        yield display
        display.tick()
        display.report()
