"""Weights of a network as a file's bytes, and their digest, without torch: planning needs no more of the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from stylecore.errors import WeightsError

SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "instruments80.safetensors"
ARCHITECTURE = "alexnet-3x3-stride1-quarter"


@dataclass(frozen=True)
class Weights:
    """Trained weights.

    Attributes
    ----------
    digest : str
        sha256 over names and values of all tensors that the encodings depend on; weights are equal if these are.
    name : str
        Where they come from, for messages.
    data : bytes or None
        The safetensors file; None for the shipped ones, which every process has.
    """

    digest: str
    name: str = field(default="shipped", compare=False)
    data: bytes | None = field(default=None, compare=False, repr=False)


@lru_cache(maxsize=1)
def shipped() -> Weights:
    """Return the shipped weights; raises as `weights_in`."""
    return Weights(weights_in(SHIPPED_WEIGHTS.read_bytes(), str(SHIPPED_WEIGHTS)).digest)


def weights_in(data: bytes, name: str) -> Weights:
    """Return the weights in the bytes of a safetensors file.

    Raises
    ------
    WeightsError
        If it is no such file, or its weights are of another architecture.
    """
    tensors = _tensors(data, name)
    _check_architecture(data, name)
    if wrong := _shapes(tensors).items() ^ _shipped_shapes().items():
        raise WeightsError(f"weights {name}: other tensors than {ARCHITECTURE!r} has: {min(wrong)[0]}")
    digest = hashlib.sha256()
    for tensor, values in sorted(tensors.items()):
        if decides_encodings(tensor):
            digest.update(tensor.encode())
            digest.update(np.ascontiguousarray(values, dtype=np.float32).tobytes())
    return Weights(digest.hexdigest(), name, data)


def _check_architecture(data: bytes, name: str) -> None:
    length = int.from_bytes(data[:8], "little")
    found = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get("architecture")
    if found != ARCHITECTURE:
        raise WeightsError(f"weights {name}: architecture {found!r}, expected {ARCHITECTURE!r}")


def decides_encodings(name: str) -> bool:
    """Return whether a tensor of that name decides the encodings: the classifier and counters do not."""
    return not name.startswith("classifier.") and not name.endswith("num_batches_tracked")


def _shapes(tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: values.shape for name, values in tensors.items() if decides_encodings(name)}


@lru_cache(maxsize=1)
def _shipped_shapes() -> dict[str, tuple[int, ...]]:
    return _shapes(_tensors(SHIPPED_WEIGHTS.read_bytes(), str(SHIPPED_WEIGHTS)))


def _tensors(data: bytes, name: str) -> dict[str, np.ndarray]:
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"weights {name}: not a readable safetensors file ({error})") from error
