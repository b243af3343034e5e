"""Interrupted runs: Ctrl-C, SIGTERM, a cancel through Prefect. Each is closed properly, and the next completes it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pandas as pd
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Cancelling

from flows.cross_synthesis import cross_synthesis
from stylecore.settings import checked_settings
from tasks.options import RunOptions
from tasks.pair_state import PairState
from tasks.pipeline import shards
from tasks.planning.plan_table import PlannedPair
from tests.conftest import Typed
from tests.deployment import Server
from tests.flows.processes import TIMEOUT_S, end, environment, group_lives, start, wait_for
from tests.flows.sounds import write_quick_and_slow

GONE_WITHIN_S = 30.0
SETTINGS = {"griffin_lim_iterations": 5, "sound_iterations": 2, "tolerance": 0.0}
OPTIONS: dict[str, Any] = {"device": "cpu", "shard_audio_s": 1}
CHOSEN = [
    *(part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")),
    *("--device", "cpu", "--shard-audio-s", "1"),
]
"""The same on the command line."""


@pytest.fixture
def manifest(sounds: Path) -> str:
    """Return a manifest of two shards, in the second of which there is time to interrupt."""
    return write_quick_and_slow(sounds)


def quick_is_committed(output: Path) -> bool:
    """Say whether one shard is done; the other is then under way."""
    return bool(list(output.glob("results/*/part-*.parquet")))


def assert_closed_and_completed_by_the_next_run(manifest: str, output: Path) -> None:
    """Assert that the run was closed; then run again, and assert that only the rest is done."""
    record = assert_closed(output)
    settings = checked_settings(SETTINGS)
    state = cross_synthesis(manifest, str(output), settings, RunOptions(**OPTIONS), return_state=True)
    assert state.message == "1 pairs computed"  # type: ignore[attr-defined]
    after = pd.read_parquet(output / "results.parquet")
    assert list(after["pair_id"]) == ["quick", "slow"]
    assert after["run_id"].iloc[0] == record["run_id"]
    assert len(list((output / "audio").rglob("*.flac"))) == 2


def assert_closed(output: Path) -> dict[str, object]:
    """Assert a record and a snapshot of what was committed; return the record."""
    (record,) = [json.loads(path.read_text()) for path in (output / "runs").iterdir()]
    assert record["state"] == "interrupted"
    assert record["computed"] == 1
    table = pd.read_parquet(output / "results.parquet")
    assert list(table["pair_id"]) == ["quick"]
    assert [path.stem for path in (output / "snapshots").glob("*.parquet")] == [record["run_id"]]
    return record


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.usefixtures("harness")
def test_an_interrupted_run_is_closed_and_the_next_completes_it(
    number: signal.Signals, typed_with_server: Typed, sounds: Path
) -> None:
    """Prefect's worker sends SIGTERM to a run that is cancelled."""
    manifest = write_quick_and_slow(sounds, iterations=50)
    with interrupting(number):
        code, said = typed_with_server("run", manifest, str(sounds / "out"), *CHOSEN)
    assert code == 130, said
    assert "What is committed stays" in said
    assert_closed_and_completed_by_the_next_run(manifest, sounds / "out")


@contextmanager
def interrupting(number: signal.Signals) -> Iterator[None]:
    """Let this process get a signal once the quick pair is committed; only then the slow one begins."""
    committed, read_pair, commit_shard = threading.Event(), shards.read_pair, shards.commit_shard

    def read(pair: PlannedPair, *others: Any) -> PairState:
        if pair["pair_id"] == "slow":
            assert committed.wait(TIMEOUT_S)
        return read_pair(pair, *others)

    def commit(*arguments: Any) -> None:
        commit_shard(*arguments)
        os.kill(os.getpid(), number)
        committed.set()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with patch.object(shards, "read_pair", read), patch.object(shards, "commit_shard", commit):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("harness")
def test_ctrl_c_closes_the_run_and_the_next_completes_it(manifest: str, sounds: Path, embedded: Path) -> None:
    """A terminal sends it to the whole process group, the embedded server included.

    That the server does not hear it, test_embedded_server.py shows; that the run is closed, the test above.
    """
    interrupted_run(lambda group: os.killpg(group, signal.SIGINT), manifest, sounds / "out", embedded)
    assert_closed_and_completed_by_the_next_run(manifest, sounds / "out")


@pytest.mark.slow
def test_sigterm_closes_the_run(manifest: str, sounds: Path, embedded: Path) -> None:
    interrupted_run(lambda leader: os.kill(leader, signal.SIGTERM), manifest, sounds / "out", embedded)
    assert_closed(sounds / "out")


@pytest.mark.soak  # most of its half minute is Prefect's own retries
def test_a_run_is_closed_also_when_its_server_goes_with_it(manifest: str, sounds: Path, embedded: Path) -> None:
    interrupted_run(lambda group: os.killpg(group, signal.SIGTERM), manifest, sounds / "out", embedded)
    assert_closed(sounds / "out")


def interrupted_run(interrupt: Callable[[int], None], manifest: str, output: Path, home: Path) -> None:
    """Run, interrupt within the second shard, assert that all is gone in time."""
    process = start("timbreflow", "run", manifest, str(output), *CHOSEN, env=environment(home))
    try:
        wait_for(lambda: quick_is_committed(output) or process.poll() is not None, "the first shard")
        interrupt(process.pid)
        said, _ = process.communicate(timeout=GONE_WITHIN_S)
        assert process.returncode == 130, said
        assert "What is committed stays" in said
        assert "Traceback" not in said
        wait_for(lambda: not group_lives(process.pid), "the embedded server to go", GONE_WITHIN_S)
    finally:
        end(process)


@pytest.mark.slow
def test_a_cancel_through_prefect_closes_the_run(
    worker: Server, client: SyncPrefectClient, manifest: str, sounds: Path
) -> None:
    """By a SIGTERM from the worker: what that does, the first test above shows."""
    output = sounds / "out"
    deployment = client.read_deployment_by_name("cross-synthesis/local")
    parameters = {"manifest": manifest, "output": str(output), "settings": SETTINGS, "options": OPTIONS}
    flow_run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    wait_for(lambda: quick_is_committed(output), "the first shard")

    client.set_flow_run_state(flow_run.id, Cancelling())
    wait_for(lambda: _is_cancelled(client, flow_run.id), "the cancelled run", GONE_WITHIN_S)
    assert_closed(output)


def _is_cancelled(client: SyncPrefectClient, flow_run_id: UUID) -> bool:
    state = client.read_flow_run(flow_run_id).state
    return state is not None and state.is_cancelled()
