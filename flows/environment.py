"""Defaults for Prefect on a machine of one's own; imported before Prefect is. The user's own variables win."""

from __future__ import annotations

import os

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
