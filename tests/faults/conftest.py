"""What the tests of faults share: a Prefect server, and an uninterrupted run to compare with."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from stylecore.settings import Settings
from tasks.options import RunOptions
from tests.conftest import Typed
from tests.deployment import Server
from tests.faults.corpus import BRIEF, FAST, SHARD_AUDIO_S, write_corpus
from tests.flows.processes import TIMEOUT_S, end, start, wait_for
from tests.shared_prefect import SharedPrefect
from tests.tasks.corpus import read_table, run_all

Command = Callable[..., tuple[int, str]]
"""`timbreflow run MANIFEST OUTPUT`, with changes of the environment; gives the exit code and what was said."""


class Reference(NamedTuple):
    """An uninterrupted run: its manifest, and its table."""

    manifest: str
    table: pd.DataFrame


class Pace(NamedTuple):
    """How long a run of the reference's manifest takes to plan, and to compute."""

    planning_s: float
    computing_s: float


@pytest.fixture(scope="session")
def prefect(server: Server) -> Server:
    """Return the Prefect server of all runs."""
    return server


@pytest.fixture(scope="session")
def reference(shared: SharedPrefect) -> Reference:
    """Return a run without any fault, the same for the whole session.

    It is computed in this process: no fault can then have come from processes that die, or be hidden by them.
    """
    folder = Path(shared.once("reference", lambda: _undisturbed_run(shared.made("reference"))))
    table = read_table(folder / "out")
    assert sorted(table["status"].value_counts().items()) == [("failed", 2), ("succeeded", 10)]
    return Reference(str(folder / "pairs.parquet"), table)


def _undisturbed_run(folder: Path) -> str:
    manifest = write_corpus(str(folder))
    run_all(manifest, folder / "out", Settings(**BRIEF), RunOptions(device="cpu", shard_audio_s=SHARD_AUDIO_S))
    return str(folder)


@pytest.fixture(scope="session")
def pace(shared: SharedPrefect, reference: Reference) -> Callable[[], Pace]:
    """Return what tells how long a run takes: it has to be watched for that, once a session, if anybody asks."""

    def watched() -> Pace:
        found = shared.once("pace", lambda: json.dumps(_watched(shared.server(), shared.made("run"), reference)))
        return Pace(*json.loads(found))

    return watched


def _watched(server: Server, folder: Path, reference: Reference) -> Pace:
    """Run the command once on local files, and watch the run's course."""
    output = folder / "out"
    process = start("timbreflow", "run", reference.manifest, str(output), *FAST, env=server.env, log=folder / "log")
    try:
        times = []
        for pattern in ("lease.json", "plans/*.parquet", "snapshots/*.parquet"):
            wait_for(lambda pattern=pattern: list(output.glob(pattern)) or process.poll() is not None, pattern)
            times.append(time.monotonic())
        assert process.wait(TIMEOUT_S) == 1, (folder / "log").read_text()  # of the silent pairs
    finally:
        end(process)
    return Pace(times[1] - times[0], times[2] - times[1])


@pytest.fixture
def command(typed_with_server: Typed, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command in this process: for what it refuses, and for what it computes, it needs none of its own.

    That it ends as it should, down to the last process, `corpus.run_command` shows.
    """

    def call(manifest: str, output: str, changes: Mapping[str, str | None] | None = None) -> tuple[int, str]:
        with monkeypatch.context() as changed:
            for name, value in (changes or {}).items():
                changed.delenv(name, raising=False) if value is None else changed.setenv(name, value)
            return typed_with_server("run", manifest, output, *FAST)

    return call
