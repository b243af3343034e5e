"""Names of devices that mean the same to every process of a host, whatever each of them may see."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"


def name_on_host(device: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return a device's name with its host's; torch counts only the GPUs that a process was given, each from 0.

    >>> name_on_host("cuda:1", {}).endswith(":cuda:1")
    True
    >>> name_on_host("cuda:1", {"CUDA_VISIBLE_DEVICES": "2,5"}).endswith(":cuda:5")
    True
    """
    kind, _, index = device.partition(":")
    visible = [one.strip() for one in environment.get(VISIBLE, "").split(",") if one.strip()]
    if kind == "cuda" and int(index or 0) < len(visible):
        device = f"cuda:{visible[int(index or 0)]}"
    return f"{platform.node()}:{device}"
