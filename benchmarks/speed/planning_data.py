"""A corpus to plan: a manifest of contents x styles, its sounds, and a history as runs would have left it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from manifests.parquet import BATCH_ROWS, write_parquet
from manifests.results.compaction import compacted_uri
from manifests.results.history import PART_SCHEMA, replacing_metadata
from manifests.results.layout import audio_uri, part_uri
from manifests.schema import RESULT_SCHEMA
from tasks.ledger.folding import MANY
from tasks.storage.storage import Storage

RATE_HZ = 4_000
LENGTHS_S = (2.3, 2.9)
RUN_ID = "20260101T000000-000000"
CURVE = 70
"""Evaluations whose losses a row tells."""

SUCCEEDED_SHARE, TRANSIENT_SHARE = 0.9, 0.05
"""Of the history; what remains failed permanently."""

_TOLD = [("succeeded", None), ("failed", "storage"), ("failed", "silent")]


def make_corpus(folder: Path, rows: int) -> str:
    """Write `rows` pairs, each content with each style, and their sounds; return the manifest."""
    contents = 1_000 if rows >= 100_000 else 100
    styles = -(-rows // contents)
    generator = np.random.default_rng(0)
    (folder / "sounds").mkdir(parents=True)
    names = [f"sounds/{side}{number:04d}.wav" for side, n in (("c", contents), ("s", styles)) for number in range(n)]
    for name in names:
        length = round(generator.uniform(*LENGTHS_S) * RATE_HZ)
        soundfile.write(folder / name, 0.3 * generator.standard_normal(length).clip(-3, 3), RATE_HZ, subtype="PCM_U8")
    sides = [pa.array(names[:contents]), pa.array(names[contents:])]
    codes = np.arange(rows) % contents, np.arange(rows) // contents
    columns = {
        name: side.take(pa.array(code)) for name, side, code in zip(("content", "style"), sides, codes, strict=True)
    }
    pq.write_table(pa.table(columns), folder / "pairs.parquet")
    return str(folder / "pairs.parquet")


def make_history(root: Path, plan: str, part_rows: int | None) -> None:
    """Write a row for every pair of a plan: in parts of `part_rows` rows, or, if None, as one compacted file.

    Audio is there under every pair's name, a byte of it.
    """
    generator, files = np.random.default_rng(1), Storage()
    batches = pq.ParquetFile(plan).iter_batches(batch_size=part_rows or BATCH_ROWS)
    tables = (_rows(batch, str(root), number, generator) for number, batch in enumerate(batches))
    if part_rows is None:
        write_parquet(compacted_uri(str(root), "000001"), files, tables, PART_SCHEMA)
        return
    for number, table in enumerate(tables):
        write_parquet(part_uri(str(root), RUN_ID, number), files, [table], PART_SCHEMA)


def make_folded_history(root: Path, plan: str, part_rows: int) -> None:
    """Write such a history as runs leave it: of as many parts as they fold there is one file, what is over is parts."""
    generator, files = np.random.default_rng(1), Storage()
    for number, batch in enumerate(pq.ParquetFile(plan).iter_batches(batch_size=MANY * part_rows)):
        table = _rows(batch, str(root), number, generator)
        starts = range(0, table.num_rows, part_rows)
        parts = [part_uri(str(root), RUN_ID, number * MANY + part) for part in range(len(starts))]
        if len(parts) == MANY:
            replaced = replacing_metadata(files, str(root), parts)
            schema = PART_SCHEMA.with_metadata({**PART_SCHEMA.metadata, **replaced})
            write_parquet(compacted_uri(str(root), f"{number + 1:06d}"), files, [table.cast(schema)], schema)
        else:
            for uri, start in zip(parts, starts, strict=True):
                write_parquet(uri, files, [table.slice(start, part_rows)], PART_SCHEMA)


def _rows(batch: pa.RecordBatch, root: str, shard: int, generator: np.random.Generator) -> pa.Table:
    """Return results of planned pairs: every column filled, with figures of four digits, as random as real ones."""
    count = batch.num_rows
    told = generator.choice(3, count, p=[SUCCEEDED_SHARE, TRANSIENT_SHARE, 1 - SUCCEEDED_SHARE - TRANSIENT_SHARE])
    names = batch.column("fingerprint").to_pylist()
    _put_audio(root, names)
    known = {
        **{name: batch.column(name) for name in batch.schema.names if name in RESULT_SCHEMA.names},
        "output": pa.array(
            [audio_uri(root, name) if kind == 0 else None for name, kind in zip(names, told, strict=True)]
        ),
        "status": pa.array([_TOLD[kind][0] for kind in told]),
        "error_type": pa.array([_TOLD[kind][1] for kind in told], pa.string()),
        "run_id": pa.array([RUN_ID] * count),
        "shard": pa.array(np.full(count, shard)),
        "finished_at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * count),
    }
    columns = [known[f.name] if f.name in known else _made_up(f.type, count, generator) for f in RESULT_SCHEMA]
    cast = [column.cast(field.type) for column, field in zip(columns, RESULT_SCHEMA, strict=True)]
    return pa.Table.from_arrays(cast, schema=RESULT_SCHEMA).cast(PART_SCHEMA)


def _put_audio(root: str, names: Sequence[str]) -> None:
    """Put a file under each name; those of a folder are one, or a million of them would fill the disk."""
    for name in names:
        path = Path(audio_uri(root, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        first = path.with_name("first")
        if not first.exists():
            first.write_bytes(b"f")
        path.hardlink_to(first)


def _made_up(kind: pa.DataType, count: int, generator: np.random.Generator) -> pa.Array:
    if pa.types.is_list(kind):
        ends = pa.array(np.arange(count + 1, dtype=np.int32) * CURVE)
        return pa.ListArray.from_arrays(ends, pa.array(generator.random(count * CURVE).round(4)))
    if pa.types.is_floating(kind):
        return pa.array(generator.random(count).round(4))
    if pa.types.is_integer(kind):
        return pa.array(generator.integers(0, 100, count))
    return pa.nulls(count)
