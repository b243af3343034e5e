"""Prefect on a machine of one's own: defaults, set before Prefect is imported, and which server a run talks to."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from urllib.parse import urlsplit

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # A fresh machine builds the embedded server's database first: the default of 20 s is too short there.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # A server that went away is given up on after 6 s instead of 62: an interrupted run is to be gone within 30.
    "PREFECT_CLIENT_MAX_RETRIES": "2",
    # The command line says what matters itself; Prefect's own log adds a traceback to every refusal.
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",
}

ADDRESS = "PREFECT_API_URL"


def set_defaults() -> None:
    """Put the defaults into the environment where the user has not set anything."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    # Events that are still to be sent when the last word is said are no concern of the user's.
    logging.getLogger("EventsWorker").setLevel(logging.CRITICAL)
    # Whoever needs the folder says so: the embedded server, and the doctor.
    warnings.filterwarnings("ignore", message="Failed to create the Prefect home directory")


def reach_server() -> str | None:
    """Return why Prefect's server does not answer, and what to do, or None; unless one is named, it is started.

    It is started deaf to Ctrl-C. A terminal sends Ctrl-C to the server too; it would be gone before the run is closed,
    and Prefect's client would try in vain to tell it. A process inherits the signals that the thread starting it holds
    back.
    """
    problems: list[str | None] = []

    def reach() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        problems.append(_problem_of_server())

    thread = threading.Thread(target=reach, daemon=True)
    thread.start()
    thread.join()
    return problems[0]


def _problem_of_server() -> str | None:
    from httpx import InvalidURL
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if url is None and (refusal := _embedded_refusal()) is not None:
        return refusal
    try:
        problem = get_client(sync_client=True).api_healthcheck()
    except (RuntimeError, ValueError, InvalidURL) as error:
        problem = error
    if problem is None:
        return None
    what = str(problem) or type(problem).__name__
    if url is None:
        return f"Prefect's own server does not answer ({what})"
    source, remedy = address_source()
    return f"Prefect's server at {without_user(url)} does not answer ({what}). Its address is from {source}: {remedy}"


def _embedded_refusal() -> str | None:
    """Start Prefect's server for this process, and name it as a user would; or return why it cannot be started.

    Where none is named, Prefect's client would import the whole server into this process to look for it.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    if not get_current_settings().server.ephemeral.enabled:
        return f"no Prefect server is named, and none may be started here: set {ADDRESS}"
    from flows.embedded_server import EmbeddedServer, ServerError

    server = EmbeddedServer()
    try:
        server.start()
    except ServerError as error:
        return f"Prefect's own server cannot start: {error}"
    os.environ[ADDRESS] = server.api_url
    refresh_global_settings_context()
    return None


def address_source() -> tuple[str, str]:
    """Return what names Prefect's server, and how that is changed: the environment, Prefect's profile, a file."""
    from prefect.context import get_settings_context
    from prefect.settings import PREFECT_API_URL, get_current_settings

    if os.environ.get(ADDRESS):
        return ADDRESS, "correct it, or unset it"
    profile = get_settings_context().profile
    if profile.settings.get(PREFECT_API_URL):
        remedy = f"`prefect config set {ADDRESS}=...` corrects it, `prefect config unset {ADDRESS}` removes it"
        return f"the profile '{profile.name}' of Prefect ({get_current_settings().profiles_path})", remedy
    return "a file of this folder (.env, prefect.toml or pyproject.toml)", f"correct {ADDRESS} there"


def without_user(url: str) -> str:
    """Return a URL without what may be secret in it.

    >>> without_user("https://name:password@s3.example.org:9000/store?key=1")
    'https://s3.example.org:9000/store'
    """
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
