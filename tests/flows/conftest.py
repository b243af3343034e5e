"""Prefect in three ways, each started once: a test harness, a server with a worker on loopback, an embedded server."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.testing.utilities import prefect_test_harness

from tests.flows.processes import end, environment, run, start, wait_for
from tests.flows.sounds import cut_sounds

ROOT = Path(__file__).parents[2]
SOURCES = ("flows", "tasks", "stylecore", "manifests", "prefect.yaml")


@dataclass(frozen=True)
class Server:
    """A Prefect server on loopback: its API, and the environment of a user who works with it."""

    url: str
    env: dict[str, str]


@pytest.fixture(scope="session")
def harness() -> Iterator[None]:
    """Enter Prefect's own test harness: flows called in this process use its server."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Return a folder with short sounds: `content/`, `style/` and `not_audio.wav`."""
    cut_sounds(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start `prefect server start` on a free port, with a Prefect home of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    home = tmp_path_factory.mktemp("server")
    env = environment(home, PREFECT_API_URL=url, PREFECT_WORKER_QUERY_SECONDS="1")
    process = start("prefect", "server", "start", "--port", str(port), "--no-ui", env=env, log=home / "server.log")
    try:
        wait_for(lambda: process.poll() is not None or _answers(url), "the server")
        assert process.poll() is None, (home / "server.log").read_text()
        yield Server(url, env)
    finally:
        end(process)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what a deployment needs from the repository, at another place."""
    folder = tmp_path_factory.mktemp("clone")
    for name in SOURCES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


@pytest.fixture(scope="session")
def deployed(server: Server, clone: Path) -> Server:
    """Create the work pool and deploy all of prefect.yaml, as the README says."""
    for command in (("work-pool", "create", "local", "--type", "process"), ("--no-prompt", "deploy", "--all")):
        code, output = run("prefect", *command, env=server.env, cwd=clone)
        assert code == 0, output
    return server


@pytest.fixture(scope="session")
def worker(deployed: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a worker, not in the clone: the deployment knows where to work."""
    elsewhere = tmp_path_factory.mktemp("worker")
    command = ("worker", "start", "--pool", "local")
    process = start("prefect", *command, env=deployed.env, cwd=elsewhere, log=elsewhere / "worker.log")
    try:
        yield deployed
    finally:
        end(process)


@pytest.fixture
def client(server: Server) -> Iterator[SyncPrefectClient]:
    """Return a client of the server."""
    with SyncPrefectClient(server.url) as client:
        yield client


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Prefect home for runs that start a server of their own: its database is built once."""
    return tmp_path_factory.mktemp("embedded")
