"""Device processes: what kills one, or makes it stand still, costs one pair, and no run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import NoReturn

import pytest

from stylecore.errors import Interrupted
from tasks import computing
from tasks.cache import ByteLimitedCache
from tasks.computing import Batch, DeviceProcesses, compute_here
from tasks.interruption import clear_stop, request_stop
from tasks.measurement import Measured, RowContext
from tasks.progress import PROGRESS
from tasks.reading import read_pair
from tasks.storage import Storage
from tests.faults.report import recorded
from tests.tasks.corpus import planned, write_cut, write_manifest

STYLES = ("violin_sustained", "glass_rub", "tuning_fork_440")
FAULTY = "tests.faults.faulty_device"
"""The real program, but for what it does with pairs of certain names."""


@pytest.fixture(autouse=True)
def _not_stopping() -> Iterator[None]:
    clear_stop()
    yield
    clear_stop()


@pytest.fixture
def batch(request: pytest.FixtureRequest, tmp_path: Path) -> Batch:
    """Return a batch of three pairs; the test may name the middle one."""
    names = [STYLES[0], getattr(request, "param", STYLES[1]), STYLES[2]]
    write_cut(tmp_path / "harp.wav", "harp_phrase")
    for style in STYLES:
        write_cut(tmp_path / f"{style}.wav", style, 0.3)
    rows = [
        {"pair_id": name, "content": "harp.wav", "style": f"{style}.wav"}
        for name, style in zip(names, STYLES, strict=True)
    ]
    pairs, _ = planned(write_manifest(tmp_path / "m.parquet", rows), tmp_path)
    outcomes = [read_pair(pair, Storage(), ByteLimitedCache(0)) for pair in sorted(pairs, key=itemgetter("row"))]
    return Batch(outcomes, RowContext(str(tmp_path), "run", 0, "cpu", "digest"), 1, 1 << 28)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start the faulty program, in new processes, and leave none behind."""
    monkeypatch.setattr(computing, "PROGRAM", FAULTY)
    monkeypatch.setattr(computing, "_idle", [])
    yield
    for child in computing._idle:
        child.close()


def statuses(measured: list[Measured]) -> list[object]:
    return [result.row["error_type"] or result.row["status"] for result in measured]


def test_a_process_of_its_own_computes_the_same_samples(batch: Batch) -> None:
    apart, here = DeviceProcesses(300)(batch), compute_here(batch)
    assert statuses(apart) == ["succeeded"] * 3
    assert [one.row["samples_sha256"] for one in apart] == [one.row["samples_sha256"] for one in here]
    assert [one.flac for one in apart] == [one.flac for one in here]
    assert {one.row["pair_id"] for one in apart} == {*STYLES}


def test_its_steps_are_counted_here(batch: Batch) -> None:
    measured = DeviceProcesses(300)(batch)
    assert PROGRESS.steps >= max(int(str(one.row["evaluations"])) for one in measured)


def test_a_request_to_stop_reaches_it_and_leaves_it_usable(batch: Batch) -> None:
    DeviceProcesses(300)(batch)  # so that one is idle
    (child, *_) = computing._idle
    threading.Timer(0.2, request_stop).start()
    with pytest.raises(Interrupted):
        compute_for_ever(batch)
    assert not child.ended
    assert child in computing._idle


def compute_for_ever(batch: Batch) -> NoReturn:
    while True:
        DeviceProcesses(300)(batch)


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(("batch", "told"), [("crash", "SIGSEGV"), ("kill", "SIGKILL")], indirect=["batch"])
def test_a_pair_that_ends_its_process_fails_alone(batch: Batch, told: str) -> None:
    with recorded(f"a device process dies of one pair, {told}"):
        assert_fails_alone(DeviceProcesses(300)(batch), told)


@pytest.mark.soak  # it must wait for longer than any process takes to start, three times
@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("batch", ["hang"], indirect=True)
def test_a_pair_that_stands_still_fails_alone(batch: Batch) -> None:
    with recorded("a device process stands still"):
        assert_fails_alone(DeviceProcesses(30)(batch), "no sign of life")


def assert_fails_alone(measured: list[Measured], told: str) -> None:
    assert statuses(measured) == ["succeeded", "device_process", "succeeded"]
    assert told in str(measured[1].row["error_message"])
    assert measured[1].flac is None


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("batch", ["hang"], indirect=True)
def test_what_stands_still_is_killed_tried_again_and_failed(batch: Batch) -> None:
    (measured,) = DeviceProcesses(8)(replace(batch, outcomes=batch.outcomes[1:2]))
    assert statuses([measured]) == ["device_process"]
    assert "no sign of life" in str(measured.row["error_message"])
    assert computing._idle == []


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("batch", ["crash_once"], indirect=True)
def test_what_happens_once_costs_nothing(batch: Batch) -> None:
    with recorded("a device process dies once"):
        assert statuses(DeviceProcesses(300)(batch)) == ["succeeded"] * 3


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("batch", ["memory"], indirect=True)
def test_a_batch_without_memory_is_halved_in_its_process(batch: Batch) -> None:
    with recorded("out of memory on the device"):
        measured = DeviceProcesses(300)(batch)
        assert statuses(measured) == ["succeeded", "out_of_memory", "succeeded"]


def test_a_process_killed_from_outside_is_replaced(batch: Batch) -> None:
    DeviceProcesses(300)(batch)
    for child in computing._idle:
        os.kill(child.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert statuses(DeviceProcesses(300)(batch)) == ["succeeded"] * 3
