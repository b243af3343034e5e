"""The decoder with faults that no sound file causes for sure: what the bytes begin with says which."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Any

from tasks.audio import sandbox_worker as decoder
from tasks.workers.server import Tell, serve

HARMED: list[bytes] = []
"""What an earlier sound has left behind in this process."""


def fulfil(order: decoder.DecodingRequest | None, tell: Tell) -> Any:
    if order is None:
        return None
    if HARMED:
        _suffer(HARMED[0])
    deed = bytes(order.data[:8])
    if deed == b"leaks   " or deed == b"damages ":
        HARMED.append(b"eats    " if deed == b"leaks   " else b"crashes ")
        return os.getpid()
    _suffer(deed)
    if deed == b"environ ":
        return dict(os.environ)
    if deed == b"pid     ":
        time.sleep(0.1)
        return os.getpid()
    return decoder.fulfil(order, tell)


def _suffer(deed: bytes) -> None:
    if deed == b"sleeps  ":
        time.sleep(600)
    if deed == b"crashes ":
        ctypes.string_at(0)
    if deed == b"killed  ":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == b"spins   ":
        decoder.allow_cpu_time(decoder.CPU_LIMIT_S)
        while True:
            pass
    if deed == b"eats    ":
        hoard = []
        while True:
            hoard.append(b"x" * (1 << 24))


if __name__ == "__main__":
    decoder.CPU_LIMIT_S = 1
    decoder.MEMORY_BYTES = 256 << 20
    decoder.set_limits()
    serve(fulfil)
