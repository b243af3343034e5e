"""The history of an output root: every row that any run ever committed, read from its parts, a batch at a time."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby, islice
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import Files, absolute, join
from manifests.parquet import BATCH_ROWS, FileGone, open_parquet, parquet_errors
from manifests.results.prefetch import prefetched
from manifests.schema import REDEFINED, RESULT_SCHEMA, SCHEMA_VERSION, SUCCEEDED, VERSION_KEY, ManifestError

Read = TypeVar("Read")

PART_SCHEMA = RESULT_SCHEMA.set(
    RESULT_SCHEMA.get_field_index("run_id"), pa.field("run_id", pa.dictionary(pa.int32(), pa.string()))
)
"""Of the files of the history. The run is a category, as readers that take it from the folder's name have it too."""

_NUMBERED = re.compile(r"compacted-(\d{6,})\.parquet$")
_REPLACES_KEY = b"timbreflow.replaces"
_REMEDY = "Delete this file: what it held is computed again by the next run"
_READERS = 16
"""Parts read at a time: they are small, and on S3 each waits for the network."""

_AHEAD = 32
"""Parts whose rows wait in memory at most."""


def part_uris(files: Files, root: str) -> list[str]:
    """Return the files that make up the history, sorted.

    Raises
    ------
    ManifestError
        A compacted file is damaged: nobody knows what it stands for.
    """
    return with_parts(files, root, lambda parts: parts)


def with_parts(files: Files, root: str, read: Callable[[list[str]], Read]) -> Read:
    """Return what `read` makes of the files of the history; anew, where one of them was folded into another meanwhile.

    Raises as `part_uris`, and what `read` raises.
    """
    gone: str | None = None
    while True:
        listed = listed_parts(files, root)
        try:
            return read(current_parts(files, root, listed))
        except FileGone as error:
            if error.uri == gone or error.uri not in listed:  # nobody has folded that
                raise
            gone = error.uri


def listed_parts(files: Files, root: str) -> list[str]:
    """Return the files of the history, sorted, those among them that a compacted one stands for, not yet removed.

    A listing takes a while. A file that was removed meanwhile is in a compacted one that may have come too late for it:
    a second listing shows that.
    """
    listed = _listed(files, root)
    while not set(filter(is_compacted, again := _listed(files, root))) <= set(listed):
        listed = again
    return listed


def _listed(files: Files, root: str) -> list[str]:
    return [uri for uri in files.find(_folder(root)) if uri.endswith(".parquet")]


def current_parts(files: Files, root: str, listed: Sequence[str]) -> list[str]:
    """Return those of the listed files that count: no other one that counts stands for them; raises as `part_uris`.

    Only a later compaction stands for an earlier one. One that does not count hides nothing: a process that was paused
    may create it anew, for other files, when its number was given and has been folded away.
    """
    told = _names_told(files, listed)
    replaced: set[str] = set()
    for uri in sorted(told, key=compaction_number, reverse=True):
        if part_name(root, uri) not in replaced:
            replaced.update(told[uri])
    return [uri for uri in listed if part_name(root, uri) not in replaced]


def names_replaced(files: Files, listed: Sequence[str]) -> set[str]:
    """Return the names of all files that the compacted ones of those listed stand for."""
    return set(chain.from_iterable(_names_told(files, listed).values()))


def compaction_number(uri: str) -> tuple[int, str]:
    """Return what orders compacted files by age: their number; those of earlier versions have a time instead."""
    found = _NUMBERED.search(uri)
    return (int(found[1]) if found else 0, uri)


def _names_told(files: Files, listed: Sequence[str]) -> dict[str, list[str]]:
    def names(uri: str) -> list[str]:
        with open_parquet(uri, files, _REMEDY) as parquet:
            return replaced_names(parquet.schema_arrow)

    compacted = list(filter(is_compacted, listed))
    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(compacted, pool.map(names, compacted), strict=True))


def known_names(files: Files, root: str) -> set[str]:
    """Return the names of all files that the history consists of, or ever did before they were folded."""

    def names(parts: list[str]) -> set[str]:
        return {part_name(root, uri) for uri in parts} | names_replaced(files, parts)

    return with_parts(files, root, names)


def replacing_metadata(files: Files, root: str, parts: Sequence[str]) -> dict[bytes, bytes]:
    """Return what a compacted file says of the files that it stands for: from when it is there, they do not count.

    So their rows leave the history, or stay in it, at one moment, however long it takes to remove them. It goes on to
    say so of those that they have stood for: who was paused may still create a file of that name.
    """
    names = json.dumps(sorted({part_name(root, uri) for uri in parts} | names_replaced(files, parts)))
    return {_REPLACES_KEY: base64.b64encode(zlib.compress(names.encode()))}


def part_name(root: str, part: str) -> str:
    """Return a part's name below its root's history: the root may be moved."""
    return part.removeprefix(_folder(root) + "/")


def replaced_names(schema: pa.Schema) -> list[str]:
    """Return the names of the files that one with this schema stands for; none, unless it is a compacted one."""
    told = (schema.metadata or {}).get(_REPLACES_KEY)
    names: list[str] = json.loads(zlib.decompress(base64.b64decode(told))) if told else []
    return names


def _folder(root: str) -> str:
    return join(absolute(root), "results")


def stream_rows(files: Files, parts: Sequence[str], columns: Sequence[str], most_rows: int) -> Iterator[pa.Table]:
    """Stream columns of some parts, in their order, in tables of about `most_rows` rows.

    Raises
    ------
    ManifestError
        A part is damaged, or was written by a newer version.
    """
    schema = pa.schema([RESULT_SCHEMA.field(name) for name in columns])
    return prefetched(_gathered(_tables(files, parts, schema, most_rows), most_rows))


def _gathered(tables: Iterable[pa.Table], most_rows: int) -> Generator[pa.Table, None, None]:
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        if rows >= most_rows:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, rows = [], 0
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def read_rows(files: Files, root: str, columns: Sequence[str]) -> pa.Table:
    """Read columns of all parts, sorted by their names; raises as `stream_rows`."""
    schema = pa.schema([RESULT_SCHEMA.field(name) for name in columns])
    tables = stream_rows(files, part_uris(files, root), columns, BATCH_ROWS)
    return pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()


def _tables(files: Files, uris: Sequence[str], schema: pa.Schema, most_rows: int) -> Iterator[pa.Table]:
    """Read parts in order, small ones some ahead of their turn; compacted ones a piece at a time."""
    for large, run in groupby(uris, key=is_compacted):
        if large:
            for uri in run:
                yield from part_pieces(files, uri, schema, most_rows)
        else:
            yield from read_ahead(files, run, schema, most_rows)


def read_ahead(
    files: Files, parts: Iterable[str], wanted: pa.Schema, most_rows: int
) -> Generator[pa.Table, None, None]:
    """Give `read_part` of each of some parts, in order; small ones ahead of their turn, `most_rows` rows or so."""
    waiting = iter(parts)
    with ThreadPoolExecutor(_READERS) as pool:
        ahead = deque(pool.submit(read_part, files, uri, wanted) for uri in islice(waiting, 1))
        while ahead:
            table = ahead.popleft().result()
            room = min(_AHEAD, max(1, most_rows // max(1, table.num_rows))) - len(ahead)
            ahead.extend(pool.submit(read_part, files, uri, wanted) for uri in islice(waiting, max(0, room)))
            yield table


def is_compacted(uri: str) -> bool:
    """Return whether a part holds the rows of many runs, as garbage collection leaves them."""
    return uri.rpartition("/")[2].startswith("compacted-")


def read_part(files: Files, uri: str, wanted: pa.Schema) -> pa.Table:
    """Read columns of a part in their current types; what an older version lacked, or meant otherwise, is null."""
    return pa.concat_tables([wanted.empty_table(), *part_pieces(files, uri, wanted, BATCH_ROWS)])


def part_pieces(files: Files, uri: str, wanted: pa.Schema, most_rows: int, remedy: str = _REMEDY) -> Iterator[pa.Table]:
    """Read a part, or a snapshot, as `read_part`, in tables of at most so many rows; `remedy` is for the messages."""
    with open_parquet(uri, files, remedy) as parquet:
        # Built anew at each access, and with a hundred columns that is what reading a small part costs.
        stored = parquet.schema_arrow
        version = check_version(stored, uri)
        present = sorted(name for name in set(wanted.names) & set(stored.names) if REDEFINED.get(name, 0) <= version)
        batches = parquet.iter_batches(most_rows, columns=present, use_threads=False)
        while True:
            with parquet_errors(uri, remedy):
                batch = next(batches, None)
                if batch is None:
                    return
                columns = [batch.column(name) if name in present else pa.nulls(batch.num_rows) for name in wanted.names]
                cast = [column.cast(kind) for column, kind in zip(columns, wanted.types, strict=True)]
            yield pa.table(cast, wanted)


def check_version(schema: pa.Schema, uri: str) -> int:
    """Return a part's schema version; raise a `ManifestError` if the part is none of ours, or of a newer version."""
    version = (schema.metadata or {}).get(VERSION_KEY)
    if version is None:
        raise ManifestError(f"{uri}: not a result of timbreflow (no schema version). Move the file out of this folder")
    if not version.isdigit() or int(version) > SCHEMA_VERSION:
        written = version.decode(errors="replace")
        raise ManifestError(
            f"{uri}: schema version {written} > {SCHEMA_VERSION}, written by a newer timbreflow. Upgrade yours"
        )
    return int(version)


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
