"""Which devices compute, and how many shards at a time. Importing this module does not import torch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache

from tasks.devices.device_limits import alone_on
from tasks.devices.device_pool import PROGRAM, DevicePool
from tasks.devices.executors import DeviceQuery, SubprocessExecutor
from tasks.devices.measurement_pool import MeasurementPool
from tasks.host import cores
from tasks.options import DeviceError, RunOptions
from tasks.workers.supervision import Worker

START_TIMEOUT_S = 300.0

CPU_BATCH = 4
"""Pairs in one tensor on a processor, where larger batches are no faster (docs/performance.md)."""

ACCELERATOR_BATCH = 256
"""On an accelerator a batch is what fits into its free memory, at most this; a shard has seldom as many."""

MEASUREMENT_WORKERS_PER_ACCELERATOR = 4
CPU_SLOTS_PER_MEASUREMENT_WORKER = 16
"""Measuring a pair costs a hundredth of synthesising it on a processor (docs/performance.md)."""


def choose_devices(name: str) -> tuple[str, ...]:
    """Return the devices to compute on: for `auto` every GPU, else mps, else the processor; for `cuda` every GPU.

    Raises
    ------
    DeviceError
        If a device is named that this machine does not have.
    """
    if name == "cpu":
        return ("cpu",)  # without asking
    present = _present_devices()
    gpus = tuple(device for device in present if device.startswith("cuda"))
    chosen = {"auto": gpus or present[:1], "cuda": gpus}.get(name, (name,))
    if not chosen or not set(chosen) <= set(present):
        raise DeviceError(f"device={name!r}: not on this machine, which has {', '.join(sorted(present))}")
    return chosen


def choose_device(name: str) -> str:
    """Return the first of `choose_devices`; raises as it."""
    return choose_devices(name)[0]


def shards_at_a_time(options: RunOptions) -> int:
    """Return how many shards are computed at a time: one per accelerator, on a processor one per `threads` cores."""
    return len(slots_for(options))


def slots_for(options: RunOptions) -> tuple[str, ...]:
    """Return the device of each slot; `workers` limits how many of several accelerators are used."""
    devices = choose_devices(options.device)
    return devices * options.cpu_workers if devices == ("cpu",) else devices[: options.workers]


def batch_size_for(options: RunOptions) -> int:
    """Return the most pairs in a batch."""
    return options.batch_size or (CPU_BATCH if slots_for(options)[0] == "cpu" else ACCELERATOR_BATCH)


def subprocess_executor(options: RunOptions) -> SubprocessExecutor:
    """Return this process's device processes and measurement workers; those of equal options are the same, and stay."""
    with _MAKING:  # the first groups of a run ask at the same time
        return _subprocess_executor(slots_for(options), options.stall_s)


_MAKING = threading.Lock()


@lru_cache(maxsize=4)
def _subprocess_executor(devices: tuple[str, ...], stall_s: float) -> SubprocessExecutor:
    on_processor = devices[0] == "cpu"
    slots = DevicePool(devices, None if on_processor else alone_on)
    if _asked:
        slots.all[0].worker.take_over(_asked.pop())
    return SubprocessExecutor(slots, MeasurementPool(_measurement_workers(devices)), stall_s)


def _measurement_workers(devices: Sequence[str]) -> int:
    if devices[0] == "cpu":
        return 1 + len(devices) // CPU_SLOTS_PER_MEASUREMENT_WORKER
    return max(1, min(MEASUREMENT_WORKERS_PER_ACCELERATOR * len(devices), cores() - len(devices)))


_asked: list[Worker] = []
"""The process that was asked for the devices; a slot goes on with it, since starting one takes seconds."""


@lru_cache(maxsize=1)
def _present_devices() -> tuple[str, ...]:
    """Ask a process that has torch."""
    _asked.append(Worker(PROGRAM))
    return tuple(_asked[0].request(DeviceQuery(), START_TIMEOUT_S))
