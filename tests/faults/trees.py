"""Processes with all that they started: frozen together, looked at, and let go on or killed as at one moment."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path


def freeze(leader: int) -> set[int]:
    """Stop a session's leader and everything that belongs to it, until nobody is left to start more."""
    frozen: set[int] = set()
    while new := _tree(leader) - frozen:
        send(new, signal.SIGSTOP)
        frozen |= new
    return frozen


def kill_tree(process: subprocess.Popen[str]) -> None:
    """Kill a program with all that it started as at one moment: none is left to tell of another's death."""
    kill_frozen(freeze(process.pid), process)


def kill_frozen(tree: set[int], process: subprocess.Popen[str]) -> None:
    """Kill what `freeze` of a process returned, and wait until it is gone."""
    assert process.pid in tree
    send(tree, signal.SIGKILL)
    process.wait()
    while living(tree):
        time.sleep(0.01)


def send(pids: set[int], number: signal.Signals) -> None:
    """Send a signal to processes that may be gone already."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def living(pids: set[int]) -> set[int]:
    """Return those that are no mere zombies."""
    return {pid for pid in pids if pid in _processes()}


def marked(mark: str) -> dict[int, str]:
    """Return the programs, by number, that inherited a variable of this content, whatever session they are in."""
    found = {}
    for pid in _processes():
        with suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return found


def _tree(leader: int) -> set[int]:
    """Return what descends from a process, or is in its session or group: orphans keep these."""
    processes = _processes()
    tree = {pid for pid, (_, group, session) in processes.items() if leader in (pid, group, session)}
    while more := {pid for pid, (parent, _, _) in processes.items() if parent in tree} - tree:
        tree |= more
    return tree


def _processes() -> dict[int, tuple[int, int, int]]:
    """Return parent, group and session of every process that is not a zombie."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                # The program's name, in brackets, may hold anything.
                state, *numbers = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if state not in "ZX":
                    found[int(folder.name)] = (int(numbers[0]), int(numbers[1]), int(numbers[2]))
    return found
