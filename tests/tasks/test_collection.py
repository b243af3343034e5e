"""What a garbage collection holds in memory does not grow, attempt by attempt, with the history."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.parquet import write_parquet
from manifests.results.history import PART_SCHEMA
from manifests.results.layout import audio_uri, latest_uri, part_uri, seal_part
from manifests.schema import RESULT_SCHEMA
from tasks.ledger.gc import collect
from tasks.storage.storage import Storage
from tests.manifests.result_rows import commit

ATTEMPTS = 40_000
BYTES_PER_ATTEMPT = 100
"""Of Python's own objects: a text alone takes more. What Arrow holds comes on top, about 100."""


def write_attempts(root: str, run_id: str, names: list[str]) -> None:
    """Write succeeded rows as one part, without audio."""
    known = {
        "fingerprint": names,
        "pair_id": names,
        "status": ["succeeded"] * len(names),
        "output": [audio_uri(root, name) for name in names],
        "run_id": [run_id] * len(names),
        "finished_at": [datetime(2026, 1, 1, tzinfo=UTC)] * len(names),
    }
    columns = [known.get(name, [None] * len(names)) for name in RESULT_SCHEMA.names]
    rows = pa.table(
        [pa.array(values, kind) for values, kind in zip(columns, RESULT_SCHEMA.types, strict=True)], RESULT_SCHEMA
    )
    write_parquet(part_uri(root, run_id, 0), Storage(), [rows.cast(PART_SCHEMA)], PART_SCHEMA)
    if not Storage().exists(latest_uri(root)):
        write_parquet(latest_uri(root), Storage(), [rows], RESULT_SCHEMA)


def test_a_collection_holds_no_object_per_attempt(tmp_path: Path) -> None:
    root = str(tmp_path)
    names = [sha256(str(number).encode()).hexdigest()[:40] for number in range(ATTEMPTS)]
    write_attempts(root, "20260101T000000-aaaaaa", names[: ATTEMPTS // 2])
    write_attempts(root, "20260101T000001-bbbbbb", names[ATTEMPTS // 2 :])  # which no table names: they go
    tracemalloc.start()
    try:
        garbage = collect(root, keep_days=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(garbage.fingerprints), len(garbage.parts)) == (ATTEMPTS // 2, 2)
    (left,) = Storage().find(f"{root}/results")
    assert pq.ParquetFile(left).metadata.num_rows == ATTEMPTS // 2
    assert peak < ATTEMPTS * BYTES_PER_ATTEMPT


def test_files_that_a_killed_collection_has_replaced_count_no_more_and_go_with_the_next(tmp_path: Path) -> None:
    root, files = str(tmp_path), Storage()
    for number in range(3):
        commit(root, "run", number, [f"{number:040x}"])
    write_parquet(latest_uri(root), files, [RESULT_SCHEMA.empty_table()], RESULT_SCHEMA)
    parts = {uri: files.read(uri) for uri in files.find(f"{root}/results")}
    collect(root, keep_days=30)
    (whole,) = files.find(f"{root}/results")
    for uri in list(parts)[1:]:  # as if it had been killed after it removed one of them
        files.create(uri, parts[uri])
    told = collect(root, keep_days=30)
    assert (told.parts, told.compacting) == (tuple(list(parts)[1:]), False)
    assert files.find(f"{root}/results") == [whole]


def test_what_keeps_a_paused_run_from_committing_stays(tmp_path: Path) -> None:
    """Whoever was taken over before it created a part may wake up after the collection."""
    root, files = str(tmp_path), Storage()
    commit(root, "run", 0, ["a" * 40])
    write_parquet(latest_uri(root), files, [RESULT_SCHEMA.empty_table()], RESULT_SCHEMA)
    sealed = part_uri(root, "paused", 0)
    seal_part(files, sealed)
    garbage = collect(root, keep_days=30)
    assert garbage.parts == (part_uri(root, "run", 0),)
    assert files.exists(sealed)
    assert collect(root, keep_days=30).parts == ()
