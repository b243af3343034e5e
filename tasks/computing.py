"""Compute batches: synthesise and measure, here or in a device process of their own.

A device process is killed when it makes no progress, and may die of what it computes; nothing is lost with it. Its
batch is tried once more, then each pair alone, and the pair that is the cause fails as a row.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from stylecore.errors import Interrupted
from tasks.cache import ByteLimitedCache
from tasks.children import Child, ChildError
from tasks.interruption import STOP_REQUESTED, raise_if_stopping
from tasks.logs import get_logger
from tasks.measurement import Measured, RowContext, measure
from tasks.progress import PROGRESS
from tasks.synthesis import Outcome, synthesise_batch

PROGRAM = "tasks.device_process"


@dataclass(frozen=True)
class Batch:
    """What a device is asked to compute, and how.

    Attributes
    ----------
    outcomes : sequence of Outcome
        Pairs with their sounds, or failed already.
    context : RowContext
        What their rows share, the device among it.
    threads : int
        Of the processor.
    cache_bytes : int
        Limit of the process's cache of encoded sounds.
    """

    outcomes: Sequence[Outcome]
    context: RowContext
    threads: int
    cache_bytes: int


Compute = Callable[[Batch], list[Measured]]


def compute_batch(batch: Batch, on_step: Callable[[], None]) -> list[Measured]:
    """Synthesise and measure a batch in this process; `on_step` is called between any two steps.

    Returns
    -------
    list of Measured
        One per pair, in order; failures are rows too.

    Raises
    ------
    Interrupted
        From `on_step`.
    """
    torch.set_num_threads(batch.threads)  # per thread: equal batches then give identical samples
    cache = _cache(batch.cache_bytes)
    synthesise_batch(batch.outcomes, batch.context.device, cache, on_step)
    measured = []
    for outcome in batch.outcomes:
        on_step()
        measured.append(measure(outcome, batch.context, cache))
    return measured


def compute_here(batch: Batch) -> list[Measured]:
    """Compute a batch in this process, counting its steps; what it does to the process it does to the run."""
    return compute_batch(batch, count_step)


@dataclass(frozen=True)
class DeviceProcesses:
    """Computes batches in processes of their own, as many as there are callers at a time.

    Attributes
    ----------
    stall_s : float
        Seconds without a step after which a process is killed.
    """

    stall_s: float

    def __call__(self, batch: Batch) -> list[Measured]:
        """Compute a batch; see `compute_batch`."""
        if all(outcome.error_type is not None for outcome in batch.outcomes):
            return compute_here(batch)  # rows of sounds that could not be read need no device
        return self._compute(batch, attempts=2)

    def _compute(self, batch: Batch, attempts: int) -> list[Measured]:
        for _ in range(attempts):
            try:
                return self._request(batch)
            except ChildError as error:
                raise_if_stopping()
                reason = str(error)
                get_logger("timbreflow.device").warning("%s", reason)
        if len(batch.outcomes) == 1:
            batch.outcomes[0].fail("device_process", reason)
            return compute_here(batch)
        return [
            measured
            for outcome in batch.outcomes
            for measured in self._compute(replace(batch, outcomes=[outcome]), attempts=1)
        ]

    def _request(self, batch: Batch) -> list[Measured]:
        with _borrowed() as child:

            def on_step(_: object) -> None:
                PROGRESS.count_step()
                if STOP_REQUESTED.is_set():
                    child.notify("stop")

            measured: list[Measured] = child.request(batch, self.stall_s, on_step)
            return measured


def count_step() -> None:
    """Count one step of this process; raise `Interrupted` once the run is asked to stop."""
    raise_if_stopping()
    PROGRESS.count_step()


_idle: list[Child] = []
"""Device processes without work. They stay: starting one takes seconds, and it keeps its encoded sounds."""

_lock = threading.Lock()


@contextmanager
def _borrowed() -> Iterator[Child]:
    """Yield an idle device process, or a new one; take it back if it is well."""
    with _lock:
        child = _idle.pop() if _idle else None
    child = child or Child(PROGRAM)
    try:
        yield child
    except Interrupted:
        _give_back(child)
        raise
    except BaseException:
        child.close()
        raise
    _give_back(child)


def _give_back(child: Child) -> None:
    with _lock:
        _idle.append(child)


@lru_cache(maxsize=1)
def _cache(limit_bytes: int) -> ByteLimitedCache:
    """Return the one cache of this process."""
    return ByteLimitedCache(limit_bytes)
