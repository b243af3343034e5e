"""Prefect in three ways, each started once: a test harness, a server with a worker on loopback, an embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.testing.utilities import prefect_test_harness

from tests.deployment import Server, clone_into, deploy, prefect_server, start_worker
from tests.flows.processes import end
from tests.flows.sounds import cut_sounds


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
    """Start a Prefect server for the session."""
    with prefect_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what a deployment needs from the repository, at another place."""
    return clone_into(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="session")
def deployed(server: Server, clone: Path) -> Server:
    """Deploy all of prefect.yaml from the clone."""
    deploy(server, clone)
    return server


@pytest.fixture(scope="session")
def worker(deployed: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a worker for the session."""
    process = start_worker(deployed, tmp_path_factory.mktemp("worker"))
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
