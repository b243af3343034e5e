"""What a run does with each pair of its manifest."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.results.planned_history import (
    DONE,
    FAILED_PERMANENTLY,
    FAILED_TRANSIENTLY,
    UNKNOWN,
    WITHOUT_AUDIO,
    Outcomes,
)
from tasks.options import RunOptions


@dataclass(frozen=True)
class PlanCounts:
    """Pairs of a manifest by what a run does with them: one field per action."""

    new: int = 0
    changed: int = 0
    failed: int = 0
    audio_missing: int = 0
    up_to_date: int = 0
    failed_before: int = 0
    same_as_another: int = 0
    beyond_limit: int = 0
    other_shards: int = 0

    @property
    def pending(self) -> int:
        """Pairs that the run computes."""
        return self.new + self.changed + self.failed + self.audio_missing


ACTIONS = tuple(field.name for field in fields(PlanCounts))
COMPUTED = ("new", "changed", "failed", "audio_missing")
"""Actions that mean work; the others leave a pair as it is."""


def choose_actions(planned: pa.Table, outcomes: Outcomes, options: RunOptions) -> NDArray[np.int8]:
    """Say for each pair what this run does with it.

    Parameters
    ----------
    planned : pyarrow.Table
        N pairs in the order of their shards, with `fingerprint` and `shard`.
    outcomes : Outcomes
        What the history says of them.
    options : RunOptions
        Slice of the shards, limit, and whether failed pairs are tried again.

    Returns
    -------
    ndarray of int8
        `[N]`, indices of `ACTIONS`. Of equal pairs that mean work the first is computed; a limit counts what is
        computed in the slice, and what is beyond it counts for nothing: its equal in another slice is on its own.
    """
    actions = _by_history(outcomes, options.retry_failed)
    working = np.flatnonzero(actions < len(COMPUTED))
    shards = planned.column("shard").to_numpy()
    ours = options.slice.shards(int(shards[-1]) + 1 if len(shards) else 0)
    is_ours = ((shards >= ours.start) & (shards < ours.stop))[working]
    prints = pc.take(planned.column("fingerprint"), pa.array(working)).combine_chunks().dictionary_encode()
    actions[working] = _shared_out(actions[working], prints.indices.to_numpy(), is_ours, options.limit)
    return actions


def is_work(actions: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return which actions mean work, `[N]`."""
    return actions < len(COMPUTED)


def _by_history(outcomes: Outcomes, retry_failed: bool) -> NDArray[np.int8]:
    unknown = np.where(outcomes.named, ACTIONS.index("changed"), ACTIONS.index("new"))
    told = np.empty(5, dtype=np.int8)
    told[WITHOUT_AUDIO] = ACTIONS.index("audio_missing")
    told[DONE] = ACTIONS.index("up_to_date")
    told[FAILED_TRANSIENTLY] = ACTIONS.index("failed")
    told[FAILED_PERMANENTLY] = ACTIONS.index("failed" if retry_failed else "failed_before")
    return np.where(outcomes.states == UNKNOWN, unknown, told[outcomes.states]).astype(np.int8)


def _shared_out(
    actions: NDArray[np.int8], prints: NDArray[np.int32], ours: NDArray[np.bool_], limit: int | None
) -> NDArray[np.int8]:
    """Leave out, of pairs that mean work, those that are not this run's: `[M]` actions, codes of fingerprints."""
    first = _is_first(prints)
    beyond = np.zeros(int(prints.max(initial=-1)) + 1, dtype=bool)
    if limit is not None:
        beyond[prints[first & ours & (np.cumsum(first & ours) > limit)]] = True
    left = beyond[prints]
    # What is beyond the limit takes no turn; shards are sorted, so its equals in other slices come after it.
    first[left] = False
    elsewhere = np.flatnonzero(left & ~ours)
    first[elsewhere] = _is_first(prints[elsewhere])
    result = np.where(first, actions, ACTIONS.index("same_as_another"))
    result[first & ~ours] = ACTIONS.index("other_shards")
    result[left & ours] = ACTIONS.index("beyond_limit")
    return result.astype(np.int8)


def _is_first(codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which codes stand where they stand for the first time, `[M]`."""
    place = np.empty(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    place[codes[::-1]] = np.arange(len(codes))[::-1]  # of equal codes the last that is written stays
    return place[codes] == np.arange(len(codes))
