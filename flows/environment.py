"""Prefect on a machine of one's own: defaults, set before Prefect is imported, and the embedded server."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # A fresh machine builds the embedded server's database first: the default of 20 s is too short there.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # The command line says what matters itself; Prefect's own log adds a traceback to every refusal.
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}


def set_defaults() -> None:
    """Put the defaults into the environment where the user has not set anything."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def start_embedded_server() -> None:
    """Start Prefect's embedded server, unless the user names one, deaf to Ctrl-C.

    A terminal sends Ctrl-C to the server too; it would be gone before the run is closed, and Prefect's client would try
    for a minute to tell it. A process inherits the signals that the thread starting it holds back.
    """
    thread = threading.Thread(target=_start_embedded_server, daemon=True)
    thread.start()
    thread.join()


def _start_embedded_server() -> None:
    from prefect.client.orchestration import get_client

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with suppress(RuntimeError):  # the flow tries again, and says what is wrong
        get_client(sync_client=True)
