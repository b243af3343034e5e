"""What a run does with each pair, against the rule in plain Python on random plans and histories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from manifests.results.planned_history import DONE, FAILED_PERMANENTLY, FAILED_TRANSIENTLY, UNKNOWN, Outcomes
from manifests.sharding import ShardSlice
from tasks.options import RunOptions
from tasks.planning.actions import ACTIONS, COMPUTED, choose_actions

STATES = {UNKNOWN: None, DONE: "up_to_date", FAILED_TRANSIENTLY: "failed", FAILED_PERMANENTLY: "failed_before"}
Pair = tuple[str, int, bool]
"""Fingerprint, step to the next shard, and whether the history names the pair."""


def expected(pairs: Sequence[Pair], shards: Sequence[int], states: dict[str, int], options: RunOptions) -> list[str]:
    """Decide pair by pair, in the order of the shards."""
    ours = options.slice.shards(shards[-1] + 1 if shards else 0)
    taken: set[str] = set()
    own, result = 0, []
    for (name, _, named), shard in zip(pairs, shards, strict=True):
        action = STATES[states[name]] or ("changed" if named else "new")
        if action == "failed_before" and options.retry_failed:
            action = "failed"
        if action in COMPUTED:
            if name in taken:
                action = "same_as_another"
            elif shard not in ours:
                taken.add(name)
                action = "other_shards"
            elif options.limit is not None and own >= options.limit:
                action = "beyond_limit"
            else:
                taken.add(name)
                own += 1
        result.append(action)
    return result


@given(
    pairs=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([0, 0, 1]), st.booleans()), max_size=25),
    states=st.fixed_dictionaries({name: st.sampled_from([UNKNOWN, UNKNOWN, *STATES]) for name in "abcdefgh"}),
    limit=st.none() | st.integers(1, 5),
    number=st.integers(0, 2),
    of=st.integers(1, 3),
    retry_failed=st.booleans(),
)
def test_it_chooses_what_plain_python_chooses(
    pairs: list[Pair], states: dict[str, int], limit: int | None, number: int, of: int, retry_failed: bool
) -> None:
    options = RunOptions(limit=limit, shards=str(ShardSlice(number % of, of)), retry_failed=retry_failed)
    shards = np.cumsum([0, *(step for _, step, _ in pairs[1:])])[: len(pairs)].astype(np.int32)
    planned = pa.table(
        {"fingerprint": pa.array([name for name, _, _ in pairs], pa.string()), "shard": pa.array(shards, pa.int32())}
    )
    told = np.array([states[name] for name, _, _ in pairs], dtype=np.int8)
    outcomes = Outcomes(
        told, np.zeros(len(told), np.int64), np.array([named for _, _, named in pairs], dtype=bool), 0.0, 0.0
    )
    chosen = [ACTIONS[action] for action in choose_actions(planned, outcomes, options)]
    assert chosen == expected(pairs, shards.tolist(), states, options)
