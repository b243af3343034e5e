"""What the tests of faults share: a Prefect server, and an uninterrupted run to compare with."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from tests.conftest import Typed
from tests.deployment import Server
from tests.faults.corpus import FAST, write_corpus
from tests.flows.processes import TIMEOUT_S, end, start, wait_for
from tests.shared_prefect import SharedPrefect
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
def prefect(server: Server) -> Server:
    """Return the Prefect server of all runs."""
    return server


@pytest.fixture(scope="session")
def reference(shared: SharedPrefect) -> Reference:
    """Return a run without any fault, the same for the whole session."""
    made = json.loads(shared.once("reference", lambda: json.dumps(_watched_run(shared.server(), shared.made("run")))))
    table = read_table(made["output"])
    assert sorted(table["status"].value_counts().items()) == [("failed", 2), ("succeeded", 10)]
    return Reference(made["manifest"], table, made["planning_s"], made["computing_s"])


def _watched_run(server: Server, folder: Path) -> dict[str, object]:
    """Run once on local files, and watch the run's course."""
    manifest, output = write_corpus(str(folder)), folder / "out"
    process = start("timbreflow", "run", manifest, str(output), *FAST, env=server.env, log=folder / "log")
    try:
        times = []
        for pattern in ("lease.json", "plans/*.parquet", "snapshots/*.parquet"):
            wait_for(lambda pattern=pattern: list(output.glob(pattern)) or process.poll() is not None, pattern)
            times.append(time.monotonic())
        assert process.wait(TIMEOUT_S) == 1, (folder / "log").read_text()  # of the silent pairs
    finally:
        end(process)
    spans = {"planning_s": times[1] - times[0], "computing_s": times[2] - times[1]}
    return {"manifest": manifest, "output": str(output), **spans}


@pytest.fixture
def command(typed_with_server: Typed, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command in this process: for what it refuses it needs none of its own.

    That it ends as it should, down to the last process, `corpus.run_command` shows.
    """

    def call(manifest: str, output: str, changes: Mapping[str, str | None] | None = None) -> tuple[int, str]:
        with monkeypatch.context() as changed:
            for name, value in (changes or {}).items():
                changed.delenv(name, raising=False) if value is None else changed.setenv(name, value)
            return typed_with_server("run", manifest, output, *FAST)

    return call
