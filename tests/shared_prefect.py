"""What is made once in a whole session of tests, however many processes share it: a Prefect server, first of all.

Starting them for each process would cost as much as a dozen runs. The first test that needs one of them starts it;
all end with the session.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from subprocess import Popen

import pytest
from filelock import FileLock

from tests.deployment import Server, clone_into, create_pool, deploy_all, environment_at, start_server, start_worker

FOLDER = pytest.StashKey[tempfile.TemporaryDirectory]()
WORKER_INPUT = "timbreflow_shared_folder"


def of_worker(config: pytest.Config) -> str | None:
    """Return the folder that the session's first process has made, if this one is a worker of pytest-xdist."""
    found: str | None = getattr(config, "workerinput", {}).get(WORKER_INPUT)
    return found


def prepare(config: pytest.Config) -> None:
    """Make the folder of a session, in its first process."""
    if of_worker(config) is None:
        config.stash[FOLDER] = tempfile.TemporaryDirectory(prefix="timbreflow-tests-")


def end_all(config: pytest.Config) -> None:
    """End what the session has started, in its first process."""
    folder = config.stash.get(FOLDER, None)
    if folder is not None:
        for path in Path(folder.name).glob("*.pid"):
            with suppress(ProcessLookupError):
                os.killpg(int(path.read_text()), signal.SIGKILL)
        folder.cleanup()


class SharedPrefect:
    """What the processes of a session share, below a folder of theirs."""

    def __init__(self, config: pytest.Config) -> None:
        self.folder = Path(of_worker(config) or config.stash[FOLDER].name)

    def server(self) -> Server:
        """Return the server, started if it is not yet."""
        port, home = self.once("server", self._started_server).split(maxsplit=1)
        return Server(int(port), environment_at(Path(home), int(port)))

    def deployed(self) -> Server:
        """Return the server with all of prefect.yaml deployed, from a clone."""
        server = self.server()
        self.once("pool", lambda: create_pool(server, self.clone()))
        self.once("deployed", lambda: deploy_all(server, self.clone()))
        return server

    def worker(self) -> Server:
        """Return the server with the deployments and a worker on their pool."""
        server = self.deployed()
        self.once("worker", lambda: self._kept("worker", start_worker(server, self.made("worker"))))
        return server

    def clone(self) -> Path:
        """Return a copy of what a deployment needs from the repository, at another place."""
        return Path(self.once("clone", lambda: str(clone_into(self.made("clone")))))

    def new_home(self) -> Path:
        """Return a new home of Prefect's with a database in it: building one takes longer than a server's start."""
        self.server()
        return Path(shutil.copy(self._new_database, self.made("home") / "prefect.db")).parent

    @property
    def _new_database(self) -> Path:
        """Where the server's database is as it was before anybody used it."""
        return self.folder / "new.db"

    def _started_server(self) -> str:
        home = self.made("server")
        port, process = start_server(home)
        self._kept("server", process)
        with closing(sqlite3.connect(home / "prefect.db")) as its, closing(sqlite3.connect(self._new_database)) as copy:
            its.backup(copy)
        return f"{port} {home}"

    def _kept(self, name: str, process: Popen[str]) -> str:
        """Note what is to end with the session: it is the leader of a group."""
        (self.folder / f"{name}.pid").write_text(str(process.pid))
        return str(process.pid)

    def made(self, name: str) -> Path:
        """Return a new folder that all processes see."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def once(self, name: str, make: Callable[[], str | None]) -> str:
        """Return what `make` gives to the first process that asks; if it fails, the next one tries again."""
        made = self.folder / f"{name}.made"
        with FileLock(self.folder / f"{name}.lock"):
            if not made.exists():
                made.write_text(make() or "")
            return made.read_text()
