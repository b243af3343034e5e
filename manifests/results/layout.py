"""Results on disk: where each file of an output root lies, and the write-once parts that make up its history.

Under an output root lie:

- `audio/<2 digits>/<fingerprint>.flac`, `.wav` or `.ogg`: content-addressed sounds, created and never replaced
- `segments/<2 digits>/<fingerprint>/`: what is computed of a long pair so far
- `results/run_id=<id>/part-<shard>.parquet`: one row per attempted pair, never changed
- `results/compacted-<number>.parquet`: such rows of many files, gathered while runs are at work, or by a collection
- `snapshots/<run_id>.parquet`: a run's pairs with their newest rows
- `results.parquet`: the newest snapshot
- `runs/<run_id>.json`: the record of a run
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import Files, absolute, join
from manifests.parquet import open_parquet
from manifests.results.history import PART_SCHEMA
from manifests.schema import (
    ERROR_TYPES,
    FAILED,
    RESULT_SCHEMA,
    SUCCEEDED,
    ManifestError,
)

LARGEST_SEAL_BYTES = 16_000
"""A part without rows is smaller: 14 kB are its schema and what goes with it."""

_NEEDED = ("pair_id", "content", "style", "status", "fingerprint")


AUDIO_SUFFIXES = ("flac", "wav", "ogg")


def audio_uri(root: str, fingerprint: str, attempt: str = "", suffix: str = "flac") -> str:
    """Return where the audio of a fingerprint lies; under a longer name, that of an attempt which needs its own."""
    name = f"{fingerprint}-{attempt}" if attempt else fingerprint
    return join(absolute(root), "audio", fingerprint[:2], f"{name}.{suffix}")


def segments_folder(root: str, fingerprint: str) -> str:
    """Return where what is computed of a long pair lies, until the whole is committed."""
    return join(absolute(root), "segments", fingerprint[:2], fingerprint)


def part_uri(root: str, run_id: str, shard: int) -> str:
    """Return where the rows of a run's shard lie."""
    return join(absolute(root), "results", f"run_id={run_id}", f"part-{shard:05d}.parquet")


def snapshot_uri(root: str, run_id: str) -> str:
    """Return where the snapshot of a run lies."""
    return join(absolute(root), "snapshots", f"{run_id}.parquet")


def latest_uri(root: str) -> str:
    """Return where the newest snapshot lies."""
    return join(absolute(root), "results.parquet")


def record_uri(root: str, run_id: str) -> str:
    """Return where the record of a run lies."""
    return join(absolute(root), "runs", f"{run_id}.json")


def write_part(files: Files, root: str, run_id: str, shard: int, rows: Sequence[Mapping[str, Any]]) -> str:
    """Commit a shard: write its rows, once. Its audio must be there before.

    Parameters
    ----------
    files : Files
        The file system.
    root : str
        The output root.
    run_id : str
        The run; put into every row.
    shard : int
        Number of the shard, put into every row.
    rows : sequence of mapping
        One per attempted pair, by column name; what is left out is null, and so is a figure that is not finite.

    Returns
    -------
    str
        URI of the part.

    Raises
    ------
    FileExistsError
        The shard is committed already.
    ManifestError
        No rows, an unknown column, a needed value missing, an unknown status or error type, a wrong type.
    """
    uri = part_uri(root, run_id, shard)
    if not rows:
        raise ManifestError(f"{uri}: no rows. Commit a shard only with at least one attempted pair")
    for number, row in enumerate(rows):
        _check_row(row, uri, number)
    complete = [{**row, "run_id": run_id, "shard": shard} for row in rows]
    columns = [_column(field, complete, uri) for field in RESULT_SCHEMA]
    _create_part(files, uri, pa.Table.from_arrays(columns, schema=RESULT_SCHEMA).cast(PART_SCHEMA))
    return uri


def seal_part(files: Files, uri: str) -> None:
    """Create a part without rows, unless it is there: nobody can commit it any more."""
    with suppress(FileExistsError):
        _create_part(files, uri, PART_SCHEMA.empty_table())


def sealed_parts(files: Files, root: str, uris: Sequence[str]) -> set[str]:
    """Return those of the parts under an output root that `seal_part` has created: they have no rows, and have to stay.

    Whoever they keep from committing may be paused for long. Only files that are small enough are opened.
    """
    sizes = dict(files.sizes(join(absolute(root), "results")))
    return {uri for uri in uris if sizes.get(uri, LARGEST_SEAL_BYTES) < LARGEST_SEAL_BYTES and not _count(files, uri)}


def _count(files: Files, uri: str) -> int:
    with open_parquet(uri, files, "Delete it, if it is none of ours") as part:
        return int(part.metadata.num_rows)


def _create_part(files: Files, uri: str, part: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(part, sink, compression="zstd")
    files.create(uri, sink.getvalue().to_pybytes())


def _check_row(row: Mapping[str, Any], uri: str, number: int) -> None:
    unknown = sorted(set(row) - set(RESULT_SCHEMA.names))
    if unknown:
        raise ManifestError(f"{uri}: column '{unknown[0]}', row {number}: not in RESULT_COLUMNS. Add it there first")
    missing = [name for name in _NEEDED if not row.get(name)]
    if missing:
        raise ManifestError(
            f"{uri}: column '{missing[0]}', row {number}: not given. Every row needs {', '.join(_NEEDED)}"
        )
    if row["status"] not in (SUCCEEDED, FAILED):
        raise ManifestError(f"{uri}: column 'status', row {number}: '{row['status']}'. Use {SUCCEEDED} or {FAILED}")
    expected = ERROR_TYPES if row["status"] == FAILED else (None,)
    if row.get("error_type") not in expected:
        raise ManifestError(
            f"{uri}: column 'error_type', row {number}: {row.get('error_type')!r} for a {row['status']} pair. "
            f"Use one of ERROR_TYPES for a failed pair, None for a succeeded one"
        )


def _column(field: pa.Field, rows: Sequence[Mapping[str, Any]], uri: str) -> pa.Array:
    values = [_finite(row.get(field.name)) for row in rows]
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise ManifestError(f"{uri}: column '{field.name}': {error}. Give it as {field.type}") from error


def _finite(value: Any) -> Any:
    """Return None for NaN and infinities, also within a list."""
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
