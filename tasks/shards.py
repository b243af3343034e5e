"""Compute shards: read, compute and commit one after the other; each shard commits itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from prefect import task
from prefect.cache_policies import NO_CACHE

from stylecore.errors import Interrupted
from stylecore.network import weights_digest
from tasks.cache import ByteLimitedCache
from tasks.commit import commit_shard
from tasks.computing import Batch, Compute, DeviceProcesses
from tasks.devices import choose_device, encoder_on, shards_at_a_time
from tasks.measurement import Measured, RowContext
from tasks.options import RunOptions
from tasks.planning import read_shard
from tasks.progress import PROGRESS
from tasks.reading import read_pair
from tasks.storage import Storage

SOUNDS_CACHE_BYTES = 128 << 20
"""Limit of the decoded sounds that are kept: a minute of audio is 4 MB."""

MAX_GROUPS = 400
"""A flow stays well under the thousand tasks that Prefect records reliably."""


@dataclass(frozen=True)
class Committed:
    """Pairs that a group of shards committed, by status."""

    succeeded: int = 0
    failed: int = 0
    shards: int = 0
    interrupted: bool = False


def shard_groups(shards: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shards in at most `MAX_GROUPS` groups of neighbours, which share sounds.

    >>> shard_groups([3, 5, 6])
    [(3,), (5,), (6,)]
    """
    size = -(-len(shards) // MAX_GROUPS) or 1
    return [tuple(shards[start : start + size]) for start in range(0, len(shards), size)]


def compute_shards(
    plan_uri: str,
    shards: Sequence[int],
    root: str,
    run_id: str,
    options: RunOptions,
    compute: Compute | None = None,
) -> Committed:
    """Compute a group of shards, from this thread.

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
    compute : callable, optional
        Computes a batch; by default in a device process.

    Returns
    -------
    Committed
        What is in the results now. A request to stop drops the shard in flight and says so here.
    """
    files, compute = Storage(), compute or DeviceProcesses(options.stall_s)
    device, digest = choose_device(options.device), weights_digest(encoder_on("cpu"))
    cache_bytes = (options.target_cache_mib << 20) // shards_at_a_time(options)
    succeeded = failed = done = 0
    for shard in shards:
        context = RowContext(root, run_id, shard, device, digest)
        try:
            results: list[Measured] = []
            for pairs in read_shard(plan_uri, shard, files, options.batch_size):
                outcomes = [read_pair(pair, files, _sounds()) for pair in pairs]
                results += _counted(compute(Batch(outcomes, context, options.threads, cache_bytes)))
            commit_shard(results, root, run_id, shard, files)
        except Interrupted:
            return Committed(succeeded, failed, done, interrupted=True)
        succeeded += sum(result.flac is not None for result in results)
        failed += sum(result.flac is None for result in results)
        done += 1
    return Committed(succeeded, failed, done)


def _counted(results: list[Measured]) -> list[Measured]:
    for result in results:
        PROGRESS.count_pair(str(result.row["status"]))
    return results


@lru_cache(maxsize=1)
def _sounds() -> ByteLimitedCache:
    """Return the one cache of decoded sounds in this process."""
    return ByteLimitedCache(SOUNDS_CACHE_BYTES)


synthesise_shards = task(name="synthesise shards", cache_policy=NO_CACHE)(compute_shards)
