"""What computes the shards of a run, as the flow sees it: threads of this process and Ray's workers alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prefect.futures import PrefectFuture

from tasks.pipeline.shards import Committed

Shards = Sequence[int]


@dataclass(frozen=True)
class ExecutionBackend:
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
        Called with what a group committed.
    stop : callable
        Asks those at work to drop it.
    """

    width: int
    groups: Sequence[Shards]
    submit: Callable[[Shards], PrefectFuture[Committed]]
    on_done: Callable[[Committed], None]
    stop: Callable[[], None]
