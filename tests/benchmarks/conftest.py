"""Two tiny pairs of demo sounds, and settings that cost next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.tasks.corpus import write_cut

QUICK = [
    f"--set={name}=2" for name in ("coarse_iterations", "iterations", "sound_iterations", "griffin_lim_iterations")
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pairs_csv(tmp_path: Path) -> Path:
    """Return a list of two pairs of sounds beside it; the second has no name of its own."""
    for name, demo in (("singing", "singing_phrase"), ("violin", "violin_sustained"), ("fork", "tuning_fork_440")):
        write_cut(tmp_path / f"{name}.wav", demo, 0.4)
    path = tmp_path / "pairs.csv"
    path.write_text("content,style,pair_id\nsinging.wav,violin.wav,one\nviolin.wav,fork.wav,\n")
    return path
