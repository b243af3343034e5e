"""What a GPU asks of the code, as far as a machine without one can show it: room, choice, and no waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stylecore.weights import shipped
from tasks.cache import ByteLimitedCache
from tasks.devices import choice as devices
from tasks.devices.choice import batch_size_for, choose_devices, shards_at_a_time, slots_for
from tasks.devices.hardware import encoder_on, on_device
from tasks.options import DeviceError, RunOptions
from tasks.pair_state import PairState, error_type_of
from tasks.pipeline import batch_synthesis as synthesis
from tasks.pipeline.batch_synthesis import BYTES_PER_SAMPLE, FILLED, pairs_that_fit, synthesise_batch
from tasks.pipeline.inputs import read_pair
from tasks.storage.storage import Storage
from tests.tasks.corpus import QUICK, planned, write_cut, write_manifest

LONG = QUICK.resolve(
    {"coarse_iterations": 0, "iterations": 25, "sound_iterations": 0, "griffin_lim_iterations": 1, "tolerance": 0.0}
)


def outcomes(folder: Path, count: int, settings: Any = QUICK) -> list[PairState]:
    write_cut(folder / "harp.wav", "harp_phrase")
    write_cut(folder / "fork.wav", "tuning_fork_440", 0.3)
    rows = [{"pair_id": f"{n}", "content": "harp.wav", "style": "fork.wav", "seed": n} for n in range(count)]
    pairs, _ = planned(write_manifest(folder / "m.parquet", rows), folder, settings)
    return [read_pair(pair, Storage(), ByteLimitedCache(0)) for pair in pairs]


def synthesised(batch: list[PairState]) -> list[PairState]:
    synthesise_batch(batch, "cpu", shipped(), ByteLimitedCache(1 << 28), lambda: None)
    return batch


class TestRoom:
    def test_twice_the_memory_holds_twice_the_pairs(self) -> None:
        few, many = (pairs_that_fit(41_120, free) for free in (8 << 30, 16 << 30))
        assert few is not None
        assert many is not None
        assert abs(many - 2 * few) <= 1
        assert few * 41_120 * BYTES_PER_SAMPLE <= FILLED * (8 << 30)

    def test_one_pair_is_always_tried(self) -> None:
        assert pairs_that_fit(480_000, 0) == 1

    def test_a_processor_has_no_limit(self) -> None:
        assert pairs_that_fit(480_000, None) is None

    @pytest.mark.parametrize(("room", "sizes"), [(5, [5]), (4, [2, 3]), (2, [1, 2, 2]), (0.5, [1] * 5)])
    def test_a_batch_is_cut_to_what_the_free_memory_holds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: float, sizes: list[int]
    ) -> None:
        found: list[int] = []
        real = synthesis.synthesise

        def counted(pairs: Any, *rest: Any) -> Any:
            found.append(len(pairs))
            return real(pairs, *rest)

        batch = outcomes(tmp_path, 5)
        assert batch[0].content is not None
        per_pair = BYTES_PER_SAMPLE * len(batch[0].content) / FILLED
        monkeypatch.setattr(synthesis, "synthesise", counted)
        monkeypatch.setattr(synthesis, "free_bytes", lambda device: int(room * per_pair) + 100)
        assert all(outcome.rendered is not None for outcome in synthesised(batch))
        assert found == sizes

    def test_what_does_not_fit_after_all_is_halved(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fake device that holds two pairs, and says that it holds more."""
        found: list[int] = []
        real = synthesis.synthesise

        def cramped(pairs: Any, *rest: Any) -> Any:
            found.append(len(pairs))
            if len(pairs) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(pairs, *rest)

        monkeypatch.setattr(synthesis, "synthesise", cramped)
        assert all(outcome.rendered is not None for outcome in synthesised(outcomes(tmp_path, 7)))
        assert found == [7, 3, 1, 2, 4, 2, 2]


class TestChoice:
    @pytest.fixture(params=[("cuda:0", "cuda:1", "cpu"), ("mps", "cpu")], ids=["two GPUs", "mps"])
    def present(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ...]]:
        found: tuple[str, ...] = request.param
        monkeypatch.setattr(devices, "_present_devices", lambda: found)
        return found

    def test_the_best_devices_are_chosen_and_all_of_them_used(self, present: tuple[str, ...]) -> None:
        best = present[:-1]
        assert choose_devices("auto") == slots_for(RunOptions()) == best
        assert shards_at_a_time(RunOptions()) == len(best)
        assert shards_at_a_time(RunOptions(workers=1)) == 1
        assert batch_size_for(RunOptions()) > batch_size_for(RunOptions(device="cpu")) == 4
        assert batch_size_for(RunOptions(batch_size=3)) == 3
        assert choose_devices("cpu") == ("cpu",)

    def test_one_device_may_be_named(self, present: tuple[str, ...]) -> None:
        if "cuda:1" in present:
            assert choose_devices("cuda:1") == ("cuda:1",)
            assert choose_devices("cuda") == ("cuda:0", "cuda:1")
        for absent in ("cuda:7", *(["cuda"] if "mps" in present else ["mps"])):
            with pytest.raises(DeviceError, match=absent):
                choose_devices(absent)


class Watch(TorchDispatchMode):
    """Counts how often a value is read back: on a GPU each time is a wait for all that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.reads: Counter[int] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default:
            self.reads[self.step] += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("padded", [False, True])
def test_evaluations_wait_for_the_device_every_tenth_time_only(tmp_path: Path, padded: bool) -> None:
    batch = outcomes(tmp_path, 3, LONG)
    if padded:
        batch[0].content = batch[0].content[:-480] if batch[0].content is not None else None
    watch = Watch()

    def on_step() -> None:
        watch.step += 1

    with watch:
        synthesise_batch(batch, "cpu", shipped(), ByteLimitedCache(0), on_step)
    assert all(outcome.rendered is not None for outcome in batch)
    # It has been called once before anything, and once before the first evaluation.
    waits = [step - 1 for step in range(2, LONG.iterations + 1) if watch.reads[step]]
    assert waits[-1] > 10
    assert all(later - earlier >= 10 for earlier, later in pairwise(waits))


class Lost(RuntimeError):
    """What a GPU says after a fault, whatever it is asked."""


def test_a_process_ends_that_has_lost_its_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each pair of its batch would fail for good, and the next batch with them."""

    def gone(*_: object) -> None:
        raise Lost("an illegal memory access was encountered")

    batch = outcomes(tmp_path, 2)
    monkeypatch.setattr(synthesis, "synthesise", gone)
    monkeypatch.setattr(torch.cuda, "synchronize", gone)
    monkeypatch.setattr(synthesis, "encoder_on", lambda *_: encoder_on("cpu", shipped()))
    monkeypatch.setattr(synthesis, "on_device", lambda samples, _: on_device(samples, "cpu"))
    monkeypatch.setattr(synthesis, "free_bytes", lambda _: None)
    with pytest.raises(SystemExit, match="cuda:0 is lost to this process: an illegal memory access"):
        synthesise_batch(batch, "cuda:0", shipped(), ByteLimitedCache(0), lambda: None)
    synthesise_batch(batch, "cpu", shipped(), ByteLimitedCache(0), lambda: None)
    assert [outcome.error_type for outcome in batch] == ["internal"] * 2


def test_a_device_that_does_not_tell_its_room_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: object) -> None:
        raise RuntimeError("CUDA error: unknown error")

    monkeypatch.setattr(synthesis, "free_bytes", silent)
    assert all(outcome.rendered is not None for outcome in synthesised(outcomes(tmp_path, 2)))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out_of_memory"),
        (RuntimeError("MPS backend out of memory"), "out_of_memory"),
        (RuntimeError("The size of tensor a must match"), "internal"),
        (ValueError("out of memory"), "internal"),
    ],
)
def test_short_memory_is_told_from_a_defect(error: Exception, kind: str) -> None:
    assert error_type_of(error) == kind


def test_the_processor_s_own_error_of_short_memory_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert error_type_of(caught.value) == "out_of_memory"
