"""How shards are given out to Ray's workers: few tasks, every shard once, and no group that outlasts all others."""

from __future__ import annotations

import pytest

from flows.ray_cluster import RunnerError
from flows.ray_crew import _count, guided_groups, share
from tasks.options import RunOptions
from tasks.shards import MAX_GROUPS, Committed


@pytest.mark.parametrize("count", [1, 7, 399, 401, 43_000, 1_000_000])
@pytest.mark.parametrize("width", [1, 8, 64, 256])
def test_every_shard_is_in_one_group_and_a_flow_stays_small(count: int, width: int) -> None:
    groups = guided_groups(range(count), width)
    assert [shard for group in groups for shard in group] == list(range(count))
    assert len(groups) <= MAX_GROUPS
    sizes = list(map(len, groups))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= max(-(-count // (2 * width)), -(-count // MAX_GROUPS))


def test_where_nothing_has_what_a_shard_needs_it_is_said() -> None:
    with pytest.raises(RunnerError, match="GPU"):
        share(RunOptions(device="cuda"), [{"CPU": 8}])
    with pytest.raises(RunnerError, match="threads=16"):
        share(RunOptions(device="cpu", threads=16), [{"CPU": 8}, {"CPU": 8}])


def test_a_cluster_is_asked_to_grow_by_naming_workers() -> None:
    options = RunOptions(device="cuda", workers=64, ray_address="ray://10.0.0.7:10001")
    assert share(options, [{"CPU": 8}]) == ({"num_cpus": 1, "num_gpus": 1}, 64)
    with pytest.raises(RunnerError, match="GPU"):
        share(options.model_copy(update={"ray_address": "local"}), [{"CPU": 8}])


def test_a_worker_that_others_have_stopped_is_no_end_of_a_run() -> None:
    with pytest.raises(RunnerError, match="run it again"):
        _count(Committed(succeeded=1, shards=1, interrupted=True))
