"""Each sound is read, resampled and analysed once per run and process, not once per pair."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import soundfile
from torch import Tensor

from stylecore.analysis import Analysis, analyse
from tasks.options import RunOptions
from tasks.pipeline import batch_synthesis as synthesis
from tasks.pipeline.in_process import InProcessExecutor
from tasks.pipeline.shards import compute_shards, shard_groups
from tasks.storage.storage import Storage
from tests.tasks.corpus import QUICK, begin, cut, write_manifest

SIDE = 5
BRIEF = QUICK.resolve({"coarse_iterations": 1, "iterations": 1, "sound_iterations": 0, "griffin_lim_iterations": 1})
OPTIONS = RunOptions(device="cpu", shard_audio_s=1)


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    """Return a manifest of 5 contents x 5 styles, 0.2 s each, no two alike."""
    for side, name in (("content", "harp_phrase"), ("style", "violin_sustained")):
        samples, rate = cut(name, 2.0)
        (tmp_path / side).mkdir()
        for number in range(SIDE):
            start = number * rate // 16
            soundfile.write(tmp_path / side / f"{number}.wav", samples[start : start + rate // 5], rate)
    rows = [{"content": f"content/{c}.wav", "style": f"style/{s}.wav"} for c in range(SIDE) for s in range(SIDE)]
    return write_manifest(tmp_path / "m.parquet", rows)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return how often each sound has been opened, by its path; it is opened all the same."""
    counts: Counter[str] = Counter()
    real = Storage.open

    def counted(self: Storage, uri: str) -> Any:
        if uri.endswith(".wav"):
            counts[uri] += 1
        return real(self, uri)

    monkeypatch.setattr(Storage, "open", counted)
    return counts


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """Return how often each sound has been analysed, by its samples; it is analysed all the same."""
    counts: Counter[bytes] = Counter()

    def counted(samples: Tensor, sample_rate: int) -> Analysis:
        counts[samples.numpy().tobytes()] += 1
        return analyse(samples, sample_rate)

    monkeypatch.setattr(synthesis, "analyse", counted)
    return counts


def test_of_25_pairs_10_sounds_are_read_and_analysed(
    manifest: str, tmp_path: Path, opened: Counter[str], analysed: Counter[bytes]
) -> None:
    run, plan = begin(manifest, tmp_path / "out", BRIEF, OPTIONS)
    assert len(plan.shards) > 4
    assert (len(opened), opened.total()) == (2 * SIDE, 2 * SIDE)  # to know their identities
    opened.clear()
    compute = InProcessExecutor("cpu")
    for group in shard_groups(plan.shards):
        committed = compute_shards(plan.uri, group, run.output, run.run_id, OPTIONS, compute)
        assert committed.failed == 0
    assert (len(opened), opened.total()) == (2 * SIDE, 2 * SIDE)
    assert (len(analysed), analysed.total()) == (2 * SIDE, 2 * SIDE)
    assert compute.analyses.n_bytes < compute.analyses.limit_bytes
