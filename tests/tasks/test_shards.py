"""Groups of shards for the flow, and the devices that compute them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylecore.weights import shipped
from tasks.devices.choice import choose_device, shards_at_a_time
from tasks.devices.hardware import encoder_on
from tasks.options import DeviceError, RunOptions
from tasks.pipeline.shards import MAX_GROUPS, shard_groups
from tests.tasks.conftest import Corpus


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
    assert encoder_on("cpu", shipped()) is encoder_on("cpu", shipped())


def test_this_process_computes_without_torch_and_librosa(finished: Corpus, tmp_path: Path) -> None:
    """Importing them takes seconds, and they are needed in other processes only."""
    program = f"""
import sys
sys.modules["torch"] = sys.modules["librosa"] = None  # so that importing them fails
import flows.cross_synthesis, flows.cli, flows.terminal_tables
from tests.tasks import plain
print(plain.run_apart({finished.manifest!r}, {str(tmp_path / "out")!r}))
"""
    repository = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["5", "succeeded"], done.stderr
