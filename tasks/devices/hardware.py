"""What torch knows of a machine's devices. Only processes that compute import this module."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from stylecore.encoder import Encoder
from stylecore.folded_alexnet import encoder_of
from stylecore.weights import Weights


def present_devices() -> list[str]:
    """Return the devices of this machine, the best first: every `cuda:N`, or mps; the processor last."""
    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def free_bytes(device: str) -> int | None:
    """Return how much more memory tensors may take on an accelerator; None for the processor, which has the system's.

    What torch keeps of freed memory for itself counts as free.
    """
    if device.startswith("cuda"):
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + kept)
    if device == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return None


def end_if_lost(device: str) -> None:
    """End this process if its GPU is lost to it: after a fault in a kernel every later call fails, for whatever pair.

    Another process finds the device whole again; the parent starts one (`tasks/workers/supervision.py`).

    Raises
    ------
    SystemExit
        If so.
    """
    if device.startswith("cuda"):
        try:
            torch.cuda.synchronize(device)
        except Exception as error:
            raise SystemExit(f"{device} is lost to this process: {error}") from None


def on_device(samples: NDArray[np.float32], device: str) -> torch.Tensor:
    """Return samples `[N]` as a tensor; a copy to a GPU is not waited for, which needs pinned memory."""
    tensor = torch.from_numpy(samples)
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)


@lru_cache(maxsize=4)
def encoder_on(device: str, weights: Weights) -> Encoder:
    """Return a network's filters on a device, loaded once per process; raises as `load_network`."""
    if device.startswith("cuda"):
        # TF32: products of 10-bit mantissas summed in float32, on the GPUs that have it.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    return encoder_of(weights).to(device)
