"""Threads of this process as the backend of a run: each takes a group of shards through its stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flows.execution_backend import ExecutionBackend
from tasks.interruption import request_stop
from tasks.ledger.close import Run
from tasks.pipeline.shards import groups_at_a_time, shard_groups, synthesise_shards
from tasks.planning.plan import Plan


@contextmanager
def thread_backend(run: Run, planned: Plan) -> Iterator[ExecutionBackend]:
    """Yield the threads of this process as the backend of a run."""
    groups = shard_groups(planned.shards)
    yield ExecutionBackend(
        groups_at_a_time(run.options, groups),
        groups,
        lambda shards: synthesise_shards.submit(planned.uri, shards, run.output, run.run_id, run.options),
        lambda _: None,  # they count pair by pair
        request_stop,
    )
