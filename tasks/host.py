"""Processes: how another one on the same machine can tell whether this one lives, and how many cores it has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_STARTED = 19
"""Field 22 of /proc/<pid>/stat, counted after the name: when the process began, in ticks since the machine did."""


class ProcessId(NamedTuple):
    """A process for as long as its machine runs; numbers alone are given anew to other processes.

    Attributes
    ----------
    boot : str
        The machine's boot id; empty where there is none (not Linux), and then nobody can tell.
    namespace : str
        Of process numbers: containers on one machine each have their own.
    pid : int
        Its number there.
    started : str
        When it began, in ticks since the machine did.
    """

    boot: str
    namespace: str
    pid: int
    started: str


def this_process() -> ProcessId:
    """Return the identity of this process."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return ProcessId(boot, _namespace(), os.getpid(), _started(os.getpid()) or "")
    except OSError:
        return ProcessId("", "", os.getpid(), "")


def is_dead(process: ProcessId) -> bool:
    """Return whether a process of this machine is known to have ended; False for those of others."""
    here = this_process()
    if not here.boot or (process.boot, process.namespace) != (here.boot, here.namespace):
        return False
    return _started(process.pid) != process.started


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _namespace() -> str:
    return os.readlink(PROC / "self/ns/pid")


def _started(pid: int) -> str | None:
    """Return when a process began, None if it has ended; a zombie has."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if state in "ZX" else rest[_STARTED - 1]
