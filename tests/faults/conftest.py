"""What the tests of faults share: a Prefect server, and an uninterrupted run to compare with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
import pytest

from tests.deployment import Server, prefect_server
from tests.faults.corpus import FAST, write_corpus
from tests.flows.processes import TIMEOUT_S, end, start, wait_for
from tests.tasks.corpus import read_table


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
