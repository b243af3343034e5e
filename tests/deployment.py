"""A real Prefect deployment on loopback for the tests: a server, a clone of what is deployed, a worker."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
from prefect.events.schemas.automations import AutomationCore

from flows.zombies import AUTOMATION
from tests.flows.processes import end, environment, run, start, wait_for

ROOT = Path(__file__).parents[1]
LOOPBACK = "127.0.0.1"
SOURCES = ("flows", "tasks", "stylecore", "manifests", "prefect.yaml")


@dataclass(frozen=True)
class Server:
    """A Prefect server on loopback: its port, and the environment of a user who works with it."""

    port: int
    env: dict[str, str]

    @property
    def url(self) -> str:
        """Where its API is."""
        return self.env["PREFECT_API_URL"]


@dataclass(frozen=True)
class OwnServer(Server):
    """A server of one test's own, which may end it."""

    process: subprocess.Popen[str]


def _url(port: int, host: str = LOOPBACK) -> str:
    return f"http://{host}:{port}/api"


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment_at(home: Path, port: int, host: str = LOOPBACK) -> dict[str, str]:
    """Return the environment of a user of the server at a port, with a Prefect home of its own."""
    return environment(home, PREFECT_API_URL=_url(port, host), PREFECT_WORKER_QUERY_SECONDS="1")


def start_server(home: Path, port: int | None = None, host: str = LOOPBACK) -> tuple[int, subprocess.Popen[str]]:
    """Run `prefect server start` until it answers; with a port, where it may have run before."""
    port = port or free_port()
    command = ("prefect", "server", "start", "--host", host, "--port", str(port), "--no-ui")
    process = start(*command, env=environment_at(home, port, host), log=home / "server.log")
    try:
        wait_for(lambda: process.poll() is not None or _answers(_url(port, host)), "the server")
        assert process.poll() is None, (home / "server.log").read_text()
    except BaseException:
        end(process)
        raise
    return port, process


@contextmanager
def prefect_server(home: Path, port: int | None = None, host: str = LOOPBACK) -> Iterator[OwnServer]:
    """Start a server for a test that needs one of its own."""
    port, process = start_server(home, port, host)
    try:
        yield OwnServer(port, environment_at(home, port, host), process)
    finally:
        end(process)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


def clone_into(folder: Path) -> Path:
    """Copy what a deployment needs from the repository to another place."""
    for name in SOURCES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def deploy(server: Server, clone: Path) -> None:
    """Create the work pool and deploy all of prefect.yaml, as the README says."""
    create_pool(server, clone)
    deploy_all(server, clone)


def create_pool(server: Server, clone: Path) -> None:
    """Create the work pool."""
    _prefect(server, clone, "work-pool", "create", "local", "--type", "process")


def deploy_all(server: Server, clone: Path) -> None:
    """Deploy all of prefect.yaml to a server that has the work pool."""
    _prefect(server, clone, "--no-prompt", "deploy", "--all")


def _prefect(server: Server, clone: Path, *command: str) -> None:
    code, output = run("prefect", *command, env=server.env, cwd=clone)
    assert code == 0, output


def start_worker(server: Server, folder: Path) -> subprocess.Popen[str]:
    """Start a worker in some folder, not the clone's: the deployment knows where to work."""
    command = ("worker", "start", "--pool", "local")
    return start("prefect", *command, env=server.env, cwd=folder, log=folder / "worker.log")


def impatient(silence_s: float) -> AutomationCore:
    """Return the automation for silent runs with another patience."""
    trigger = AUTOMATION.trigger.model_copy(update={"within": timedelta(seconds=silence_s)})
    return AUTOMATION.model_copy(update={"trigger": trigger})
