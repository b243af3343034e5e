"""Compaction of the history: the parts of many runs become one file, without the rows whose audio is to go."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import Files, absolute, join
from manifests.history import PART_SCHEMA, is_compacted, part_pieces
from manifests.schema import RESULT_SCHEMA
from manifests.tables import BATCH_ROWS, write_parquet


def compacted_uri(root: str, name: str) -> str:
    """Return where a compacted history lies: beside the runs' own folders, so that a reader of all rows finds both."""
    return join(absolute(root), "results", f"compacted-{name}.parquet")


def is_compact(parts: Sequence[str]) -> bool:
    """Return whether a history is one compacted file, or nothing at all."""
    return not parts or (len(parts) == 1 and is_compacted(parts[0]))


def compact(files: Files, root: str, name: str, parts: Sequence[str], dropped: Collection[str]) -> int:
    """Write the rows of some parts as one file, and leave the parts; until they are gone, rows are there twice.

    Parameters
    ----------
    files : Files
        The file system.
    root : str
        The output root.
    name : str
        Of the compaction; new each time.
    parts : sequence of str
        URIs of what is read, earlier compactions among them.
    dropped : collection of str
        Fingerprints whose rows are left out.

    Returns
    -------
    int
        Rows written. An attempt that two parts hold, since an earlier compaction was killed, is written once.
    """
    gone = pa.array(sorted(dropped), pa.string())
    rows = _in_groups(_kept_rows(files, sorted(parts), gone))
    return write_parquet(compacted_uri(root, name), files, (table.cast(PART_SCHEMA) for table in rows), PART_SCHEMA)


def _kept_rows(files: Files, parts: Sequence[str], gone: pa.Array) -> Iterator[pa.Table]:
    seen: set[tuple[str, str]] = set()
    for group in chain.from_iterable(part_pieces(files, uri, RESULT_SCHEMA, BATCH_ROWS) for uri in parts):
        rows = group.filter(pc.invert(pc.is_in(group.column("fingerprint"), value_set=gone)))
        attempts = list(zip(*(rows.column(name).to_pylist() for name in ("run_id", "fingerprint")), strict=True))
        yield rows.filter(pa.array([attempt not in seen for attempt in attempts], pa.bool_()))
        seen.update(attempts)


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
