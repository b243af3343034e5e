"""Command lines in processes of their own, each with all that it starts in a group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from flows.environment import DEFAULTS

BIN = Path(sys.executable).parent
TIMEOUT_S = 120.0
Value = TypeVar("Value")


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return this process's environment with a Prefect of its own: nothing of the user's, no server named."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    quiet = {name: value for name, value in DEFAULTS.items() if name != "PREFECT_LOGGING_LEVEL"}
    plain = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    return {**clean, **quiet, **plain, "PREFECT_HOME": str(home), **more}


def _hears_ctrl_c() -> None:
    """Undo what a shell does that starts the tests in the background: they, and all they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(
    program: str, *arguments: str, env: dict[str, str], cwd: Path | None = None, log: Path | None = None
) -> subprocess.Popen[str]:
    """Start a program of this virtual environment as the leader of a session; it writes to a pipe, or to a log."""
    with nullcontext(subprocess.PIPE) if log is None else log.open("w") as sink:
        return subprocess.Popen(
            [BIN / program, *arguments],
            env=env,
            cwd=cwd,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_hears_ctrl_c,
        )


def run(program: str, *arguments: str, env: dict[str, str], cwd: Path | None = None) -> tuple[int, str]:
    """Run a program to its end; return its exit code and what it wrote. Nothing that it started outlives it."""
    process = start(program, *arguments, env=env, cwd=cwd)
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert not group_lives(process.pid), f"{program} {arguments[0]} left a process behind"
    return process.returncode, output


def group_lives(leader: int) -> bool:
    """Say whether any process of a group is left."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def end(process: subprocess.Popen[str]) -> None:
    """End a program and all that it started."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    if group_lives(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(look: Callable[[], Value | None], what: str, timeout_s: float = TIMEOUT_S) -> Value:
    """Return what `look` finds once it finds something."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.1)
    return found
