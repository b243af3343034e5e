"""How a run is told to stop: one flag per process, looked at before every evaluation of the objective."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stylecore.errors import Interrupted
from tasks.clock import clock

STOP_REQUESTED = threading.Event()
"""Set once the run is asked to stop."""


def request_stop() -> None:
    """Ask every shard in this process to drop its work at the next evaluation."""
    STOP_REQUESTED.set()


def clear_stop() -> None:
    """Forget an earlier request; a run begins with this."""
    STOP_REQUESTED.clear()


def is_stopping() -> bool:
    """Return whether a stop was requested."""
    return STOP_REQUESTED.is_set()


def wait_for_stop(seconds: float) -> None:
    """Wait, but not on through a request to stop."""
    clock().wait(STOP_REQUESTED, seconds)


def raise_if_stopping() -> None:
    """Raise `Interrupted` once a stop was requested."""
    if STOP_REQUESTED.is_set():
        raise Interrupted("the run was asked to stop; what is not committed will be computed by the next run")


def within(seconds: float) -> Callable[[], None]:
    """Return what raises `Interrupted` once so many seconds have passed: for what a stopping run still wants to do."""
    end = clock().monotonic() + seconds

    def go_on() -> None:
        if clock().monotonic() >= end:
            raise Interrupted(f"it takes longer than the {seconds:g} s that a stopped run has; the next run does it")

    return go_on
