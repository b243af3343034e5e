"""Tables that are replaced while others read them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import Files, FileStat
from manifests.parquet import open_parquet, parquet_errors

_UNUSED_BYTES = 1 << 16
"""Two versions of a file begin with the same number of them once in so many times."""


class _Tee:
    """A file that is several files: what is written goes to each."""

    closed = False

    def __init__(self, handles: Sequence[BinaryIO]) -> None:
        self._handles = handles

    def write(self, data: bytes) -> int:
        for handle in self._handles:
            handle.write(data)
        return len(data)

    def flush(self) -> None:
        for handle in self._handles:
            handle.flush()

    def close(self) -> None:
        """Leave the files open: whoever opened them says when they are whole."""


def publish_tables(
    uris: Sequence[str],
    files: Files,
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    present: Sequence[FileStat | None],
    check: Callable[[], None] = lambda: None,
) -> int:
    """Write tables, a row group each, to Parquet files that others may be reading.

    Each reads an old version or the new one, or gets an error, but never a mixture. A file appears whole or not at all,
    but a reader need not read it in one go. Arrow, and so pandas, asks S3 for the footer and then for some columns at a
    time, and each answer is of what is there then; a local file it opens twice. The footer of one version then serves
    to read columns of others, and where these are laid out alike, the mixture passes for a table. So each version
    begins with a random number of unused bytes: no column lies where it lay before.

    Parameters
    ----------
    uris : sequence of str
        The files; all get the same bytes, and appear in this order.
    files : Files
        The file system.
    tables : iterable of pyarrow.Table
        What they hold, in `schema`.
    schema : pyarrow.Schema
        Of the tables.
    present : sequence of FileStat or None
        What the files are to be still (`versions`): a writer that was paused must not replace a newer table.
    check : callable, optional
        Called when all is written, before anything appears; what it raises leaves the old files in place.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    OSError
        Of the file system, if a file is not what it was; those after it stay as they are too.
    """
    rows = 0
    with ExitStack() as opened:
        # What is opened last is closed first, and so appears first.
        handles = [
            opened.enter_context(files.replacing(uri, found))
            for uri, found in reversed(list(zip(uris, present, strict=True)))
        ]
        sink = pa.PythonFile(_Tee(handles), mode="w")  # counts what is written between the writer's own
        with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            sink.write(bytes(secrets.randbelow(_UNUSED_BYTES)))
            for table in tables:
                writer.write_table(table)
                rows += table.num_rows
        check()
    return rows


def publish_table(uri: str, files: Files, table: pa.Table) -> None:
    """Do `publish_tables` with one table and one file."""
    publish_tables([uri], files, [table], table.schema, versions(files, [uri]))


def publish_again(uri: str, files: Files, present: FileStat | None, remedy: str, check: Callable[[], None]) -> None:
    """Give a table another version, with the same rows: who has looked at an older one cannot replace it any more.

    Parameters
    ----------
    uri, files, check
        As for `publish_tables`.
    present : FileStat or None
        What the table is to be still.
    remedy : str
        What the user can do if it is damaged.

    Raises
    ------
    ManifestError
        The table is damaged.
    OSError
        Of the file system, if another process has replaced it meanwhile.
    """
    with open_parquet(uri, files, remedy) as parquet, parquet_errors(uri, remedy):
        groups = (parquet.read_row_group(number) for number in range(parquet.num_row_groups))
        publish_tables([uri], files, groups, parquet.schema_arrow, [present], check)


def versions(files: Files, uris: Sequence[str]) -> list[FileStat | None]:
    """Return what some files are now, None for those that are absent."""
    return [_version(files, uri) for uri in uris]


def _version(files: Files, uri: str) -> FileStat | None:
    try:
        return files.stat(uri)
    except FileNotFoundError:
        return None
