"""The history of an output root: every row that any run ever committed, read from its parts, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import Files, absolute, join
from manifests.schema import RESULT_SCHEMA, SCHEMA_VERSION, SUCCEEDED, VERSION_KEY, ManifestError
from manifests.tables import open_parquet, parquet_errors

PART_SCHEMA = RESULT_SCHEMA.set(
    RESULT_SCHEMA.get_field_index("run_id"), pa.field("run_id", pa.dictionary(pa.int32(), pa.string()))
)
"""Of the files of the history. The run is a category, as readers that take it from the folder's name have it too."""

_MEND = "Delete this file: what it held is computed again by the next run"
_READERS = 16
"""Parts read at a time: they are small, and on S3 each waits for the network."""

_WINDOW = 512
"""Parts whose rows wait in memory at most."""

HISTORY_ROWS = 1 << 18
"""Rows that are looked up in one go: each time costs a pass over the pairs that are looked for."""


def part_uris(files: Files, root: str) -> list[str]:
    """Return the files that make up the history, sorted."""
    return [uri for uri in files.find(join(absolute(root), "results")) if uri.endswith(".parquet")]


def stream_rows(files: Files, root: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Stream columns of all parts, sorted by their names, in tables of about `HISTORY_ROWS` rows.

    Raises
    ------
    ManifestError
        A part is damaged, or was written by a newer version.
    """
    schema = pa.schema([RESULT_SCHEMA.field(name) for name in columns])
    gathered: list[pa.Table] = []
    rows = 0
    for table in _tables(files, part_uris(files, root), schema):
        gathered.append(table)
        rows += table.num_rows
        if rows >= HISTORY_ROWS:
            yield pa.concat_tables(gathered).combine_chunks()
            gathered, rows = [], 0
    if rows:
        yield pa.concat_tables(gathered).combine_chunks()


def read_rows(files: Files, root: str, columns: Sequence[str], wanted: pa.ChunkedArray | None) -> pa.Table:
    """Read columns of all parts, sorted by their names; only `wanted` fingerprints, if given."""
    value_set = None if wanted is None else wanted.combine_chunks().unique()
    schema = pa.schema([RESULT_SCHEMA.field(name) for name in columns])
    tables = [schema.empty_table()]
    for table in stream_rows(files, root, columns):
        keep = None if value_set is None else pc.is_in(table.column("fingerprint"), value_set)
        tables.append(table if keep is None else table.filter(keep))
    return pa.concat_tables(tables).combine_chunks()


def _tables(files: Files, uris: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """Read parts in order, small ones many at a time; of a compacted one a row group at a time."""
    with ThreadPoolExecutor(_READERS) as pool:
        for large, run in groupby(uris, key=is_compacted):
            if large:
                for uri in run:
                    yield from part_groups(files, uri, schema)
                continue
            while window := list(islice(run, _WINDOW)):
                yield from pool.map(lambda uri: read_part(files, uri, schema), window)


def is_compacted(uri: str) -> bool:
    """Return whether a part holds the rows of many runs, as garbage collection leaves them."""
    return uri.rpartition("/")[2].startswith("compacted-")


def read_part(files: Files, uri: str, wanted: pa.Schema) -> pa.Table:
    """Read columns of a part in their current types; what an older version did not have is null."""
    return pa.concat_tables([wanted.empty_table(), *part_groups(files, uri, wanted)])


def part_groups(files: Files, uri: str, wanted: pa.Schema) -> Iterator[pa.Table]:
    """Read a part as `read_part`, a row group at a time."""
    with open_parquet(uri, files, _MEND) as parquet:
        # Built anew at each access, and with a hundred columns that is what reading a small part costs.
        stored = parquet.schema_arrow
        check_version(stored, uri)
        present = sorted(set(wanted.names) & set(stored.names))
        for group in range(parquet.num_row_groups):
            with parquet_errors(uri, _MEND):
                table = parquet.read_row_group(group, present, use_threads=False)
            columns = [table.column(name) if name in present else pa.nulls(table.num_rows) for name in wanted.names]
            yield pa.table([column.cast(kind) for column, kind in zip(columns, wanted.types, strict=True)], wanted)


def check_version(schema: pa.Schema, uri: str) -> None:
    """Raise a `ManifestError` if a part is none of ours, or of a newer version."""
    version = (schema.metadata or {}).get(VERSION_KEY)
    if version is None:
        raise ManifestError(f"{uri}: not a result of timbreflow (no schema version). Move the file out of this folder")
    if int(version) > SCHEMA_VERSION:
        raise ManifestError(
            f"{uri}: schema version {int(version)} > {SCHEMA_VERSION}, written by a newer timbreflow. Upgrade yours"
        )


def winners(table: pa.Table) -> pa.Table:
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
