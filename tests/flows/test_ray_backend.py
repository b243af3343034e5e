"""How shards are given out to Ray's workers: few tasks, every shard once, and no group that outlasts all others."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

import pytest

from flows import ray_backend
from flows.ray_backend import _count, connected, guided_groups, share
from flows.ray_cluster import RunnerError
from tasks.options import RunOptions
from tasks.pipeline.shards import MAX_GROUPS, Committed


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


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.parametrize(("failures", "asked"), [(2, 3), (9, 3)])
def test_a_head_that_fails_to_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch, failures: int, asked: int) -> None:
    import prefect_ray

    attempts: list[str] = []

    class Busy(AbstractContextManager):  # type: ignore[type-arg]
        def __init__(self, address: str, settings: object) -> None:
            attempts.append(address)

        def __enter__(self) -> Busy:
            if len(attempts) <= failures:
                raise ConnectionAbortedError("Starting Ray client server failed")
            return self

        def __exit__(self, *_: object) -> None:
            attempts.append("left")

    monkeypatch.setattr(prefect_ray, "RayTaskRunner", Busy)
    monkeypatch.setattr(ray_backend, "CONNECTING_PAUSE_S", 0.0)
    with pytest.raises(ConnectionAbortedError) if failures >= asked else nullcontext(), connected("ray://head:1"):
        assert attempts == ["ray://head:1"] * asked
    assert attempts == ["ray://head:1"] * asked + ["left"] * (failures < asked)
