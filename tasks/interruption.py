"""How a run is told to stop: one flag per process, looked at before every evaluation of the objective."""

from __future__ import annotations

import threading

from stylecore.errors import Interrupted

STOP_REQUESTED = threading.Event()
"""Set once the run is asked to stop."""


def request_stop() -> None:
    """Ask every shard in this process to drop its work at the next evaluation."""
    STOP_REQUESTED.set()


def clear_stop() -> None:
    """Forget an earlier request; a run begins with this."""
    STOP_REQUESTED.clear()


def raise_if_stopping() -> None:
    """Raise `Interrupted` once a stop was requested."""
    if STOP_REQUESTED.is_set():
        raise Interrupted("the run was asked to stop; what is not committed will be computed by the next run")
