"""Who computes the shards of a run: threads of this process, or workers of Ray. The rest of a run is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from prefect.futures import PrefectFuture

from tasks.interruption import request_stop
from tasks.planning import Plan
from tasks.report import Run
from tasks.shards import Committed, groups_at_a_time, shard_groups, synthesise_shards

Shards = Sequence[int]


@dataclass(frozen=True)
class Crew:
    """Those who compute, and how they are given work.

    Attributes
    ----------
    width : int
        Groups of shards computed at a time.
    groups : sequence of sequences of int
        The shards as they are given out; each group is one task of Prefect's.
    submit : callable
        Gives out a group.
    on_done : callable
        Told what a group committed.
    stop : callable
        Asks those at work to drop it.
    """

    width: int
    groups: Sequence[Shards]
    submit: Callable[[Shards], PrefectFuture[Committed]]
    on_done: Callable[[Committed], None]
    stop: Callable[[], None]


def crew_of(run: Run, planned: Plan) -> AbstractContextManager[Crew]:
    """Return the crew that a run asks for; it ends with the block."""
    if run.options.runner == "ray":
        from flows.ray_crew import ray_crew  # an extra, which need not be installed

        return ray_crew(run, planned)
    return nullcontext(_threads(run, planned))


def _threads(run: Run, planned: Plan) -> Crew:
    groups = shard_groups(planned.shards)
    return Crew(
        groups_at_a_time(run.options, groups),
        groups,
        lambda shards: synthesise_shards.submit(planned.uri, shards, run.output, run.run_id, run.options),
        lambda _: None,  # they count pair by pair
        request_stop,
    )
