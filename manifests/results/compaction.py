"""Compaction of the history: many files become one, which stands for them; a collection leaves rows out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.files import Files, absolute, join
from manifests.results.history import (
    PART_SCHEMA,
    compaction_number,
    current_parts,
    is_compacted,
    replacing_metadata,
    stream_rows,
)
from manifests.schema import RESULT_SCHEMA

NOTHING = pa.array([], pa.string())
_GROUP_ROWS = 1 << 14


def compacted_uri(root: str, name: str) -> str:
    """Return where a compacted history lies: beside the runs' own folders, so that a reader of all rows finds both."""
    return join(absolute(root), "results", f"compacted-{name}.parquet")


def next_number(names: Iterable[str]) -> str:
    """Return how to call the compaction after those among the names of all files that the history ever consisted of.

    Compactions are numbered, and a number is given once: each rests on all before it, so no file is in two of them.

    >>> next_number(["run_id=a/part-00000.parquet", "compacted-000041.parquet"])
    '000042'
    """
    return f"{max((compaction_number(name)[0] for name in names), default=0) + 1:06d}"


def is_compact(parts: Sequence[str]) -> bool:
    """Return whether a history is one compacted file, or nothing at all."""
    return not parts or (len(parts) == 1 and is_compacted(parts[0]))


def compact(
    files: Files,
    root: str,
    name: str,
    listed: Sequence[str],
    dropped: pa.Array = NOTHING,
    go_on: Callable[[], None] = lambda: None,
) -> int:
    """Write what some files of the history hold as one new file, which stands for all of them; these are left.

    Parameters
    ----------
    files : Files
        The file system.
    root : str
        The output root.
    name : str
        Of the compaction; new each time (`next_number`).
    listed : sequence of str
        Files of the history; or all of them, those among them that an earlier compaction stands for.
    dropped : pyarrow.Array of str, optional
        Fingerprints whose rows are left out.
    go_on : callable, optional
        Called every few thousand rows; what it raises ends the compaction without a trace.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    ManifestError
        A file is damaged, or was folded away meanwhile.
    OSError
        Of the file system, if a file of that name is there already: of another slice, or of who has taken over.
    """
    schema = PART_SCHEMA.with_metadata({**PART_SCHEMA.metadata, **replacing_metadata(files, root, listed)})
    kept = 0
    with (
        files.replacing(compacted_uri(root, name), None) as handle,
        pq.ParquetWriter(handle, schema, compression="zstd") as writer,
    ):
        for rows in stream_rows(files, current_parts(files, root, listed), RESULT_SCHEMA.names, _GROUP_ROWS):
            if len(dropped):
                rows = rows.filter(pc.invert(pc.is_in(rows.column("fingerprint"), value_set=dropped)))
            writer.write_table(rows.cast(PART_SCHEMA).replace_schema_metadata(schema.metadata))
            kept += rows.num_rows
            go_on()
    return kept
