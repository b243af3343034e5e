"""The snapshot of a run: for each pair of its manifest the row that counts, in the order of the manifest.

Rows lie in the parts in the order of the shards. They are sorted on disk, so that memory follows neither the number of
the pairs nor that of the columns, but the ids alone, and the user's own columns where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.files import Files, absolute, join
from manifests.own_types import recast, without_views
from manifests.results.external_sort import sorting
from manifests.results.history import stream_rows, with_parts
from manifests.results.layout import latest_uri, snapshot_uri
from manifests.results.planned_history import NOTHING_LOST, LostAudio, find_rows
from manifests.results.prefetch import prefetched
from manifests.results.publishing import publish_tables, versions
from manifests.schema import RESULT_SCHEMA, SUCCEEDED, ManifestError

Rows = NDArray[np.int64]

WIDE_ROWS = 1 << 13
"""Rows with all their columns, about 2 kB each, that are read in one go."""

_AUDIO_NAME = r"(?P<name>[^/]+/[^/]+)$"
"""Of a file below `audio/`."""

_PLAN_COLUMNS = ("pair_id", "content", "style")


def write_snapshot(
    files: Files,
    root: str,
    run_id: str,
    plan: pa.Table,
    user: pa.Table | None,
    check: Callable[[], None] = lambda: None,
    go_on: Callable[[], None] = lambda: None,
    lost: LostAudio = NOTHING_LOST,
) -> int:
    """Write the snapshot of a run, then put it in the place of `results.parquet`.

    It holds the columns of `RESULT_SCHEMA`, then the user's, in the order of the manifest. Pairs without a row are left
    out. `pair_id`, `content`, `style` and the user's columns are the plan's, and `output` lies under `root`: the
    history may have been written for other names, and the root moved since.

    Parameters
    ----------
    files : Files
        The file system.
    root : str
        The output root.
    run_id : str
        The run.
    plan : pyarrow.Table
        `pair_id`, `content`, `style`, `fingerprint` and `row` (in the manifest) of every pair of the run; texts may be
        dictionaries.
    user : pyarrow.Table or None
        The user's own columns, one row per row of the manifest.
    check : callable, optional
        Called before the files appear; what it raises leaves the old ones in place.
    go_on : callable, optional
        Called every few thousand rows; what it raises does so too.
    lost : LostAudio, optional
        Rows that are left out although they succeeded.

    Returns
    -------
    int
        Rows of the snapshot.

    Raises
    ------
    ManifestError
        A part is damaged or newer than this version, or the manifest has changed since `plan` was made.
    OSError
        Of the file system: another run has written its table meanwhile, and this one may be older.
    """
    uris = [latest_uri(root), snapshot_uri(root, run_id)]
    present = versions(files, uris)  # before the parts: no newer table is replaced by an older one
    plan = plan.sort_by("row")
    own = recast(user, without_views(user.schema)) if user is not None else None
    schema = pa.schema([*RESULT_SCHEMA, *(user.schema if user is not None else [])], metadata=RESULT_SCHEMA.metadata)

    def write(parts: list[str]) -> int:  # those of now: while they are read, shards may commit more
        places = find_rows(files, parts, plan.column("fingerprint"), lost, go_on)
        pairs, places = plan.filter(pa.array(places >= 0)), places[places >= 0]
        _refuse_shorter(pairs, user)
        with sorting(RESULT_SCHEMA, pairs.num_rows) as sorter:
            for table, rows, positions in _chosen(files, parts, places):
                sorter.add(table, rows, positions)
                go_on()
            with closing(prefetched(_finished(sorter.tables(), pairs, own, root, schema))) as finished:
                return publish_tables(uris, files, _watched(finished, go_on), schema, present, check)

    return with_parts(files, root, write)


def _chosen(files: Files, parts: list[str], places: NDArray[np.int64]) -> Iterator[tuple[pa.Table, Rows, Rows]]:
    """Read the parts: which rows of each table stand at some places, and the positions in the snapshot they take."""
    order = np.argsort(places, kind="stable")
    ascending, first = places[order], 0
    for table in stream_rows(files, parts, RESULT_SCHEMA.names, WIDE_ROWS):
        begin, end = np.searchsorted(ascending, [first, first + table.num_rows])
        yield table, ascending[begin:end] - first, order[begin:end]
        first += table.num_rows


def _watched(tables: Iterator[pa.Table], go_on: Callable[[], None]) -> Iterator[pa.Table]:
    for table in tables:
        go_on()
        yield table


def _finished(
    tables: Iterator[pa.Table], plan: pa.Table, user: pa.Table | None, root: str, schema: pa.Schema
) -> Generator[pa.Table, None, None]:
    """Give sorted rows the plan's names and the user's columns."""
    first = 0
    for table in tables:
        pairs = plan.slice(first, table.num_rows)
        first += table.num_rows
        for name in _PLAN_COLUMNS:
            table = _replaced(table, name, pairs.column(name))
        table = _replaced(table, "output", _outputs(table, root))
        own = user.take(pairs.column("row")).columns if user is not None else []
        whole = pa.Table.from_arrays([*table.columns, *own], names=schema.names)
        yield recast(whole, schema)


def _refuse_shorter(plan: pa.Table, user: pa.Table | None) -> None:
    last = pc.max(plan.column("row")).as_py()
    if user is not None and last is not None and last >= user.num_rows:
        raise ManifestError(
            f"row {last} was planned, but the manifest has only {user.num_rows} rows now: it changed. Run again"
        )


def _replaced(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    index = table.column_names.index(name)
    return table.set_column(index, table.schema.field(index), column.cast(table.schema.field(index).type))


def _outputs(snapshot: pa.Table, root: str) -> pa.ChunkedArray:
    """Return where the audio of the succeeded rows lies below a root, null for the others: as they name it."""
    names = pc.struct_field(pc.extract_regex(snapshot.column("output"), _AUDIO_NAME), "name")
    below = pa.scalar(join(absolute(root), "audio"))
    uris = pc.binary_join_element_wise(below, names, "/")
    return pc.if_else(pc.equal(snapshot.column("status"), SUCCEEDED), uris, pa.scalar(None, pa.string()))
