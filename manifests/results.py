"""Results on disk: write-once parts, the history they make up, and the snapshot that users read.

Under an output root lie:

- `audio/<2 digits>/<fingerprint>.flac`: content-addressed sounds
- `results/run_id=<id>/part-<shard>.parquet`: one row per attempted pair, never changed
- `snapshots/<run_id>.parquet`: a run's pairs with their newest rows
- `results.parquet`: the newest snapshot
- `runs/<run_id>.json`: the record of a run
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.files import Files, absolute, join
from manifests.schema import (
    ERROR_TYPES,
    FAILED,
    RESULT_SCHEMA,
    SCHEMA_VERSION,
    SUCCEEDED,
    VERSION_KEY,
    ManifestError,
)
from manifests.tables import open_parquet, parquet_errors, write_parquet

HISTORY_COLUMNS = ("fingerprint", "pair_id", "status", "error_type", "seconds_total", "duration_s", "evaluations")

_NEEDED = ("pair_id", "content", "style", "status", "fingerprint")
_PLAN_COLUMNS = ("pair_id", "content", "style")
_MEND = "Delete this file: what it held is computed again by the next run"
_READERS = 16
"""Parts read at a time: they are small, and on S3 each waits for the network."""


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
    pq.write_table(pa.Table.from_arrays(columns, schema=RESULT_SCHEMA), sink, compression="zstd")
    files.create(uri, sink.getvalue().to_pybytes())
    return uri


def read_history(files: Files, root: str) -> pa.Table:
    """Return what is known of every fingerprint under an output root, over all runs.

    Returns
    -------
    pyarrow.Table
        `HISTORY_COLUMNS`, one row per fingerprint, sorted by it: a succeeded row wins over failed
        ones, then the newest.

    Raises
    ------
    ManifestError
        A part is damaged, or was written by a newer version.
    """
    return _winners(_read_parts(files, root, (*HISTORY_COLUMNS, "finished_at"), None)).select(HISTORY_COLUMNS)


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
    rows = _winners(_read_parts(files, root, RESULT_SCHEMA.names, plan.column("fingerprint")))
    found = pc.index_in(plan.column("fingerprint"), value_set=rows.column("fingerprint").combine_chunks())
    plan = plan.filter(found.is_valid())
    snapshot = rows.select(RESULT_SCHEMA.names).take(found.drop_null())
    for name in _PLAN_COLUMNS:
        snapshot = _replaced(snapshot, name, plan.column(name))
    snapshot = _replaced(snapshot, "output", _outputs(snapshot, root))
    snapshot = _with_user_columns(snapshot, plan.column("row"), user)
    snapshot = snapshot.replace_schema_metadata(RESULT_SCHEMA.metadata)
    for uri in (snapshot_uri(root, run_id), latest_uri(root)):
        write_parquet(uri, files, [snapshot], snapshot.schema)
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


def _read_parts(files: Files, root: str, columns: Sequence[str], wanted: pa.ChunkedArray | None) -> pa.Table:
    """Read columns of all parts, sorted by their names; only `wanted` fingerprints, if given."""
    uris = [uri for uri in files.find(join(absolute(root), "results")) if uri.endswith(".parquet")]
    value_set = None if wanted is None else wanted.combine_chunks().unique()

    schema = pa.schema([RESULT_SCHEMA.field(name) for name in columns])

    def read(uri: str) -> pa.Table:
        table = _read_part(files, uri, schema)
        return table if value_set is None else table.filter(pc.is_in(table.column("fingerprint"), value_set))

    with ThreadPoolExecutor(_READERS) as pool:
        return pa.concat_tables([schema.empty_table(), *pool.map(read, uris)]).combine_chunks()


def _read_part(files: Files, uri: str, wanted: pa.Schema) -> pa.Table:
    """Read columns of a part in their current types; what an older version did not have is null."""
    with open_parquet(uri, files, _MEND) as parquet:
        # Built anew at each access, and with a hundred columns that is what reading a small part costs.
        stored = parquet.schema_arrow
        _check_version(stored, uri)
        present = set(wanted.names) & set(stored.names)
        with parquet_errors(uri, _MEND):
            table = parquet.read(sorted(present), use_threads=False).replace_schema_metadata(None)
    columns = [table.column(name) if name in present else pa.nulls(table.num_rows) for name in wanted.names]
    return pa.table([column.cast(kind) for column, kind in zip(columns, wanted.types, strict=True)], schema=wanted)


def _check_version(schema: pa.Schema, uri: str) -> None:
    version = (schema.metadata or {}).get(VERSION_KEY)
    if version is None:
        raise ManifestError(f"{uri}: not a result of timbreflow (no schema version). Move the file out of this folder")
    if int(version) > SCHEMA_VERSION:
        raise ManifestError(
            f"{uri}: schema version {int(version)} > {SCHEMA_VERSION}, written by a newer timbreflow. Upgrade yours"
        )


def _winners(table: pa.Table) -> pa.Table:
    """Return one row per fingerprint: succeeded before failed, then the newest, then the last read."""
    ranked = pa.table(
        {
            "fingerprint": table.column("fingerprint"),
            "succeeded": pc.equal(table.column("status"), SUCCEEDED).cast(pa.int8()),
            "finished_at": table.column("finished_at").cast(pa.int64()).fill_null(-(2**63)),
            "position": pa.array(np.arange(table.num_rows)),
        }
    )
    keys = [(name, "ascending" if name == "fingerprint" else "descending") for name in ranked.column_names]
    order = pc.sort_indices(ranked, sort_keys=keys)
    names = ranked.column("fingerprint").take(order).combine_chunks()
    starts = np.ones(len(names), dtype=bool)
    if len(names) > 1:
        starts[1:] = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
    return table.take(order.filter(pa.array(starts)))


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
