"""Fixtures that several packages' tests share."""

from __future__ import annotations

import logging
import os
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hypothesis
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from flows import cli
from tasks.storage.s3_client import make_client
from tests import shared_prefect
from tests.deployment import Server
from tests.seaweed import SeaweedServer
from tests.shared_prefect import SharedPrefect

BUCKET = "timbreflow-tests"
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")  # no test asserts a time

Typed = Callable[..., tuple[int, str]]
"""A command, by its arguments; gives its exit code and what it said."""


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what the processes of the session share."""
    shared_prefect.prepare(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where that is."""
    node.workerinput[shared_prefect.WORKER_INPUT] = node.config.stash[shared_prefect.FOLDER].name


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it."""
    shared_prefect.end_all(config)


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> SharedPrefect:
    """Return the Prefect of the session."""
    return SharedPrefect(pytestconfig)


@pytest.fixture(scope="session")
def server(shared: SharedPrefect) -> Server:
    """Return a Prefect server, the same for the whole session."""
    return shared.server()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Typed]:
    """Return the `timbreflow` command in this process: what it says, and its exit code, need none of its own."""
    on_end = signal.getsignal(signal.SIGTERM)
    for name in ("set_defaults", "reach_server"):  # they are for a process of its own
        monkeypatch.setattr(cli, name, lambda: None)

    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli.app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception  # a user would see a traceback
        return result.exit_code, result.output

    logging.disable()  # as the command has it
    with patch.dict(os.environ):  # a command may set what holds for its own process
        yield call
    logging.disable(logging.NOTSET)
    signal.signal(signal.SIGTERM, on_end)


@pytest.fixture
def typed_with_server(typed: Typed, server: Server) -> Typed:
    """Return the command in this process for those who name a Prefect server."""

    def call(*arguments: str) -> tuple[int, str]:
        with temporary_settings({PREFECT_API_URL: server.url}):
            return typed(*arguments)

    return call


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """Start a real S3 server for the session; a test that kills it must start it again."""
    with SeaweedServer(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def s3(seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URI of an empty S3 folder, and put endpoint and credentials in the environment.

    All tests share one bucket: SeaweedFS sets volumes aside for each, and they are few.
    """
    return use_bucket(seaweed, monkeypatch)


@pytest.fixture(params=["local", "s3"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an empty folder, local and on S3: the same promises hold on both."""
    folder: str = str(tmp_path) if request.param == "local" else request.getfixturevalue("s3")
    return folder


@pytest.fixture
def gone_s3(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URI of an S3 folder whose server is away, for a user of little patience."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("TIMBREFLOW_STORAGE_RETRY_TIMEOUT_S", "1")
    return s3


def use_bucket(server: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a server's endpoint and credentials in the environment; return the URI of an empty folder on it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    _make_bucket(server)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@cache
def _make_bucket(server: SeaweedServer) -> None:
    make_client().makedirs(BUCKET, exist_ok=True)
