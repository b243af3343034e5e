"""Renew `results.parquet` while a run is at work, without the run having to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.clock import Beside, clock
from tasks.interruption import is_stopping
from tasks.logs import get_logger

LARGEST_SHARE = 0.02
"""Of the time: a table that takes long to write is written less often."""

ABANDON_S = 5.0
"""What a renewal gets to notice that the run is to stop: it looks at that every few thousand rows."""

POLL_S = 0.2


class SnapshotRefresher:
    """Calls `renew` about every `every_s` seconds, or less often, in a thread of its own; `tick` is cheap."""

    def __init__(self, renew: Callable[[], None], every_s: float) -> None:
        self._renew, self._every_s = renew, every_s
        self._ended_at, self._took_s = clock().monotonic(), 0.0
        self._thread: Beside | None = None

    def tick(self) -> None:
        """Begin a renewal if one is due."""
        if self._thread is not None and self._thread.is_alive():
            return
        if clock().monotonic() - self._ended_at > pause_s(self._every_s, self._took_s):
            self._thread = clock().beside(self._run, "renewal")

    def _run(self) -> None:
        started = clock().monotonic()
        try:
            self._renew()
        except Exception as error:  # a convenience: the shards go on, and the last snapshot is what counts
            get_logger("timbreflow.renewal").warning("results.parquet was not renewed: %s", error)
        self._ended_at = clock().monotonic()
        self._took_s = self._ended_at - started

    def wait(self) -> None:
        """Wait for the renewal under way; of a run that is asked to stop only a moment.

        What is still under way then ends with the process. Until it does, it replaces no table that is newer than what
        it began with.
        """
        stopping_s = 0.0
        while self._thread is not None and self._thread.is_alive() and stopping_s < ABANDON_S:
            self._thread.join(POLL_S)
            stopping_s += POLL_S if is_stopping() else 0.0


def pause_s(every_s: float, took_s: float) -> float:
    """Return how long to wait after a renewal that took so long.

    >>> pause_s(180.0, 0.1), pause_s(180.0, 60.0)
    (180.0, 2940.0)
    """
    return max(every_s, took_s * (1 / LARGEST_SHARE - 1))


@contextmanager
def refreshing_snapshot(renew: Callable[[], None], every_s: float) -> Iterator[SnapshotRefresher]:
    """Yield a renewal; none is under way any more after the block, unless the run is asked to stop."""
    renewal = SnapshotRefresher(renew, every_s)
    try:
        yield renewal
    finally:
        renewal.wait()
