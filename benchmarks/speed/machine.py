"""Where a table was made, and what the work behind it cost the processor, processes of its own included."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tasks.host import cores

_PROC = Path("/proc")
_PARENT, _USER, _SYSTEM, _USER_OF_ENDED, _SYSTEM_OF_ENDED = 1, 11, 12, 13, 14
"""Fields of /proc/<pid>/stat after the name of the program, from 0."""


def machine() -> str:
    """Return what has to be known of a machine to read its times: processor, cores, memory and versions."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    hardware = f"{_processor()}, {cores()} cores, {memory_gib:.0f} GiB, no GPU used"
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, torch {version('torch')}"
    return f"{hardware}; {system}"


def made_by(command: str) -> str:
    """Return the line that stands over every generated table."""
    return f"Made by `{command}`. Machine: {machine()}."


def processor_seconds() -> float:
    """Return the processor time of this process and of all that it has started, ended ones included, in s.

    Only Linux tells of processes that still run; elsewhere they count when they have ended.
    """
    ended = os.times()
    own = time.process_time() + ended.children_user + ended.children_system
    return own + sum(_descendants(os.getpid())) / os.sysconf("SC_CLK_TCK")


def peak_bytes() -> int:
    """Return the most memory that this process has had at a time."""
    try:
        lines = (_PROC / "self/status").read_text().splitlines()
    except OSError:  # not Linux, whose own `getrusage` tells of the parent's memory too
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _descendants(root: int) -> Iterator[int]:
    """Yield the clock ticks of each process that `root` started, at whatever remove, and that still runs."""
    stats = {int(path.parent.name): fields for path in _PROC.glob("[0-9]*/stat") if (fields := _fields(path))}
    known = {root}
    found = True
    while found:
        found = False
        for pid, fields in stats.items():
            if pid not in known and int(fields[_PARENT]) in known:
                known.add(pid)
                found = True
                counted = (_USER, _SYSTEM, _USER_OF_ENDED, _SYSTEM_OF_ENDED)
                yield sum(int(fields[field]) for field in counted)


def _fields(path: Path) -> list[str]:
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:  # it has ended meanwhile
        return []


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
