"""Results on disk: write-once parts, the history they make up, and the snapshot that users read.

Under an output root lie:

- `audio/<2 digits>/<fingerprint>.flac`: content-addressed sounds
- `results/run_id=<id>/part-<shard>.parquet`: one row per attempted pair, never changed
- `results/compacted-<id>.parquet`: such rows of many runs, gathered by a garbage collection
- `snapshots/<run_id>.parquet`: a run's pairs with their newest rows
- `results.parquet`: the newest snapshot
- `runs/<run_id>.json`: the record of a run
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.files import Files, absolute, join
from manifests.history import PART_SCHEMA, read_rows, winners
from manifests.publishing import publish_table
from manifests.schema import (
    ERROR_TYPES,
    FAILED,
    RESULT_SCHEMA,
    SUCCEEDED,
    ManifestError,
)

_NEEDED = ("pair_id", "content", "style", "status", "fingerprint")
_PLAN_COLUMNS = ("pair_id", "content", "style")


def audio_uri(root: str, fingerprint: str) -> str:
    """Return where the audio of a fingerprint lies."""
    return join(absolute(root), "audio", fingerprint[:2], f"{fingerprint}.flac")


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
    sink = pa.BufferOutputStream()
    part = pa.Table.from_arrays(columns, schema=RESULT_SCHEMA).cast(PART_SCHEMA)
    pq.write_table(part, sink, compression="zstd")
    files.create(uri, sink.getvalue().to_pybytes())
    return uri


def write_snapshot(files: Files, root: str, run_id: str, plan: pa.Table, user: pa.Table | None) -> pa.Table:
    """Write the snapshot of a run, then put it in the place of `results.parquet`.

    Parameters
    ----------
    files : Files
        The file system.
    root : str
        The output root.
    run_id : str
        The run.
    plan : pyarrow.Table
        `pair_id`, `content`, `style`, `fingerprint` and `row` (in the manifest) of every pair of the run.
    user : pyarrow.Table or None
        The user's own columns, one row per row of the manifest.

    Returns
    -------
    pyarrow.Table
        The columns of `RESULT_SCHEMA`, then the user's, in the order of the manifest. Pairs without a row are left
        out. `pair_id`, `content`, `style` and the user's columns are the plan's, and `output` lies under `root`: the
        history may have been written for other names, and the root moved since.

    Raises
    ------
    ManifestError
        A part is damaged or newer than this version, or the manifest has changed since `plan` was made.
    """
    plan = plan.sort_by("row")
    rows = winners(read_rows(files, root, RESULT_SCHEMA.names, plan.column("fingerprint")))
    found = pc.index_in(plan.column("fingerprint"), value_set=rows.column("fingerprint").combine_chunks())
    plan = plan.filter(found.is_valid())
    snapshot = rows.select(RESULT_SCHEMA.names).take(found.drop_null())
    for name in _PLAN_COLUMNS:
        snapshot = _replaced(snapshot, name, plan.column(name))
    snapshot = _replaced(snapshot, "output", _outputs(snapshot, root))
    snapshot = _with_user_columns(snapshot, plan.column("row"), user)
    snapshot = snapshot.replace_schema_metadata(RESULT_SCHEMA.metadata)
    for uri in (snapshot_uri(root, run_id), latest_uri(root)):
        publish_table(uri, files, snapshot)
    return snapshot


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


def _replaced(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    index = table.column_names.index(name)
    return table.set_column(index, table.schema.field(index), column.cast(table.schema.field(index).type))


def _outputs(snapshot: pa.Table, root: str) -> pa.ChunkedArray:
    """Return `audio_uri` of the succeeded rows, null for the others."""
    names = snapshot.column("fingerprint")
    folder = pa.scalar(join(absolute(root), "audio"))
    uris = pc.binary_join_element_wise(
        folder, pc.utf8_slice_codeunits(names, 0, 2), pc.binary_join_element_wise(names, pa.scalar("flac"), "."), "/"
    )
    return pc.if_else(pc.equal(snapshot.column("status"), SUCCEEDED), uris, pa.scalar(None, pa.string()))


def _with_user_columns(snapshot: pa.Table, rows: pa.ChunkedArray, user: pa.Table | None) -> pa.Table:
    if user is None:
        return snapshot
    last = pc.max(rows).as_py()
    if last is not None and last >= user.num_rows:
        raise ManifestError(
            f"row {last} was planned, but the manifest has only {user.num_rows} rows now: it changed. Run again"
        )
    own = user.take(rows)
    for name in own.column_names:
        snapshot = snapshot.append_column(own.schema.field(name), own.column(name))
    return snapshot
