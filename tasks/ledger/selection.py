"""Rows of a table of results that a user asks for in SQL: DuckDB finds and sorts them, on the disk if need be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.parquet import BATCH_ROWS
from manifests.schema import ManifestError
from tasks.ledger.query import SHOWN, ResultTable
from tasks.storage.storage import Storage

DEFAULT_COLUMNS = ("pair_id", "status", "error_type", *SHOWN)
NAME = "results"
"""What a condition may call the table."""


@dataclass(frozen=True)
class Selection:
    """Which rows, in which order, and which columns.

    Attributes
    ----------
    where : str, optional
        A condition of SQL, such as `status = 'failed'` or `melody_kept < 0.5 and style like '%glass%'`.
    sort : str, optional
        What ORDER BY takes: `melody_kept desc, pair_id`. Without it the order is the manifest's.
    columns : sequence of str
        Names, in the order wanted.
    limit : int, optional
        Most rows.
    """

    where: str | None = None
    sort: str | None = None
    columns: Sequence[str] = DEFAULT_COLUMNS
    limit: int | None = None


@contextmanager
def selected(table: ResultTable, files: Storage, wanted: Selection) -> Iterator[pa.RecordBatchReader]:
    """Give the rows of a table, some thousand at a time; lists and structs are text.

    Only the columns that are named are read. The condition can reach nothing but the table.

    Raises
    ------
    ManifestError
        If a column is not in the table, or the condition or the order is no SQL.
    OSError
        If the table cannot be read.
    """
    with files.open(table.uri) as source:
        parquet = pq.ParquetFile(source)
        schema = parquet.schema_arrow
        _refuse_unknown(wanted.columns, schema.names, table.uri)
        named = [name for name in schema.names if name in wanted.columns or _is_in(name, wanted)]
        batches = parquet.iter_batches(BATCH_ROWS, columns=named)
        rows = pa.RecordBatchReader.from_batches(pa.schema([schema.field(name) for name in named]), batches)
        with duckdb.connect(config={"enable_external_access": "false", "preserve_insertion_order": "true"}) as database:
            database.register(NAME, rows)
            try:
                yield database.sql(_statement(wanted, schema)).to_arrow_reader(BATCH_ROWS)
            except duckdb.Error as error:
                raise ManifestError(f"{table.uri}: {_explained(error)}") from error


def _statement(wanted: Selection, schema: pa.Schema) -> str:
    columns = ", ".join(_column(schema.field(name)) for name in wanted.columns)
    where = f" where ({wanted.where})" if wanted.where else ""
    order = f" order by {wanted.sort}" if wanted.sort else ""
    limit = f" limit {wanted.limit}" if wanted.limit is not None else ""
    return f"select {columns} from {NAME}{where}{order}{limit}"


def _column(field: pa.Field) -> str:
    quoted = '"' + field.name.replace('"', '""') + '"'
    return f"cast({quoted} as varchar) as {quoted}" if pa.types.is_nested(field.type) else quoted


def _is_in(name: str, wanted: Selection) -> bool:
    """Return whether a condition or an order may name a column."""
    return any(re.search(re.escape(name), text, re.IGNORECASE) for text in (wanted.where, wanted.sort) if text)


def _refuse_unknown(columns: Sequence[str], known: Sequence[str], uri: str) -> None:
    for name in columns:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(known)}"
            raise ManifestError(f"{uri}: column '{name}': not in the table{hint}")


def _explained(error: duckdb.Error) -> str:
    """Return what DuckDB says, without the picture of where."""
    return " ".join(str(error).partition("\n\nLINE")[0].split())
