"""Computing in processes: each result under its call's index, and what fails there is raised here."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.computing import computed


def test_each_process_has_its_threads_and_is_prepared(tmp_path: Path) -> None:
    calls: list[tuple] = [()] * 3
    prepare = partial(open, tmp_path / "prepared", "x")  # fails if called twice
    found = dict(computed(torch.get_num_threads, calls, jobs=1, threads=1, prepare=prepare))
    assert found == {0: 1, 1: 1, 2: 1}
    assert (tmp_path / "prepared").exists()


def test_what_fails_in_a_process_is_raised() -> None:
    calls = [(4.0,), (9.0,), (-1.0,)]
    found = {}
    with pytest.raises(ValueError, match="math domain error"):  # noqa: PT012
        for index, root in computed(math.sqrt, calls, jobs=2, threads=1, prepare=torch.get_num_threads):
            found[index] = root
    assert found.items() <= {0: 2.0, 1: 3.0}.items()


def test_nothing_to_compute_needs_no_process() -> None:
    assert list(computed(math.sqrt, [], jobs=2, threads=1, prepare=dict)) == []
