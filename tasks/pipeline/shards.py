"""Compute shards. Stages overlap: while a device works on one, the one before is measured and the next one is read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task
from prefect.cache_policies import NO_CACHE

from stylecore.errors import Interrupted, WeightsError
from stylecore.weights import Weights
from tasks.cache import ByteLimitedCache
from tasks.devices.choice import batch_size_for, shards_at_a_time, subprocess_executor
from tasks.devices.device_pool import Slot
from tasks.devices.executors import Executor, SynthesisRequest
from tasks.interruption import raise_if_stopping
from tasks.ledger.commit import ResultRow, commit_shard
from tasks.options import RunOptions
from tasks.pair_state import PairState
from tasks.pipeline.inputs import read_pair
from tasks.pipeline.long_pairs import LongPairs
from tasks.pipeline.rows import RowContext, rows_of
from tasks.pipeline.segment_store import clear_segments
from tasks.pipeline.segments import is_long
from tasks.planning.plan_table import planned_weights, read_shard
from tasks.progress import PROGRESS, DeviceTime, DeviceTimes
from tasks.storage.network_weights import read_weights
from tasks.storage.storage import Storage

SOUNDS_CACHE_BYTES = 128 << 20
"""Limit of the decoded sounds that are kept: a minute of audio is 4 MB."""

MAX_GROUPS = 400
"""A flow stays well under the thousand tasks that Prefect records reliably."""

IN_FLIGHT = 3
"""Shards at a time per device: one is read, one computed, one measured and committed."""

SEGMENT_PAIRS = 16
"""How many pairs of a usual length take the memory of a segment."""


@dataclass(frozen=True)
class Committed:
    """Pairs that a group of shards committed, by status, and how long the devices worked for them."""

    succeeded: int = 0
    failed: int = 0
    shards: int = 0
    interrupted: bool = False
    devices: tuple[DeviceTime, ...] = ()


def shard_groups(shards: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shards in at most `MAX_GROUPS` groups of neighbours, which share sounds.

    >>> shard_groups([3, 5, 6])
    [(3,), (5,), (6,)]
    """
    size = -(-len(shards) // MAX_GROUPS) or 1
    return [tuple(shards[start : start + size]) for start in range(0, len(shards), size)]


def groups_at_a_time(options: RunOptions, groups: Sequence[Sequence[int]]) -> int:
    """Return how many groups to have in flight, so that each device has `IN_FLIGHT` shards, also when a group ends.

    >>> groups_at_a_time(RunOptions(device="cpu", workers=2), [(1,), (2,)])
    6
    >>> groups_at_a_time(RunOptions(device="cpu", workers=2), [(1, 2, 3, 4), (5, 6, 7, 8)])
    3
    """
    own = min(max(map(len, groups), default=1), IN_FLIGHT)  # shards in flight of one group
    wanted = IN_FLIGHT * shards_at_a_time(options)
    return -(-wanted // own) + (own == IN_FLIGHT)


def compute_shards(
    plan_uri: str,
    shards: Sequence[int],
    root: str,
    run_id: str,
    options: RunOptions,
    compute: Executor | None = None,
) -> Committed:
    """Compute a group of shards.

    Several groups of a process may be computed at the same time: they share its devices, one shard on each.

    Parameters
    ----------
    plan_uri : str
        The written plan.
    shards : sequence of int
        Numbers of the shards.
    root, run_id : str
        Output root and run.
    options : RunOptions
        Device, threads and limits.
    compute : Executor, optional
        Computes the stages; by default in processes of their own.

    Returns
    -------
    Committed
        What is in the results now. A request to stop drops the shards in flight and says so here.

    Raises
    ------
    StorageUnreachable, LeaseLost, FileExistsError
        From reading and committing; shards in flight come to their own end first.
    WeightsError
        If the weights are not those of the plan.
    """
    if not shards:  # a group that was lost after its last commit
        return Committed()
    weights = _planned_weights(plan_uri, options)
    group = _Group(plan_uri, root, run_id, options, weights, compute or subprocess_executor(options))
    with group.compute.devices.opened(), ThreadPoolExecutor(min(len(shards), IN_FLIGHT)) as pool:
        futures = [pool.submit(group.compute_shard, shard) for shard in shards]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()
    problems = [error for future in futures if not future.cancelled() and (error := future.exception()) is not None]
    for error in problems:
        if not isinstance(error, Interrupted):
            raise error
    done = [future.result() for future in futures if not future.cancelled() and future.exception() is None]
    return Committed(
        sum(one.succeeded for one in done),
        sum(one.failed for one in done),
        len(done),
        interrupted=bool(problems),
        devices=group.times.all(),
    )


@dataclass(frozen=True)
class _Group:
    """A group of shards at work: what they share."""

    plan_uri: str
    root: str
    run_id: str
    options: RunOptions
    weights: Weights
    compute: Executor
    times: DeviceTimes = field(default_factory=DeviceTimes)

    def compute_shard(self, shard: int) -> Committed:
        """Read, synthesise, measure and commit one shard."""
        raise_if_stopping()
        files, size = Storage(), batch_size_for(self.options)
        planned = read_shard(self.plan_uri, shard, files, size)
        long = [pair for pairs in planned for pair in pairs if is_long(pair)]
        batches = [[read_pair(pair, files, _sounds()) for pair in pairs if not is_long(pair)] for pairs in planned]
        device = self._synthesise(batches)
        raise_if_stopping()
        for outcomes in batches:
            self.compute.measure(outcomes)
        with TemporaryDirectory(prefix=".timbreflow-") as folder:
            at_a_time = max(1, size // SEGMENT_PAIRS)
            compute = LongPairs(self._synthesise_batch, self.compute.measure, at_a_time, files, _sounds(), self.root)
            batches.append([compute.compute(pair, Path(folder, str(number))) for number, pair in enumerate(long)])
            context = RowContext(self.root, self.run_id, shard, device, self.weights.digest)
            results = [row for outcomes in batches for row in rows_of(outcomes, context)]
            raise_if_stopping()
            commit_shard(results, self.root, self.run_id, shard, files)
        clear_segments(files, self.root, long)
        return _counted(results)

    def _synthesise_batch(self, outcomes: Sequence[PairState]) -> str:
        return self._synthesise([outcomes])

    def _synthesise(self, batches: Sequence[Sequence[PairState]]) -> str:
        """Synthesise batches on the next free device, and return which it was."""
        with self.compute.devices.borrowed() as slot:
            for outcomes in batches:
                self._timed(outcomes, slot)
            return slot.device

    def _timed(self, outcomes: Sequence[PairState], slot: Slot) -> None:
        cache_bytes = (self.options.target_cache_mib << 20) // len(self.compute.devices)
        began = time.monotonic()
        self.compute.synthesise(
            SynthesisRequest(outcomes, slot.device, self.options.threads, cache_bytes, self.weights), slot
        )
        ended = time.monotonic()
        if not all(outcome.failed for outcome in outcomes):
            for times in (self.times, PROGRESS.devices):
                times.add([DeviceTime(slot.name, began, ended, ended - began)])


def _planned_weights(plan_uri: str, options: RunOptions) -> Weights:
    """Read the weights; raise `WeightsError` if they are not those that the fingerprints of the plan are made with."""
    files = Storage()
    weights = read_weights(options.weights, files)
    if weights.digest != planned_weights(plan_uri, files):
        raise WeightsError(f"weights {weights.name}: changed since the run was planned; run it again")
    return weights


def _counted(results: Sequence[ResultRow]) -> Committed:
    for result in results:
        PROGRESS.count_pair(str(result.row["status"]))
    succeeded = sum(result.audio is not None for result in results)
    return Committed(succeeded, len(results) - succeeded, 1)


@lru_cache(maxsize=1)
def _sounds() -> ByteLimitedCache:
    """Return the one cache of decoded sounds in this process."""
    return ByteLimitedCache(SOUNDS_CACHE_BYTES)


synthesise_shards = task(name="synthesise shards", cache_policy=NO_CACHE)(compute_shards)
