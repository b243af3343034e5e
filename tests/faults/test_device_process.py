"""Device processes and measurement workers: what kills one, or makes it stand still, costs one pair, and no run."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from stylecore.errors import Interrupted
from tasks.cache import ByteLimitedCache
from tasks.devices import measurement_pool as measuring
from tasks.devices.device_pool import PROGRAM, DevicePool
from tasks.devices.executors import Executor, SubprocessExecutor, SynthesisRequest
from tasks.devices.measurement_pool import MeasurementPool
from tasks.interruption import clear_stop, request_stop
from tasks.ledger.commit import ResultRow
from tasks.pipeline.in_process import InProcessExecutor
from tasks.pipeline.inputs import read_pair
from tasks.pipeline.rows import RowContext, rows_of
from tasks.progress import PROGRESS
from tasks.storage.storage import Storage
from tasks.workers import client as children
from tests.faults import faulty_measurer
from tests.faults.report import recorded
from tests.flows.processes import TIMEOUT_S
from tests.tasks.corpus import QUICK, planned, write_cut, write_manifest

STYLES = ("violin_sustained", "glass_rub", "tuning_fork_440")
FAULTY_DEVICE, FAULTY_MEASURER = "tests.faults.faulty_device", "tests.faults.faulty_measurer"
SETTINGS = QUICK.resolve({"coarse_iterations": 1, "iterations": 1, "sound_iterations": 1, "griffin_lim_iterations": 1})
CONTEXT = RowContext("/out", "run", 0, "cpu", "digest")


@pytest.fixture(autouse=True)
def _not_stopping() -> Iterator[None]:
    clear_stop()
    yield
    clear_stop()


def read_batch(folder: Path, names: Sequence[str], content_s: float = 0.4) -> SynthesisRequest:
    """Return a batch of pairs of these names, with their sounds."""
    write_cut(folder / "harp.wav", "harp_phrase", content_s)
    for style in STYLES:
        write_cut(folder / f"{style}.wav", style, 0.3)
    rows = [
        {"pair_id": name, "content": "harp.wav", "style": f"{style}.wav"}
        for name, style in zip(names, STYLES, strict=True)
    ]
    pairs, _ = planned(write_manifest(folder / "m.parquet", rows), folder, SETTINGS)
    outcomes = [read_pair(pair, Storage(), ByteLimitedCache(0)) for pair in sorted(pairs, key=itemgetter("row"))]
    return SynthesisRequest(outcomes, "cpu", 1, 1 << 28)


@pytest.fixture
def batch(request: pytest.FixtureRequest, tmp_path: Path) -> SynthesisRequest:
    """Return a batch of three pairs; the test may name the middle one."""
    return read_batch(tmp_path, [STYLES[0], getattr(request, "param", STYLES[1]), STYLES[2]])


@contextmanager
def executor(
    device: str = PROGRAM, measurer: str = measuring.PROGRAM, stall_s: float = 300
) -> Iterator[SubprocessExecutor]:
    """Yield one slot and one measurement worker that run these programs, and leave no process behind."""
    compute = SubprocessExecutor(DevicePool(["cpu"], program=device), MeasurementPool(1, measurer), stall_s)
    try:
        yield compute
    finally:
        compute.devices.close()
        compute.measurement_pool.close()


@pytest.fixture(scope="module")
def sound() -> Iterator[SubprocessExecutor]:
    """Return what computes as it should."""
    with executor() as compute:
        yield compute


@pytest.fixture
def faulty() -> Iterator[SubprocessExecutor]:
    """Return what has a faulty device process, and a faulty measurement worker."""
    with executor(FAULTY_DEVICE, FAULTY_MEASURER) as compute:
        yield compute


def computed(compute: Executor, batch: SynthesisRequest) -> list[ResultRow]:
    """Take a batch through both stages."""
    compute.synthesise(batch, compute.devices.all[0])
    compute.measure(batch.outcomes)
    return rows_of(batch.outcomes, CONTEXT)


def pid(compute: SubprocessExecutor) -> int:
    found = compute.devices.all[0].worker.pid
    assert found is not None
    return found


def statuses(measured: list[ResultRow]) -> list[object]:
    return [result.row["error_type"] or result.row["status"] for result in measured]


def test_processes_of_their_own_compute_the_same(batch: SynthesisRequest, sound: SubprocessExecutor) -> None:
    again = replace(batch, outcomes=[replace(outcome) for outcome in batch.outcomes])
    there, here = computed(sound, batch), computed(InProcessExecutor("cpu"), again)
    assert statuses(there) == ["succeeded"] * 3
    assert [one.audio for one in there] == [one.audio for one in here]
    assert {one.row["pair_id"] for one in there} == {*STYLES}
    for one, other in zip(there, here, strict=True):
        assert one.row.keys() == other.row.keys()
        for name in one.row.keys() - {"finished_at"}:
            if isinstance(one.row[name], float):
                assert name.startswith("seconds") or one.row[name] == pytest.approx(other.row[name]), name
            else:
                assert one.row[name] == other.row[name], name


def test_its_steps_are_counted_here(batch: SynthesisRequest, sound: SubprocessExecutor) -> None:
    before = PROGRESS.steps
    measured = computed(sound, batch)
    assert PROGRESS.steps - before >= max(int(str(one.row["evaluations"])) for one in measured)


def test_what_could_not_be_read_needs_no_process(batch: SynthesisRequest) -> None:
    for outcome in batch.outcomes:
        outcome.fail("missing", "not there")
    with executor() as compute:
        assert statuses(computed(compute, batch)) == ["missing"] * 3
        assert compute.devices.all[0].worker.pid is compute.measurement_pool.all[0].pid is None


def test_a_request_to_stop_reaches_it_and_leaves_it_usable(batch: SynthesisRequest, sound: SubprocessExecutor) -> None:
    sound.synthesise(batch, sound.devices.all[0])  # so that there is one
    before = pid(sound)
    threading.Timer(0.2, request_stop).start()
    with pytest.raises(Interrupted):
        synthesise_for_ever(sound, batch)
    clear_stop()
    sound.synthesise(batch, sound.devices.all[0])
    assert pid(sound) == before


def synthesise_for_ever(compute: SubprocessExecutor, batch: SynthesisRequest) -> NoReturn:
    while True:
        compute.synthesise(batch, compute.devices.all[0])


@pytest.mark.parametrize(
    ("batch", "told"),
    [pytest.param("crash", "SIGSEGV", marks=pytest.mark.slow), ("kill", "SIGKILL")],
    indirect=["batch"],
)
def test_a_pair_that_ends_its_process_fails_alone(
    batch: SynthesisRequest, told: str, faulty: SubprocessExecutor
) -> None:
    with recorded(f"a device process dies of one pair, {told}"):
        assert_fails_alone(computed(faulty, batch), told)


@pytest.mark.soak  # it must wait for longer than any process takes to start, three times
@pytest.mark.parametrize("batch", ["hang"], indirect=True)
def test_a_pair_that_stands_still_fails_alone(batch: SynthesisRequest, faulty: SubprocessExecutor) -> None:
    with recorded("a device process stands still"):
        assert_fails_alone(computed(replace(faulty, stall_s=30), batch), "no sign of life")


def assert_fails_alone(measured: list[ResultRow], told: str) -> None:
    assert statuses(measured) == ["succeeded", "device_process", "succeeded"]
    assert told in str(measured[1].row["error_message"])
    assert measured[1].audio is None


@pytest.mark.parametrize("batch", ["hang"], indirect=True)
def test_what_stands_still_is_killed_and_tried_again(batch: SynthesisRequest, faulty: SubprocessExecutor) -> None:
    one = replace(batch, outcomes=batch.outcomes[1:2])
    (measured,) = computed(replace(faulty, stall_s=5), one)
    assert statuses([measured]) == ["device_process"]
    assert "no sign of life" in str(measured.row["error_message"])
    assert faulty.devices.all[0].worker.pid is None


@pytest.mark.parametrize("batch", ["crash_once"], indirect=True)
def test_what_happens_once_costs_nothing(batch: SynthesisRequest, faulty: SubprocessExecutor) -> None:
    with recorded("a device process dies once"):
        assert statuses(computed(faulty, batch)) == ["succeeded"] * 3


@pytest.mark.parametrize("batch", ["memory"], indirect=True)
def test_a_batch_without_memory_is_halved_in_its_process(batch: SynthesisRequest, faulty: SubprocessExecutor) -> None:
    with recorded("out of memory on the device"):
        assert statuses(computed(faulty, batch)) == ["succeeded", "out_of_memory", "succeeded"]


def test_a_process_killed_from_outside_is_replaced(batch: SynthesisRequest, faulty: SubprocessExecutor) -> None:
    computed(faulty, batch)
    for worker in (faulty.devices.all[0].worker, faulty.measurement_pool.all[0]):
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
    time.sleep(0.1)
    again = replace(batch, outcomes=[replace(outcome, rendered=None, measurement=None) for outcome in batch.outcomes])
    assert statuses(computed(faulty, again)) == ["succeeded"] * 3


@pytest.mark.parametrize(
    ("n_samples", "told"),
    [(faulty_measurer.DEADLY, "SIGKILL"), pytest.param(faulty_measurer.ENDLESS, "no sign", marks=pytest.mark.slow)],
)
def test_a_result_that_ends_its_meter_fails_alone(
    batch: SynthesisRequest, n_samples: int, told: str, faulty: SubprocessExecutor
) -> None:
    with recorded(f"a measurement worker dies or stands still, {told}"):
        faulty.synthesise(batch, faulty.devices.all[0])
        bad = batch.outcomes[1]
        assert bad.rendered is not None
        bad.rendered = replace(bad.rendered, samples=np.resize(bad.rendered.samples, n_samples))
        replace(faulty, stall_s=10).measure(batch.outcomes)
        assert_fails_alone(rows_of(batch.outcomes, CONTEXT), told)


def test_a_meter_whose_pipes_are_closed_while_it_starts_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the end of the program finds it, where a run is refused early: no traceback of a thread follows the error."""
    faults: list[object] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)

    def closed_meanwhile(connection: object, response_timeout_s: float) -> NoReturn:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(children, "receive", closed_meanwhile)
    pool = MeasurementPool(1)
    pool.warm_up()
    for thread in threading.enumerate():
        if thread.name == "measurement":
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()
    pool.close()
    assert faults == []
