"""The shipped weights' digest without torch: planning and committing need no more of the network."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from stylecore.errors import WeightsError

SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "instruments80.safetensors"


@lru_cache(maxsize=1)
def shipped_digest() -> str:
    """Return what `stylecore.network.weights_digest` says of the shipped network; raises as `file_digest`."""
    return file_digest(SHIPPED_WEIGHTS)


def file_digest(path: Path) -> str:
    """Return the sha256 over names and values of all tensors of a file that the encodings depend on.

    Raises
    ------
    WeightsError
        If the file is missing, or is no safetensors file.
    """
    digest = hashlib.sha256()
    try:
        with safe_open(path, framework="numpy") as file:
            for name in sorted(name for name in file.keys() if decides_encodings(name)):  # noqa: SIM118 (not a dict)
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(file.get_tensor(name), dtype=np.float32).tobytes())
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights {path}: not a readable safetensors file ({error})") from error
    return digest.hexdigest()


def decides_encodings(name: str) -> bool:
    """Return whether a tensor of that name decides the encodings: the classifier and counters do not."""
    return not name.startswith("classifier.") and not name.endswith("num_batches_tracked")
