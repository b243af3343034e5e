"""Compaction of the history: the parts of many runs become one file, without the rows whose audio is to go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.files import Files, absolute, join
from manifests.parquet import BATCH_ROWS
from manifests.results.history import PART_SCHEMA, current_parts, is_compacted, part_pieces, replacing_metadata
from manifests.schema import RESULT_SCHEMA


def compacted_uri(root: str, name: str) -> str:
    """Return where a compacted history lies: beside the runs' own folders, so that a reader of all rows finds both."""
    return join(absolute(root), "results", f"compacted-{name}.parquet")


def is_compact(parts: Sequence[str]) -> bool:
    """Return whether a history is one compacted file, or nothing at all."""
    return not parts or (len(parts) == 1 and is_compacted(parts[0]))


def compact(files: Files, root: str, name: str, listed: Sequence[str], dropped: pa.Array) -> int:
    """Write the history as one new file, which stands for all files that it is in so far; these are left.

    Parameters
    ----------
    files : Files
        The file system.
    root : str
        The output root.
    name : str
        Of the compaction; new each time.
    listed : sequence of str
        All files of the history, those among them that an earlier compaction stands for.
    dropped : pyarrow.Array of str
        Fingerprints whose rows are left out.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    OSError
        Of the file system, if a file is there already: who has taken over put it there.
    """
    schema = PART_SCHEMA.with_metadata({**PART_SCHEMA.metadata, **replacing_metadata(root, listed)})
    kept = 0
    with (
        files.replacing(compacted_uri(root, name), None) as handle,
        pq.ParquetWriter(handle, schema, compression="zstd") as writer,
    ):
        for table in _in_groups(_kept_rows(files, current_parts(files, root, listed), dropped)):
            writer.write_table(table.cast(PART_SCHEMA).replace_schema_metadata(schema.metadata))
            kept += table.num_rows
    return kept


def _kept_rows(files: Files, parts: Sequence[str], dropped: pa.Array) -> Iterator[pa.Table]:
    for rows in chain.from_iterable(part_pieces(files, uri, RESULT_SCHEMA, BATCH_ROWS) for uri in parts):
        yield rows.filter(pc.invert(pc.is_in(rows.column("fingerprint"), value_set=dropped)))


def _in_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Gather small tables into row groups of a size that reads well."""
    gathered: list[pa.Table] = []
    rows = 0
    for table in tables:
        gathered.append(table)
        rows += table.num_rows
        if rows >= BATCH_ROWS:
            yield pa.concat_tables(gathered).combine_chunks()
            gathered, rows = [], 0
    if rows:
        yield pa.concat_tables(gathered).combine_chunks()
