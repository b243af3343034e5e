"""The benchmark of planning: its corpus is real, and its figures are of the real functions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.planning_cost import in_fresh_process, report
from benchmarks.speed.planning_data import make_corpus, make_history
from benchmarks.speed.planning_steps import CONTENT_MIB, STYLE_MIB, encodings
from tasks.cache import ByteLimitedCache


@dataclass(frozen=True)
class Encoding:
    """What a cache knows of an encoded sound."""

    n_bytes: int


def test_encodings_are_those_of_the_projects_cache() -> None:
    generator = np.random.default_rng(0)
    contents, styles = generator.integers(0, 9, 400).tolist(), generator.integers(10, 30, 400).tolist()
    cache, computed = ByteLimitedCache(64), []

    def encode(sound: int, size: int) -> Encoding:
        computed.append(sound)
        return Encoding(size)

    for pair in zip(contents, styles, strict=True):
        for sound, size in zip(pair, (CONTENT_MIB, STYLE_MIB), strict=True):
            cache.get(sound, lambda sound=sound, size=size: encode(sound, size))  # type: ignore[misc]
    assert encodings(contents, styles, 64) == len(computed)


@pytest.mark.slow
def test_a_corpus_is_planned_over_its_history(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, 200)
    first = in_fresh_process("plan", manifest, str(tmp_path / "first"))
    assert (first["counts"]["new"], first["sounds"], first["parts"]) == (200, 102, 0)
    make_history(tmp_path / "parts", first["plan"], 50)
    planned = in_fresh_process("plan", manifest, str(tmp_path / "parts"))
    assert planned["parts"] == 4
    assert planned["counts"]["up_to_date"] > planned["counts"]["failed"] + planned["counts"]["failed_before"] > 0
    assert planned["peak_mib"] > planned["imports_mib"] > 0
    closed = in_fresh_process("close", manifest, str(tmp_path / "parts"))
    run = {"rows": 200, "known": False, "part_rows": 50, "planned": planned, "closed": closed}
    text = report([run, {**run, "part_rows": None, "known": True}], "a command")
    assert "Made by `a command`" in text
    assert "| 200 | 102 | 4 parts, new |" in text
