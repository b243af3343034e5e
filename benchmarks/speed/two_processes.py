"""How much more two processes do than one, each with a core of its own: our pairs, a matrix product, a large sum.

Every process does the same amount of work, begun at the same moment. One of ours is a whole worker: it reads, has a
device process, a measurement worker and a decoder, measures and commits, and all of them share its core.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Empty
from typing import Any, Literal

import torch

from benchmarks.speed.clips import write_corpus
from benchmarks.speed.stages import briefly
from manifests.reading.reader import read_whole
from stylecore.settings import Settings
from tasks.ledger.lease import holding
from tasks.options import RunOptions
from tasks.pipeline.shards import compute_shards
from tasks.planning.plan import Plan, plan_run
from tasks.storage.storage import Storage

Kind = Literal["pairs", "matrix", "memory"]
MATRIX = 2048
VECTOR = 16 << 20
SHARD_PAIRS = 4
TIMEOUT_S = 3_600.0
"""What the slowest of the processes may take."""


@dataclass(frozen=True)
class Job:
    """What each process does.

    `kind` names it; `amount` is how many pairs, matrix products or sums of large vectors; `folder`, `seconds` and
    `settings` are of the pairs.
    """

    kind: Kind
    amount: int
    folder: Path
    seconds: float = 0.0
    settings: Settings = field(default_factory=Settings)


def rate(job: Job, processes: int) -> float:
    """Return what so many processes do together, in units of the job per second: until the last of them has ended.

    Raises
    ------
    RuntimeError
        If one of them failed.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    barrier, ended = context.Barrier(processes), context.Queue()
    running = [context.Process(target=_work, args=(job, number, barrier, ended)) for number in range(processes)]
    for process in running:
        process.start()
    try:
        seconds = [_heard(ended, running) for _ in running]
        for process in running:
            process.join()
    finally:
        for process in running:
            process.terminate()
    return processes * job.amount / max(seconds)


def _heard(ended: Any, running: list[Any]) -> float:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            return float(ended.get(timeout=1.0))
        except Empty:
            if any(process.exitcode for process in running):
                raise RuntimeError("a process that was to be timed has failed") from None
    raise RuntimeError(f"no process has ended for {TIMEOUT_S} s")


def _work(job: Job, number: int, barrier: Barrier, ended: Any) -> None:
    """Do a job once all processes are ready; tell how long it took."""
    have_core(number)
    torch.set_num_threads(1)
    with _prepared(job, number) as act:
        barrier.wait()
        began = time.perf_counter()
        act()
        ended.put(time.perf_counter() - began)
        ended.close()
        ended.join_thread()


def have_core(number: int) -> None:
    """Keep this process, and all that it starts, on one core of those there are."""
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


@contextmanager
def _prepared(job: Job, number: int) -> Iterator[Callable[[], object]]:
    """Give what does a job, warmed up."""
    if job.kind == "pairs":
        with _worker(job, number) as act:
            yield act
    else:
        once = _matrix_product() if job.kind == "matrix" else _sum()
        once()
        yield lambda: [once() for _ in range(job.amount)]


def _matrix_product() -> Callable[[], object]:
    left, right, out = (torch.rand(MATRIX, MATRIX) for _ in range(3))
    return lambda: torch.mm(left, right, out=out)


def _sum() -> Callable[[], object]:
    left, right, out = (torch.ones(VECTOR) for _ in range(3))
    return lambda: torch.add(left, right, out=out)


@contextmanager
def _worker(job: Job, number: int) -> Iterator[Callable[[], object]]:
    """Give what computes the pairs of a corpus to committed rows; its processes have started, and know their way."""
    folder = Path(tempfile.mkdtemp(prefix=f"worker-{number}-", dir=job.folder))
    options = RunOptions(device="cpu", workers=1, threads=1, shard_audio_s=SHARD_PAIRS * job.seconds + 0.1)
    brief = briefly(job.settings)
    with _run(folder / "warm-up", 2, 0.5, brief, options) as warm_up:
        warm_up()
    with _run(folder / "run", job.amount, job.seconds, job.settings, options) as run:
        yield run


@contextmanager
def _run(
    folder: Path, pairs: int, seconds: float, settings: Settings, options: RunOptions
) -> Iterator[Callable[[], object]]:
    """Plan a run and hold its lease; give what computes all of its shards."""
    files, root = Storage(), str(folder / "out")
    manifest = read_whole(str(write_corpus(folder / "corpus", pairs, seconds)), files, settings.resolve)
    with holding(files, root, "scaling"):
        plan = plan_run(manifest, root, settings, options, "scaling")
        yield lambda: _compute(plan, root, options, pairs)


def _compute(plan: Plan, root: str, options: RunOptions, pairs: int) -> None:
    done = compute_shards(plan.uri, plan.shards, root, "scaling", options)
    if done.succeeded != pairs:
        raise RuntimeError(f"{done.succeeded} of {pairs} pairs succeeded")
