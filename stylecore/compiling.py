"""One process of a host at a time compiles what librosa keeps on disk.

librosa compiles its functions when they are first called. numba numbers the files in which it keeps them by an index
that it reads before and writes after: of two processes that compile at once, one may put its code under the number that
the other's index names for something else, and every later process that loads it crashes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import librosa
from filelock import FileLock, Timeout

TIMEOUT_S = 240.0
"""Compiling takes seconds. Who waits for longer goes on: better twice than never."""

NAME = "timbreflow-compiling.lock"


def lock_path() -> Path:
    """Return where the lock lies: beside what it guards, so that all who share that share it."""
    beside = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(librosa.__file__).parent / "__pycache__")
    if beside.is_dir() and os.access(beside, os.W_OK):
        return beside / NAME
    return Path(tempfile.gettempdir()) / f"{os.getuid() if hasattr(os, 'getuid') else 0}-{NAME}"


@contextmanager
def alone_on_host() -> Iterator[None]:
    """Keep other processes of the host out of such a block; where the file system has no locks, nobody is kept out."""
    with ExitStack() as held:
        with suppress(Timeout, OSError, NotImplementedError):
            held.enter_context(FileLock(lock_path(), timeout=TIMEOUT_S, is_singleton=False))
        yield
