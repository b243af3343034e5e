"""Groups of shards for the flow, and the devices that compute them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.devices import choose_device, shards_at_a_time
from tasks.hardware import encoder_on
from tasks.options import DeviceError, RunOptions
from tasks.shards import MAX_GROUPS, shard_groups


@given(st.integers(1, 5_000), st.integers(0, 10))
def test_groups_hold_every_shard_once_in_order(count: int, first: int) -> None:
    shards = list(range(first, first + count))
    groups = shard_groups(shards)
    assert [shard for group in groups for shard in group] == shards
    assert len(groups) <= MAX_GROUPS
    assert max(map(len, groups)) - min(map(len, groups[:-1] or groups)) <= 0


def test_no_shards_are_no_groups() -> None:
    assert shard_groups([]) == []


@pytest.mark.parametrize("name", ["cuda:63", "tpu", ""])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="cpu"):
        choose_device(name)


def test_the_processor_is_always_there() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device(choose_device("auto")) == choose_device("auto")


def test_shards_at_a_time_follow_threads_and_workers() -> None:
    cores = os.cpu_count() or 1
    assert shards_at_a_time(RunOptions(device="cpu")) == cores
    assert shards_at_a_time(RunOptions(device="cpu", threads=cores)) == 1
    assert shards_at_a_time(RunOptions(device="cpu", threads=256)) == max(1, cores // 256)
    assert shards_at_a_time(RunOptions(device="cpu", workers=7)) == 7


def test_the_network_is_loaded_once() -> None:
    assert encoder_on("cpu") is encoder_on("cpu")
