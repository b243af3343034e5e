"""What the tests of the tasks share: a finished run to look at, and fresh process state."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tasks.interruption import clear_stop
from tasks.progress import PROGRESS
from tests.tasks.corpus import Finished, run_all, write_cut, write_manifest

PAIRS = [
    {"pair_id": "singing-violin", "content": "sounds/singing.wav", "style": "sounds/violin.wav", "mood": "warm"},
    {"pair_id": "harp-fork", "content": "sounds/harp.wav", "style": "sounds/fork.wav", "mood": "clear"},
    {"pair_id": "drums-glass", "content": "sounds/drums.wav", "style": "sounds/fork.wav", "mood": "dry"},
    {"pair_id": "harp-violin", "content": "sounds/harp.wav", "style": "sounds/violin.wav", "mood": "warm"},
    {"pair_id": "singing-fork", "content": "sounds/singing.wav", "style": "sounds/fork.wav", "mood": "clear"},
]
"""In an order that is neither that of the shards nor of the names."""

CUTS = {
    "harp": ("harp_phrase", 0.4),
    "singing": ("singing_phrase", 0.41),
    "drums": ("drum_loop", 0.6),
    "violin": ("violin_sustained", 0.5),
    "fork": ("tuning_fork_440", 0.3),
}


class Corpus(NamedTuple):
    """A manifest beside its sounds, an output root with one finished run over it, and that run."""

    folder: Path
    manifest: str
    root: Path
    first: Finished


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Start each test with no request to stop, counters at zero and the threads of a shard."""
    clear_stop()
    PROGRESS.reset()
    torch.set_num_threads(1)
    yield
    clear_stop()


def write_corpus(folder: Path) -> str:
    """Write the sounds and the manifest of `PAIRS`; equal for every folder."""
    for name, (demo, duration_s) in CUTS.items():
        write_cut(folder / "sounds" / f"{name}.wav", demo, duration_s)
    return write_manifest(folder / "pairs.parquet", PAIRS)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Return a corpus with one finished run, to be read and never changed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("finished")
    manifest = write_corpus(folder)
    return Corpus(folder, manifest, folder / "out", run_all(manifest, folder / "out"))


@pytest.fixture
def corpus(finished: Corpus, tmp_path: Path) -> Corpus:
    """Return a copy of the finished corpus that a test may change: the copy keeps ids, times and memo of its root."""
    folder = tmp_path / "corpus"
    shutil.copytree(finished.folder, folder)
    return Corpus(folder, str(folder / "pairs.parquet"), folder / "out", finished.first)
