"""What planning needs to know of the history's small parts, remembered in one file beside them.

A finished corpus leaves a part per shard, and opening tens of thousands of them takes longer than the rest of planning.
Parts never change, so what was read of one need not be read again. The file only saves time: it may be deleted, and one
that names a part which is gone (collected, or deleted by its owner) counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.files import Files, absolute, join
from manifests.parquet import open_parquet, parquet_errors, write_parquet
from manifests.results.history import is_compacted, part_name, part_uris, read_ahead, stream_rows
from manifests.schema import RESULT_SCHEMA, SCHEMA_VERSION, VERSION_KEY, ManifestError

PLANNING_COLUMNS = ("fingerprint", "pair_id", "status", "error_type", "seconds_total", "duration_s", "finished_at")

WORTH_PARTS = 256
"""New parts that make it worth while to write the file anew."""

_PART = pa.field("part", pa.string())
_SCHEMA = pa.schema(
    [_PART, *(RESULT_SCHEMA.field(name) for name in PLANNING_COLUMNS)],
    metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()},
)
_GROUP_ROWS = 1 << 16
_MEND = "Delete it: it is written anew"


def remembered_uri(root: str) -> str:
    """Return where an output root remembers its history."""
    return join(absolute(root), "history.parquet")


def stream_history(files: Files, root: str, most_rows: int) -> Iterator[pa.Table]:
    """Stream `PLANNING_COLUMNS` of all rows of an output root, remembered ones first; raises as `stream_rows`."""
    parts = part_uris(files, root)
    with _opened(files, root) as remembered:
        names = _remembered_parts(remembered, root, parts)
        if names:
            yield from (table.select(PLANNING_COLUMNS) for table in _remembered_rows(remembered, root, most_rows))
    new = [uri for uri in parts if part_name(root, uri) not in names]
    yield from stream_rows(files, new, PLANNING_COLUMNS, most_rows)


def remember(files: Files, root: str) -> None:
    """Remember the rows of the parts that are there now, if enough of them are new; raises as `stream_rows`."""
    parts = part_uris(files, root)
    with _opened(files, root) as remembered:
        names = _remembered_parts(remembered, root, parts)
        new = [uri for uri in parts if not is_compacted(uri) and part_name(root, uri) not in names]
        if len(new) >= WORTH_PARTS:
            old = _remembered_rows(remembered, root, _GROUP_ROWS) if names else iter(())
            write_parquet(remembered_uri(root), files, _all_rows(files, root, old, new), _SCHEMA)


def _all_rows(files: Files, root: str, old: Iterator[pa.Table], new: Sequence[str]) -> Iterator[pa.Table]:
    yield from old
    wanted = pa.schema([RESULT_SCHEMA.field(name) for name in PLANNING_COLUMNS])
    gathered, count = [_SCHEMA.empty_table()], 0
    for uri, rows in zip(new, read_ahead(files, new, wanted), strict=True):
        names = pa.array([part_name(root, uri)] * rows.num_rows, pa.string())
        gathered.append(pa.table([names, *rows.columns], schema=_SCHEMA))
        count += rows.num_rows
        if count >= _GROUP_ROWS:
            yield pa.concat_tables(gathered).combine_chunks()
            gathered, count = [_SCHEMA.empty_table()], 0
    yield pa.concat_tables(gathered).combine_chunks()


@contextmanager
def _opened(files: Files, root: str) -> Iterator[pq.ParquetFile | None]:
    """Give the file, opened once: names and rows are of one version, also if another run replaces it meanwhile."""
    uri = remembered_uri(root)
    with ExitStack() as opened:
        found = None
        if files.exists(uri):
            with suppress(ManifestError):
                found = opened.enter_context(open_parquet(uri, files, _MEND))
        yield found


def _remembered_parts(remembered: pq.ParquetFile | None, root: str, parts: Sequence[str]) -> frozenset[str]:
    """Return the names of the parts that are remembered; none if the file is damaged, or one of them is gone."""
    if remembered is None or not remembered.schema_arrow.equals(_SCHEMA, check_metadata=False):
        return frozenset()
    names: set[str] = set()
    try:
        with parquet_errors(remembered_uri(root), _MEND):
            for batch in remembered.iter_batches(_GROUP_ROWS, columns=[_PART.name], use_threads=False):
                names.update(pc.unique(batch.column(0)).to_pylist())
    except ManifestError:
        return frozenset()
    return frozenset(names) if names <= {part_name(root, part) for part in parts} else frozenset()


def _remembered_rows(remembered: pq.ParquetFile | None, root: str, most_rows: int) -> Iterator[pa.Table]:
    assert remembered is not None
    batches = remembered.iter_batches(most_rows, use_threads=False)
    while True:
        with parquet_errors(remembered_uri(root), _MEND):
            batch = next(batches, None)
        if batch is None:
            return
        yield pa.table(batch.columns, schema=_SCHEMA)
