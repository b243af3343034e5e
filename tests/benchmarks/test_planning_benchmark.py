"""The benchmark of planning: its corpus is real, and its figures are of the real functions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import planning_data
from benchmarks.speed.planning_cost import FOLDED, PARTS, in_fresh_process, report
from benchmarks.speed.planning_data import make_corpus, make_folded_history, make_history
from benchmarks.speed.planning_steps import CONTENT_MIB, STYLE_MIB, encodings
from manifests.files import join
from manifests.parquet import write_parquet
from manifests.results.history import PART_SCHEMA, known_names, part_name, part_uris, read_rows
from manifests.results.layout import part_uri
from manifests.schema import RESULT_SCHEMA
from tasks.cache import ByteLimitedCache
from tasks.ledger import folding
from tasks.ledger.folding import fold
from tasks.ledger.lease import holding
from tasks.storage.storage import Storage


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
    run = {"rows": 200, "known": False, "layout": PARTS, "planned": planned, "closed": closed}
    text = report([run, {**run, "layout": FOLDED, "known": True}], "a command")
    assert "Made by `a command`" in text
    assert "| 200 | 102 | parts of 2,500 rows, new | 4 |" in text


@pytest.mark.slow
def test_a_history_as_runs_leave_it_is_what_folding_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (planning_data, folding):
        monkeypatch.setattr(module, "MANY", 4)
    first = in_fresh_process("plan", make_corpus(tmp_path, 100), str(tmp_path / "first"))
    make_folded_history(tmp_path / "made", first["plan"], 15)
    made, files, folded = str(tmp_path / "made"), Storage(), str(tmp_path / "folded")
    table = read_rows(files, made, RESULT_SCHEMA.names)
    monkeypatch.setattr(folding, "SMALL_BYTES", max(size for _, size in files.sizes(join(made, "results"))))
    with holding(files, folded, planning_data.RUN_ID):
        for number, start in enumerate(range(0, table.num_rows, 15)):
            part = table.slice(start, 15).cast(PART_SCHEMA)
            write_parquet(part_uri(folded, planning_data.RUN_ID, number), files, [part], PART_SCHEMA)
            fold(files, folded, planning_data.RUN_ID)
    assert known_names(files, folded) == known_names(files, made)
    assert [part_name(made, uri) for uri in part_uris(files, made)] == [
        part_name(folded, uri) for uri in part_uris(files, folded)
    ]
    assert read_rows(files, folded, RESULT_SCHEMA.names).equals(table)
