"""Which device computes, and the frozen network on it."""

from __future__ import annotations

from functools import lru_cache

import torch

from stylecore.network import Encoder, load_encoder
from tasks.options import DeviceError, RunOptions


def choose_device(name: str) -> str:
    """Return a device name that is there: for `auto` cuda, then mps, then cpu.

    Raises
    ------
    DeviceError
        If a device is named that this machine does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    present = {"cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))}
    if torch.cuda.is_available():
        present.add("cuda")
    if torch.backends.mps.is_available():
        present.add("mps")
    if name not in present:
        raise DeviceError(f"device={name!r}: not on this machine, which has {', '.join(sorted(present))}")
    return name


def shards_at_a_time(options: RunOptions) -> int:
    """Return how many shards are computed at a time: one on an accelerator, on a processor one per `threads` cores."""
    return options.cpu_workers if choose_device(options.device) == "cpu" else (options.workers or 1)


@lru_cache(maxsize=4)
def encoder_on(device: str) -> Encoder:
    """Return the shipped network's filters on a device, loaded once per process."""
    return load_encoder().to(device)
