"""Prefect on a machine of one's own: defaults, set before Prefect is imported, and the embedded server."""

from __future__ import annotations

import os
import signal
import threading

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # A fresh machine builds the embedded server's database first: the default of 20 s is too short there.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # A server that went away is given up on after 6 s instead of 62: an interrupted run is to be gone within 30.
    "PREFECT_CLIENT_MAX_RETRIES": "2",
    # The command line says what matters itself; Prefect's own log adds a traceback to every refusal.
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}


def set_defaults() -> None:
    """Put the defaults into the environment where the user has not set anything."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def reach_server() -> Exception | None:
    """Return why Prefect's server does not answer, or None; unless the user names one, it is started, deaf to Ctrl-C.

    A terminal sends Ctrl-C to the server too; it would be gone before the run is closed, and Prefect's client would
    try in vain to tell it. A process inherits the signals that the thread starting it holds back.
    """
    problems: list[Exception | None] = []

    def reach() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        problems.append(_problem_of_server())

    thread = threading.Thread(target=reach, daemon=True)
    thread.start()
    thread.join()
    return problems[0]


def _problem_of_server() -> Exception | None:
    from prefect.client.orchestration import get_client

    try:
        return get_client(sync_client=True).api_healthcheck()
    except RuntimeError as error:  # the embedded server did not start
        return error
