"""Prefect in three ways: for flows in this process, for those of a deployment, and with a server of a run's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.deployment import Server
from tests.flows.sounds import cut_sounds
from tests.shared_prefect import SharedPrefect


@pytest.fixture(scope="session")
def harness(server: Server) -> Iterator[None]:
    """Let flows that are called in this process use the session's server."""
    with temporary_settings({PREFECT_API_URL: server.url}):
        yield


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Return a folder with short sounds: `content/`, `style/` and `not_audio.wav`."""
    cut_sounds(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def clone(shared: SharedPrefect) -> Path:
    """Return a copy of what a deployment needs from the repository, at another place."""
    return shared.clone()


@pytest.fixture(scope="session")
def deployed(shared: SharedPrefect) -> Server:
    """Return the session's server with all of prefect.yaml deployed from the clone."""
    return shared.deployed()


@pytest.fixture(scope="session")
def worker(shared: SharedPrefect) -> Server:
    """Return the session's server with the deployments and a worker."""
    return shared.worker()


@pytest.fixture
def client(server: Server) -> Iterator[SyncPrefectClient]:
    """Return a client of the server."""
    with SyncPrefectClient(server.url) as client:
        yield client


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Prefect home for runs that start a server of their own: its database is built once."""
    return tmp_path_factory.mktemp("embedded")
