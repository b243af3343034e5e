"""What the tests of faults share: a Prefect server, and an uninterrupted run to compare with."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from flows import cli
from tests.deployment import Server, prefect_server
from tests.faults.corpus import FAST, write_corpus
from tests.flows.processes import TIMEOUT_S, end, start, wait_for
from tests.tasks.corpus import read_table

Command = Callable[..., tuple[int, str]]
"""`timbreflow run MANIFEST OUTPUT`, with changes of the environment; gives the exit code and what was said."""


class Reference(NamedTuple):
    """An uninterrupted run: its manifest, its table, and how long planning and computing took."""

    manifest: str
    table: pd.DataFrame
    planning_s: float
    computing_s: float


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start one Prefect server for all runs: starting one for each would take most of the time."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture(scope="session")
def reference(prefect: Server, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Run once without any fault, on local files, and watch its course."""
    folder = tmp_path_factory.mktemp("reference")
    manifest, output = write_corpus(str(folder)), folder / "out"
    process = start("timbreflow", "run", manifest, str(output), *FAST, env=prefect.env, log=folder / "log")
    try:
        times = []
        for pattern in ("lease.json", "plans/*.parquet", "snapshots/*.parquet"):
            wait_for(lambda pattern=pattern: list(output.glob(pattern)) or process.poll() is not None, pattern)
            times.append(time.monotonic())
        assert process.wait(TIMEOUT_S) == 1, (folder / "log").read_text()  # of the silent pairs
    finally:
        end(process)
    table = read_table(output)
    assert sorted(table["status"].value_counts().items()) == [("failed", 2), ("succeeded", 10)]
    return Reference(manifest, table, times[1] - times[0], times[2] - times[1])


@pytest.fixture
def command(prefect: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Return the command in this process: for what it refuses it needs none of its own.

    That it ends as it should, down to the last process, `corpus.run_command` shows.
    """
    on_end = signal.getsignal(signal.SIGTERM)
    for name in ("set_defaults", "reach_server"):  # they are for a process of its own
        monkeypatch.setattr(cli, name, lambda: None)

    def call(manifest: str, output: str, changes: Mapping[str, str | None] | None = None) -> tuple[int, str]:
        with monkeypatch.context() as changed, temporary_settings({PREFECT_API_URL: prefect.url}):
            for name, value in (changes or {}).items():
                changed.delenv(name, raising=False) if value is None else changed.setenv(name, value)
            result = CliRunner().invoke(cli.app, ["run", manifest, output, *FAST])
        return result.exit_code, result.output

    logging.disable()  # as the command line has Prefect's
    yield call
    logging.disable(logging.NOTSET)
    signal.signal(signal.SIGTERM, on_end)
