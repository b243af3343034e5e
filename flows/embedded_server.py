"""Prefect's server for one run: started in a process of its own, and if it cannot start, the cause in one sentence.

Prefect starts one by itself where no server is named. It does so in the working directory, whose files may stand in
the way of modules of the same name; prints what the server prints, thousands of lines; and waits for two minutes for a
process that has ended. It also imports the whole server into the process that starts it, which takes as long as all
else that a run imports. This one does without, looks at the process while it waits, and reads what it wrote.
"""

from __future__ import annotations

import atexit
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import httpx
import prefect
from prefect.settings import get_current_settings

LOOPBACK = "127.0.0.1"
LOOK_S = 0.1
STOP_S = 5
ATTEMPTS = 3
"""Another program may take the port between the look at it and the start."""

PORT_IS_TAKEN = "address already in use"
_EXCEPTION = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception): ")
_TAIL_BYTES = 64_000


class ServerError(RuntimeError):
    """Prefect's own server cannot start; the message says why, and what to do."""


class EmbeddedServer:
    """Prefect's server for this process and those it starts; it ends with this one."""

    def __init__(self) -> None:
        self.port = 0
        self.running = False
        self.server_process: subprocess.Popen[bytes] | None = None

    @property
    def api_url(self) -> str:
        """Where its API is."""
        return f"http://{LOOPBACK}:{self.port}/api"

    def start(self, timeout: int | None = None) -> None:
        """Start it, unless it runs.

        Raises
        ------
        ServerError
            If its process ends, or does not answer in time.
        """
        if self.running:
            return
        refuse_unwritable_home()
        atexit.register(self.stop)
        deadline = time.monotonic() + (timeout or _start_timeout_s())
        with tempfile.TemporaryFile() as log:
            for _ in range(ATTEMPTS):
                self.port = _free_port()
                self.server_process = _server_process(self.port, log)
                self.running = self._answers_before(deadline)
                said = "" if self.running else _end_of(log)
                if PORT_IS_TAKEN not in said:
                    break
        if not self.running:
            ended = self.server_process is not None and self.server_process.poll() is not None
            self.stop()
            raise ServerError(
                explained(said) if ended else f"it does not answer within {timeout or _start_timeout_s():g} s"
            )

    def _answers_before(self, deadline: float) -> bool:
        """Wait until it answers; return whether it does before its process ends, or time is up."""
        assert self.server_process is not None
        with httpx.Client() as client:
            while self.server_process.poll() is None and time.monotonic() < deadline:
                try:
                    if client.get(f"{self.api_url}/health").is_success:
                        return True
                except httpx.TransportError:
                    pass
                time.sleep(LOOK_S)
        return False

    def stop(self) -> None:
        """End it, if it runs."""
        process, self.server_process, self.running = self.server_process, None, False
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _server_process(port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the server as Prefect does, but deaf to the working directory, and with a log instead of the terminal."""
    log.truncate(0)
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    ephemeral = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    loud_enough = {"PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_SERVER_LOGGING_LEVEL": "ERROR"}
    return subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "uvicorn", "--app-dir", str(Path(prefect.__file__).parent.parent)),
            *("--factory", "prefect.server.api.server:create_app", "--host", LOOPBACK, "--port", str(port)),
            *("--log-level", "error", "--lifespan", "on"),
        ],
        env={**os.environ, **ephemeral, **settings, **loud_enough},
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def _end_of(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
    return log.read().decode(errors="replace")


def refuse_unwritable_home() -> None:
    """Refuse a PREFECT_HOME that cannot be made or written, before the server's database fails of it.

    Raises
    ------
    ServerError
        Naming it.
    """
    home = get_current_settings().home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise ServerError(
            f"its folder '{home}' cannot be written ({error.strerror or error}): set PREFECT_HOME to one that can"
        ) from error


def explained(said: str) -> str:
    """Return why a server did not start, from what it wrote, and what to do about it.

    >>> explained("sqlite3.DatabaseError: file is not a database")[:69]
    'its database is damaged (sqlite3.DatabaseError: file is not a databas'
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if _EXCEPTION.match(line)), " ".join(lines[-3:]))
    for pattern, tell in CAUSES:
        for line in reversed(lines):
            if re.search(pattern, line):
                return tell(_shortened(line))
    return f"{_shortened(last) or 'it ended without a word'}. `prefect server start` shows more"


def _database_in_the_way(what: str) -> Callable[[str], str]:
    def tell(cause: str) -> str:
        return f"its database {what} ({cause}): move '{_database()}' away, or set PREFECT_HOME to another folder"

    return tell


CAUSES: tuple[tuple[str, Callable[[str], str]], ...] = (
    (r"Can't locate revision|No such revision", _database_in_the_way("is of another version of Prefect")),
    (r"not a database|malformed|no such table|already exists", _database_in_the_way("is damaged")),
    (r"database is locked", lambda cause: f"its database '{_database()}' is in use ({cause}): end the other program"),
    (r"disk is full|No space left", lambda cause: f"the disk of '{_database()}' is full ({cause}): free some space"),
    (
        r"unable to open database|readonly database|Permission denied|Read-only file system",
        lambda cause: f"its database '{_database()}' cannot be written ({cause}): set PREFECT_HOME to another folder",
    ),
)
"""What the last words of a server mean, and what to do."""


def _database() -> str:
    url = get_current_settings().server.database.connection_url
    written = url.get_secret_value() if url is not None else ""
    if not written.startswith("sqlite"):
        return "PREFECT_API_DATABASE_CONNECTION_URL"  # may hold a password
    return written.partition("///")[2] or written


def _shortened(line: str) -> str:
    return line if len(line) <= 300 else f"{line[:300]}..."


def _start_timeout_s() -> float:
    return float(get_current_settings().server.ephemeral.startup_timeout_seconds)
