"""The history of an output root: every row that any run ever committed, read from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import Files, absolute, join
from manifests.schema import RESULT_SCHEMA, SCHEMA_VERSION, SUCCEEDED, VERSION_KEY, ManifestError
from manifests.tables import open_parquet, parquet_errors

HISTORY_COLUMNS = ("fingerprint", "pair_id", "status", "error_type", "seconds_total", "duration_s", "evaluations")

PART_SCHEMA = RESULT_SCHEMA.set(
    RESULT_SCHEMA.get_field_index("run_id"), pa.field("run_id", pa.dictionary(pa.int32(), pa.string()))
)
"""Of the files of the history. The run is a category, as readers that take it from the folder's name have it too."""

_MEND = "Delete this file: what it held is computed again by the next run"
_READERS = 16
"""Parts read at a time: they are small, and on S3 each waits for the network."""


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
    return winners(read_rows(files, root, (*HISTORY_COLUMNS, "finished_at"), None)).select(HISTORY_COLUMNS)


def part_uris(files: Files, root: str) -> list[str]:
    """Return the files that make up the history, sorted."""
    return [uri for uri in files.find(join(absolute(root), "results")) if uri.endswith(".parquet")]


def read_rows(files: Files, root: str, columns: Sequence[str], wanted: pa.ChunkedArray | None) -> pa.Table:
    """Read columns of all parts, sorted by their names; only `wanted` fingerprints, if given."""
    value_set = None if wanted is None else wanted.combine_chunks().unique()

    schema = pa.schema([RESULT_SCHEMA.field(name) for name in columns])

    def read(uri: str) -> pa.Table:
        table = read_part(files, uri, schema)
        return table if value_set is None else table.filter(pc.is_in(table.column("fingerprint"), value_set))

    with ThreadPoolExecutor(_READERS) as pool:
        return pa.concat_tables([schema.empty_table(), *pool.map(read, part_uris(files, root))]).combine_chunks()


def read_part(files: Files, uri: str, wanted: pa.Schema) -> pa.Table:
    """Read columns of a part in their current types; what an older version did not have is null."""
    with open_parquet(uri, files, _MEND) as parquet:
        # Built anew at each access, and with a hundred columns that is what reading a small part costs.
        stored = parquet.schema_arrow
        check_version(stored, uri)
        present = set(wanted.names) & set(stored.names)
        with parquet_errors(uri, _MEND):
            table = parquet.read(sorted(present), use_threads=False).replace_schema_metadata(None)
    columns = [table.column(name) if name in present else pa.nulls(table.num_rows) for name in wanted.names]
    return pa.table([column.cast(kind) for column, kind in zip(columns, wanted.types, strict=True)], schema=wanted)


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
