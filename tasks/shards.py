"""Compute shards: synthesise, measure and commit one after the other; each shard commits itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from manifests.files import Files
from stylecore.errors import Interrupted
from stylecore.network import weights_digest
from tasks.cache import ByteLimitedCache
from tasks.commit import commit_shard
from tasks.devices import choose_device, encoder_on
from tasks.interruption import raise_if_stopping
from tasks.measurement import RowContext, measure
from tasks.options import RunOptions
from tasks.planning import pending_rows
from tasks.progress import PROGRESS
from tasks.storage import Storage
from tasks.synthesis import PlannedPair, synthesise_batch

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


def compute_shards(plan_uri: str, shards: Sequence[int], root: str, run_id: str, options: RunOptions) -> Committed:
    """Compute a group of shards in this thread.

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

    Returns
    -------
    Committed
        What is in the results now. A request to stop drops the shard in flight and says so here.
    """
    torch.set_num_threads(options.threads)  # per thread: equal batches then give identical samples
    files, cache = Storage(), _cache(options.target_cache_mib << 20)
    device = choose_device(options.device)
    digest = weights_digest(encoder_on(device))
    succeeded = failed = done = 0
    for shard in shards:
        context = RowContext(root, run_id, shard, device, digest)
        try:
            statuses = _compute_shard(read_shard(plan_uri, shard, files), context, cache, files)
        except Interrupted:
            return Committed(succeeded, failed, done, interrupted=True)
        succeeded += statuses.count("succeeded")
        failed += statuses.count("failed")
        done += 1
    return Committed(succeeded, failed, done)


def read_shard(plan_uri: str, shard: int, files: Files) -> list[PlannedPair]:
    """Return the pairs of a shard that mean work, in the order of their batches."""
    with files.open(plan_uri) as source:
        rows = pq.read_table(source, filters=pc.field("shard") == shard)
    return pending_rows(rows).to_pylist()


def _compute_shard(
    planned: Sequence[PlannedPair], context: RowContext, cache: ByteLimitedCache, files: Storage
) -> list[str]:
    results = []
    for _, batch in groupby(planned, key=lambda pair: pair["batch"]):
        for outcome in synthesise_batch(list(batch), context.device, cache, files):
            raise_if_stopping()
            results.append(measure(outcome, context, cache))
            PROGRESS.count_pair(str(results[-1].row["status"]))
    commit_shard(results, context.root, context.run_id, context.shard, files)
    return [str(result.row["status"]) for result in results]


@lru_cache(maxsize=1)
def _cache(limit_bytes: int) -> ByteLimitedCache:
    """Return the one cache of this process."""
    return ByteLimitedCache(limit_bytes)


synthesise_shards = task(name="synthesise shards", cache_policy=NO_CACHE)(compute_shards)
