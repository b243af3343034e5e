"""Parquet through a handed-in file system, with errors that say which file and what to do.

A file that timbreflow wrote is opened with `open_parquet`. One from anywhere else is opened with `open_foreign`: a
small Parquet file can describe a table of any size, so what it claims is bounded before it is decoded, and text is
decoded through its distinct values, however often they are repeated.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.decompression_guard import MAX_FILE_BYTES, may_swell, refuse_swelling
from manifests.files import Files
from manifests.schema import ManifestError

BATCH_ROWS = 65_536
"""Rows held at a time while a table streams."""

MAX_FOOTER_BYTES = 4 << 20
"""Largest footer that is parsed: in memory one takes up to 230 times its size. One of 20 columns has 3 kB per group."""

MAX_COLUMNS = 1_000
MAX_ROWS = 10_000_000
MAX_GROUP_BYTES = 2 << 30
"""Largest row group, before it is decoded: a page, which is decompressed whole, may be most of it."""

MAX_OWN_BYTES = 4 << 30
"""Most that the user's own columns may take in memory."""

_TEXT_ROWS = 1 << 20
"""Rows that are decoded in one go: the distinct texts of a row group so far are copied for each."""

_LARGE_VALUES = 1 << 26
"""Values, rows times columns, that are decoded in one go."""

_READ_BYTES = 1 << 20
_MAGIC = b"PAR1"


class FileGone(ManifestError):
    """There is no such file; `uri` tells which."""

    def __init__(self, uri: str, remedy: str) -> None:
        super().__init__(f"{uri}: no such file. {remedy}")
        self.uri = uri


@contextmanager
def parquet_errors(uri: str, remedy: str) -> Iterator[None]:
    """Turn what is wrong with a Parquet file into a `ManifestError`; real trouble of the storage passes through."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileGone(uri, remedy) from error
    except IsADirectoryError as error:
        raise ManifestError(f"{uri}: is a folder, not a Parquet file. {remedy}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ManifestError(f"{uri}: not a Parquet file, or a damaged one ({_one_line(error)}). {remedy}") from error
    except OSError as error:
        # Arrow reports damaged pages as a bare OSError without a number; a storage has its own error or a number.
        if type(error) is not OSError or error.errno is not None:
            raise
        raise ManifestError(f"{uri}: damaged Parquet file ({_one_line(error)}). {remedy}") from error


@contextmanager
def open_parquet(uri: str, files: Files, remedy: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file and read its footer.

    Parameters
    ----------
    uri : str
        The file.
    files : Files
        The file system.
    remedy : str
        What the user can do if it is missing or damaged, a sentence for the message.

    Raises
    ------
    ManifestError
        Missing, a folder, or not Parquet.
    """
    with parquet_errors(uri, remedy):
        handle = files.open(uri)
    with handle:
        with parquet_errors(uri, remedy):
            parquet = pq.ParquetFile(handle)
        yield parquet


class ForeignTable(NamedTuple):
    """A Parquet file from anywhere: where, what it holds, and the file, whose texts come as dictionaries."""

    uri: str
    schema: pa.Schema
    parquet: pq.ParquetFile
    handle: BinaryIO
    remedy: str


@contextmanager
def open_foreign(uri: str, files: Files, remedy: str) -> Iterator[ForeignTable]:
    """Open a Parquet file that anybody may have made; parameters as `open_parquet`.

    Raises
    ------
    ManifestError
        Missing, a folder, not Parquet, or larger than any manifest has reason to be.
    """
    with parquet_errors(uri, remedy):
        handle = files.open(uri)
    with handle:
        _refuse_large_footer(handle, uri)
        with parquet_errors(uri, remedy):
            parquet = pq.ParquetFile(handle)
            schema = parquet.schema_arrow
            schema.to_string(show_schema_metadata=False)  # fails if a name, however deep, is no text
            _refuse_large(parquet.metadata, schema, uri)
        names = [field.name for field in schema if _is_plain_text(field.type) and schema.names.count(field.name) == 1]
        with parquet_errors(uri, remedy):
            parquet = pq.ParquetFile(
                handle, metadata=parquet.metadata, read_dictionary=names, pre_buffer=False, buffer_size=_READ_BYTES
            )
        yield ForeignTable(uri, schema, parquet, handle, remedy)


def read_batches(table: ForeignTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Stream columns in batches of at most `BATCH_ROWS` rows, texts as dictionaries; raises as `read_own`."""
    _refuse_swelling(table, [name for name in columns if may_swell(table.schema.field(name).type)])
    for large in _large_batches(table, columns):
        for start in range(0, large.num_rows, BATCH_ROWS):
            yield large.slice(start, BATCH_ROWS)


def read_own(table: ForeignTable, columns: Sequence[str]) -> pa.Table:
    """Return the user's own columns as they were written.

    Raises
    ------
    ManifestError
        As `open_foreign`, and if they would take more than `MAX_OWN_BYTES`.
    """
    schema = pa.schema([table.schema.field(name) for name in columns])
    _refuse_swelling(table, [field.name for field in schema if may_swell(field.type)])
    batches, size = [], 0
    for batch in _large_batches(table, columns):
        size += sum(_decoded_bytes(column) for column in batch.columns)
        if size > MAX_OWN_BYTES:
            bound = f"more than {MAX_OWN_BYTES / 2**30:g} GiB in memory"
            raise ManifestError(f"{table.uri}: its own columns take {bound}. Leave out what the results do not need")
        with parquet_errors(table.uri, table.remedy):
            decoded = [_as_written(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
            batches.append(pa.RecordBatch.from_arrays(decoded, schema=schema))
            batches[-1].validate(full=True)
    return pa.Table.from_batches(batches, schema=schema)


def _as_written(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a column in the type that its file says; a text that came as a dictionary may have been none."""
    if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(kind):
        column = column.cast(column.type.value_type)
    return column if column.type == kind else column.cast(kind)


def longest_text(column: pa.DictionaryArray) -> int:
    """Return the length, in bytes, of the longest of a column's distinct texts; 0 if there are none."""
    return int(pc.max(pc.binary_length(column.dictionary)).as_py() or 0)


def _large_batches(table: ForeignTable, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    rows = 0
    size = max(1, min(_TEXT_ROWS, _LARGE_VALUES // len(columns)))
    batches = table.parquet.iter_batches(batch_size=size, columns=list(columns))
    while True:
        with parquet_errors(table.uri, table.remedy):
            batch = next(batches, None)
            if batch is None:
                return
            _refuse_dangling(batch)
        rows += batch.num_rows
        if rows > MAX_ROWS:
            _refuse_rows(rows, table.uri)
        # Parquet selects by path: asking for "content" also brings a column called "content.note".
        yield batch.select(columns)


def _refuse_dangling(batch: pa.RecordBatch) -> None:
    """Refuse dictionaries that lack a value, as only damaged files have them."""
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            first, last = pc.min_max(column.indices).as_py().values()
            if last is not None and not 0 <= first <= last < len(column.dictionary):
                raise pa.ArrowInvalid(f"values {first} to {last} of a dictionary of {len(column.dictionary)}")


def _refuse_swelling(table: ForeignTable, columns: Sequence[str]) -> None:
    if not columns:
        return
    size = table.handle.seek(0, os.SEEK_END)
    if size > MAX_FILE_BYTES:
        problem = f"{size} bytes > {MAX_FILE_BYTES} for a file with columns such as '{columns[0]}', of lists or bytes"
        raise ManifestError(f"{table.uri}: {problem}. Leave them out, or split it")
    table.handle.seek(0)
    refuse_swelling(table.handle.read(), columns, table.uri)


def _decoded_bytes(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type) or not _is_plain_text(column.type.value_type):
        return int(column.nbytes)
    return int(pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0)


def _is_plain_text(kind: pa.DataType) -> bool:
    return any(check(kind) for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _refuse_large_footer(handle: BinaryIO, uri: str) -> None:
    """Look at the length of the footer, which stands before the last four bytes, before anything parses it."""
    if handle.seek(0, os.SEEK_END) < 12:
        return
    handle.seek(-8, os.SEEK_END)
    tail = handle.read(8)
    size = int.from_bytes(tail[:4], "little")
    if tail[4:] == _MAGIC and size > MAX_FOOTER_BYTES:
        remedy = "Write it with fewer columns or larger row groups"
        raise ManifestError(f"{uri}: its footer has {size} bytes > {MAX_FOOTER_BYTES}. {remedy}")


def _refuse_large(metadata: pq.FileMetaData, schema: pa.Schema, uri: str) -> None:
    columns = max(metadata.num_columns, len(schema))
    if columns > MAX_COLUMNS:
        raise ManifestError(f"{uri}: {columns} columns > {MAX_COLUMNS}. Keep those that the results need")
    if metadata.num_rows > MAX_ROWS:
        _refuse_rows(metadata.num_rows, uri)
    # Not column by column: what pyarrow says of a damaged one ends the process, `parquet::ParquetException`.
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        if group.total_byte_size > MAX_GROUP_BYTES:
            size = f"a row group of {group.total_byte_size} bytes > {MAX_GROUP_BYTES}"
            raise ManifestError(f"{uri}: {size}. Write it with smaller row groups")


def _refuse_rows(rows: int, uri: str) -> None:
    raise ManifestError(f"{uri}: {rows} rows > {MAX_ROWS}. Split it into several manifests, each with its own output")


def write_parquet(uri: str, files: Files, batches: Iterable[pa.RecordBatch | pa.Table], schema: pa.Schema) -> int:
    """Stream tables to a Parquet file that appears whole or not at all; return the number of rows."""
    rows = 0
    with files.writing(uri) as handle, pq.ParquetWriter(handle, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write(batch)
            rows += batch.num_rows
    return rows


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
