"""Devices: one shard at a time on each, all of them used, and no other run on an accelerator meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from stylecore.errors import Interrupted
from tasks.devices.device_pool import DevicePool, Slot
from tasks.devices.executors import SynthesisRequest
from tasks.interruption import request_stop
from tasks.options import RunOptions
from tasks.pair_state import PairState
from tasks.pipeline import shards
from tasks.pipeline.shards import compute_shards
from tasks.progress import PROGRESS
from tests.tasks.corpus import QUICK, begin, write_cut, write_manifest

FAKE = ("fake:0", "fake:1")
TIMEOUT_S = 20.0
ONE_PER_SHARD = RunOptions(device="cpu", shard_audio_s=1.0)
CONTENT_S = 0.6
"""A shard holds 1 s here: each pair has one of its own."""


@dataclass
class FakeCompute:
    """Two devices that compute nothing, and a record of who worked when; every pair fails in the end."""

    devices: DevicePool
    at_work: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    at_once: list[int] = field(default_factory=list)
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def synthesise(self, batch: SynthesisRequest, slot: Slot) -> None:
        assert batch.device == slot.device
        with self._lock:
            self._now += 1
            self.at_once.append(self._now)
        began = time.monotonic()
        time.sleep(0.02)
        with self._lock:
            self._now -= 1
            self.at_work.setdefault(slot.name, []).append((began, time.monotonic()))

    def measure(self, outcomes: Sequence[PairState]) -> None:
        for outcome in outcomes:
            outcome.fail("internal", "nothing was computed")


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Any, Any]:
    """Return a run and a plan of eight shards."""
    write_cut(tmp_path / "fork.wav", "tuning_fork_440", 0.3)
    write_cut(tmp_path / "harp.wav", "harp_phrase", CONTENT_S)
    rows = [{"pair_id": f"{n}", "content": "harp.wav", "style": "fork.wav", "seed": n} for n in range(8)]
    run, plan = begin(write_manifest(tmp_path / "m.parquet", rows), tmp_path / "out", QUICK, ONE_PER_SHARD)
    assert len(plan.shards) == 8
    return run, plan


def in_groups(planned: tuple[Any, Any], compute: Any, size: int) -> list[shards.Committed]:
    """Compute a plan as the flow does: several groups of so many shards at a time, in threads."""
    run, plan = planned
    groups = [plan.shards[start : start + size] for start in range(0, len(plan.shards), size)]
    with ThreadPoolExecutor(6) as pool:
        jobs = [
            pool.submit(compute_shards, plan.uri, group, run.output, run.run_id, ONE_PER_SHARD, compute)
            for group in groups
        ]
        return [job.result() for job in jobs]


@pytest.mark.parametrize("size", [1, 4, 8])
def test_one_shard_at_a_time_on_each_of_two_devices(planned: tuple[Any, Any], size: int) -> None:
    compute = FakeCompute(DevicePool(FAKE))
    committed = in_groups(planned, compute, size)
    assert sum(one.shards for one in committed) == sum(one.failed for one in committed) == 8
    assert [slot.name.endswith(name) for slot, name in zip(compute.devices.all, FAKE, strict=True)] == [True, True]
    assert {name.rpartition("fake")[2] for name in compute.at_work} == {":0", ":1"}
    assert max(compute.at_once) == 2
    for times in compute.at_work.values():
        times.sort()
        assert all(ended <= began for (_, ended), (began, _) in pairwise(times))


def test_the_time_of_each_device_is_counted(planned: tuple[Any, Any]) -> None:
    compute = FakeCompute(DevicePool(FAKE))
    committed = in_groups(planned, compute, 2)
    told = [time for one in committed for time in one.devices]
    for name, times in compute.at_work.items():
        (counted,) = [time for time in PROGRESS.devices.all() if time.name == name]
        assert counted.busy_s == pytest.approx(sum(time.busy_s for time in told if time.name == name))
        assert counted.busy_s >= sum(ended - began for began, ended in times)
        assert counted.began <= min(times)[0] < max(times)[1] <= counted.ended
    assert PROGRESS.devices.waited is not None
    assert 0 <= PROGRESS.devices.waited < 1


@pytest.mark.parametrize("size", [1, 8])
def test_the_next_shard_is_read_and_the_last_one_measured_while_a_device_works(
    planned: tuple[Any, Any], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stage waits for its neighbours: were they one after another, it would wait for ever."""
    read, begun = threading.Semaphore(0), threading.Semaphore(0)
    real = shards.read_shard

    def counted(*arguments: Any) -> Any:
        read.release()
        return real(*arguments)

    monkeypatch.setattr(shards, "read_shard", counted)

    class Waiting(FakeCompute):
        def synthesise(self, batch: SynthesisRequest, slot: Slot) -> None:
            begun.release()
            number = len(self.at_once)
            for _ in range(2 if number == 0 else 1 if number < 7 else 0):  # itself first, then the next one
                assert read.acquire(timeout=TIMEOUT_S), "the next shard is not read"
            super().synthesise(batch, slot)

        def measure(self, outcomes: Sequence[PairState]) -> None:
            assert begun.acquire(timeout=TIMEOUT_S)
            if len(self.at_once) < 8:
                assert begun.acquire(timeout=TIMEOUT_S), "no device works"
                begun.release()
            super().measure(outcomes)

    committed = in_groups(planned, Waiting(DevicePool(["fake:0"])), size)
    assert sum(one.shards for one in committed) == 8


def test_a_stop_reaches_those_who_wait_for_a_device() -> None:
    slots = DevicePool(["fake:0"])
    with slots.opened(), slots.borrowed():
        threading.Timer(0.1, request_stop).start()
        with pytest.raises(Interrupted), slots.borrowed():
            pass


class Host:
    """Accelerators of a host that runs share: who has them, as Prefect's limits would say."""

    def __init__(self) -> None:
        self.locks = {device: threading.Lock() for device in FAKE}
        self.entered: list[str] = []

    @contextmanager
    def alone_on(self, device: str) -> Iterator[None]:
        if not self.locks[device].acquire(timeout=0.05):
            raise TimeoutError
        self.entered.append(device)
        try:
            yield
        finally:
            self.locks[device].release()

    def taken(self) -> set[str]:
        return {device for device, lock in self.locks.items() if lock.locked()}

    def wait_until(self, taken: set[str]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while self.taken() != taken:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_groups_of_one_run_share_its_devices_and_no_other_run_gets_in() -> None:
    host = Host()
    slots = DevicePool(FAKE, host.alone_on)
    with slots.opened():
        with slots.opened(), slots.borrowed() as one, slots.borrowed() as other:
            assert {one.device, other.device} == {*FAKE}
        assert host.taken() == {*FAKE}
        with slots.opened(), slots.borrowed():
            pass
    host.wait_until(set())
    assert sorted(host.entered) == [*FAKE]


def test_a_device_that_another_run_has_is_waited_for_and_the_free_one_used_meanwhile() -> None:
    host = Host()
    mine, theirs = DevicePool(FAKE, host.alone_on), DevicePool(FAKE[:1], host.alone_on)
    with ExitStack() as other_run:
        other_run.enter_context(theirs.opened())
        host.wait_until({"fake:0"})
        with mine.opened():
            for _ in range(3):
                with mine.borrowed() as slot:
                    assert slot.device == "fake:1"
            other_run.close()
            with mine.borrowed() as one, mine.borrowed() as other:
                assert {one.device, other.device} == {*FAKE}


def test_why_a_device_cannot_be_had_is_told() -> None:
    @contextmanager
    def broken(device: str) -> Iterator[None]:
        raise RuntimeError(f"no limit for {device}")
        yield

    slots = DevicePool(["fake:0"], broken)
    for _ in range(2):
        with slots.opened(), pytest.raises(RuntimeError, match="no limit for fake:0"), slots.borrowed():
            pass
