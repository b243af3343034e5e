"""Time as a run meets it: what it is, how to wait for it, and what goes on beside.

Leases, renewals and rows take it from here, so that the simulation (tests/simulation) can put a clock of its own in the
place of this one: an hour passes in a moment, and what happens at the same time is decided by a seed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


class Clock:
    """The clock of this machine, and threads."""

    def now(self) -> datetime:
        """Return the time of day, UTC: hosts may differ about it."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since any fixed moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event, at most so long; return whether it has come."""
        return event.wait(seconds)

    def beside(self, work: Callable[[], None], name: str) -> Beside:
        """Begin some work beside the caller's, which does not keep the process from ending."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return Beside(thread.join, thread.is_alive)


class Beside:
    """Work that goes on beside: `join` waits for its end, for at most so many seconds where they are given."""

    def __init__(self, join: Callable[[float | None], None], is_alive: Callable[[], bool]) -> None:
        self._join = join
        self.is_alive = is_alive

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end of the work."""
        self._join(seconds)


_clocks = [Clock()]


def clock() -> Clock:
    """Return the clock that counts here."""
    return _clocks[-1]


@contextmanager
def another_clock(other: Clock) -> Iterator[None]:
    """Let another clock count within the block, for all threads."""
    _clocks.append(other)
    try:
        yield
    finally:
        _clocks.remove(other)


def duration(seconds: float) -> str:
    """Return a time in the unit in which it reads well.

    >>> duration(7.3), duration(61.4), duration(200.0), duration(9_000.0)
    ('7.3 s', '61 s', '3.3 min', '2.5 h')
    """
    if seconds < 120.0:
        return f"{seconds:.1f} s" if seconds < 10.0 else f"{seconds:.0f} s"
    return f"{seconds / 60.0:.1f} min" if seconds < 7_200.0 else f"{seconds / 3_600.0:.1f} h"
