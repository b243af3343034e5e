"""A run whose process and worker die at once: nobody reports it, and yet the next run picks its work up.

A real server, `nightly` as prefect.yaml deploys it (one slot, a second run is cancelled), the automation as the doctor
installs it but for its patience, and kill -9.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import soundfile
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Pending, State

from flows.zombies import HEARTBEAT_S, install
from tests.deployment import OwnServer, clone_into, deploy, impatient, prefect_server, start_worker
from tests.faults.report import recorded
from tests.faults.trees import kill_tree
from tests.flows.processes import wait_for
from tests.flows.sounds import DEMO, cut_sounds, pair, write_manifest

pytestmark = pytest.mark.slow

SILENCE_S = HEARTBEAT_S + 10
"""Shorter, and a live run would be taken for dead."""

SETTINGS = {"griffin_lim_iterations": 5, "sound_iterations": 2, "tolerance": 0.0}
OPTIONS = {"device": "cpu", "shard_audio_s": 1}
PAIRS = {"quick": 1, "slow": 400, "slower": 401}
"""Pairs by their iterations, each in a shard of its own: one is soon committed, the others are killed in."""


@dataclass
class Night:
    """A deployment on a server, the corpus it is to work on, and workers of which one is at work at a time."""

    folder: Path
    server: OwnServer
    client: SyncPrefectClient
    workers: list[Popen[str]] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / "out"

    def start_worker(self) -> None:
        folder = self.folder / f"worker-{len(self.workers)}"
        folder.mkdir()
        self.workers.append(start_worker(self.server, folder))

    def start_run(self, **parameters: object) -> UUID:
        deployment = self.client.read_deployment_by_name("cross-synthesis/nightly")
        chosen = {"output": str(self.output), "settings": SETTINGS, "options": OPTIONS, **parameters}
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=chosen).id

    def state(self, run: UUID) -> State:
        state = self.client.read_flow_run(run).state
        assert state is not None
        return state

    def slots_held(self) -> int:
        deployment = self.client.read_deployment_by_name("cross-synthesis/nightly")
        return self.client.read_global_concurrency_limit_by_name(f"deployment:{deployment.id}").active_slots

    def parts(self) -> pd.DataFrame:
        """Return every row that was ever committed, also of a run that was killed."""
        return pd.concat(map(pd.read_parquet, self.output.glob("results/*/part-*.parquet")))


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    for name in ("home", "clone"):
        (tmp_path / name).mkdir()
    with prefect_server(tmp_path / "home") as server, SyncPrefectClient(server.url) as client:
        deploy(server, clone_into(tmp_path / "clone"))
        install(client, impatient(SILENCE_S))
        night = Night(tmp_path, server, client)
        try:
            night.start_worker()
            yield night
        finally:
            for worker in night.workers:
                if worker.poll() is None:
                    kill_tree(worker)


def write_corpus(folder: Path, pairs: dict[str, int]) -> str:
    """Write a manifest of one-second pairs with the iterations given."""
    cut_sounds(folder)
    samples, rate = soundfile.read(DEMO / "drum_loop.flac")
    for name in pairs:
        soundfile.write(folder / "content" / f"{name}.wav", np.resize(samples, rate), rate)
    rows = [pair(name, pair_id=name, iterations=count) for name, count in pairs.items()]
    return write_manifest(folder / "m.parquet", rows)


def start_and_wait_for_a_shard(night: Night, manifest: str) -> UUID:
    """Start a run, and return it once it has committed some, but not all."""
    run = night.start_run(manifest=manifest)
    wait_for(lambda: list(night.output.glob("results/*/part-*.parquet")), "the first shard")
    return run


@recorded("run and worker killed, the deployment's slot held")
def test_the_run_after_a_dead_one_completes_its_work(night: Night) -> None:
    manifest = write_corpus(night.folder, PAIRS)
    dead = start_and_wait_for_a_shard(night, manifest)
    kill_tree(night.workers[0])
    committed = night.parts()
    assert len(committed) < len(PAIRS)
    assert night.state(dead).is_running()
    assert night.slots_held() == 1

    refused = night.start_run(manifest=manifest)
    night.client.set_flow_run_state(refused, Pending())  # as a worker does, before it starts a run
    assert night.state(refused).is_cancelled()
    assert night.state(dead).is_running()

    night.start_worker()
    assert_marked_and_completed(night, dead, manifest, committed)


def assert_marked_and_completed(night: Night, dead: UUID, manifest: str, committed: pd.DataFrame) -> None:
    """Assert that the dead run is marked and gives its slot back; that another then does the rest, and only that."""
    wait_for(lambda: night.state(dead).is_crashed(), "the automation")
    assert night.slots_held() == 0
    heir = night.start_run(manifest=manifest)
    wait_for(lambda: night.state(heir).is_final(), "the next run")
    assert night.state(heir).message == f"{len(PAIRS) - len(committed)} pairs computed"
    assert night.state(dead).is_crashed()
    assert_each_pair_once(night, committed)


def assert_each_pair_once(night: Night, committed: pd.DataFrame) -> None:
    """Assert a whole table, whose rows of the killed run are as they were."""
    table = pd.read_parquet(night.output / "results.parquet").set_index("pair_id")
    assert sorted(table.index) == sorted(PAIRS)
    assert set(table["status"]) == {"succeeded"}
    assert sorted(night.parts()["pair_id"]) == sorted(PAIRS)
    assert all(Path(uri).stat().st_size > 0 for uri in table["output"])
    before = committed.set_index("pair_id")["samples_sha256"]
    assert table.loc[before.index, "samples_sha256"].tolist() == before.tolist()


@pytest.mark.soak
@recorded("run, worker and Prefect's server killed")
def test_a_host_that_is_lost_with_its_server_takes_up_its_work_when_it_is_back(night: Night) -> None:
    """The server kept the leases of its slots in memory: nobody but the automation gives this one back."""
    manifest = write_corpus(night.folder, PAIRS)
    dead = start_and_wait_for_a_shard(night, manifest)
    kill_tree(night.server.process)
    kill_tree(night.workers[0])
    committed = night.parts()
    assert len(committed) < len(PAIRS)

    with prefect_server(night.folder / "home", night.server.port):
        assert night.state(dead).is_running()
        assert night.slots_held() == 1
        night.start_worker()
        assert_marked_and_completed(night, dead, manifest, committed)


@pytest.mark.soak
@recorded("worker killed, its run not")
def test_a_run_outlives_its_worker(night: Night) -> None:
    run = start_and_wait_for_a_shard(night, write_corpus(night.folder, PAIRS))
    night.workers[0].kill()
    night.workers[0].wait()
    assert not night.state(run).is_final()
    wait_for(lambda: night.state(run).is_final(), "the run")
    assert night.state(run).message == f"{len(PAIRS)} pairs computed"


@pytest.mark.soak
@recorded("a live run under the automation for dead ones")
def test_a_live_run_is_left_alone(night: Night) -> None:
    many = {f"long-{number}": 10_000 - number for number in range(30)}
    run = night.start_run(manifest=write_corpus(night.folder, many))
    wait_for(lambda: night.state(run).is_running(), "the run")
    for _ in range(round(3 * SILENCE_S)):
        assert night.state(run).is_running()
        time.sleep(1)
