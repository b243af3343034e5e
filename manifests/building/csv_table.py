"""A CSV as a table: the user's own columns as they are written, the settings as numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import pyarrow as pa

from manifests.building.csv_text import SEPARATORS, CsvText, csv_text, has_text
from manifests.files import Files, parent
from manifests.parquet import BATCH_ROWS, MAX_ROWS
from manifests.reading.columns import Place
from manifests.schema import FLOAT_SETTINGS, INTEGER_SETTINGS, ROW_SETTINGS, ManifestError

_UNSET = frozenset({"", "na", "n/a", "nan", "null", "none", "#n/a"})
"""How programs write that a number is not there, in lower case."""

_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)", re.ASCII)

_SHOWN = 10


class CsvTable(NamedTuple):
    """A CSV: its rows, the line on which each of them begins, and sentences on what was left out."""

    rows: pa.Table
    lines: Sequence[int]
    notes: list[str]


def read_csv(uri: str, files: Files) -> CsvTable:
    """Read a CSV with a header line.

    Parameters
    ----------
    uri : str
        The CSV, separated by commas, semicolons, tabs or bars.
    files : Files
        The file system.

    Returns
    -------
    CsvTable
        All columns are texts but the settings of a row, which are numbers; a decimal comma is read where commas do
        not separate. Columns without a name, such as the index that pandas writes, are left out.

    Raises
    ------
    ManifestError
        Missing, no CSV, a line with more or fewer fields than the header, or a setting that is no number.
    """
    source = csv_text(_read(uri, files), uri)
    lines: list[int] = []
    records = _records(source, uri, lines)
    header = next(records)
    names = [name for name in header if name]
    batches = iter(lambda: list(islice(records, BATCH_ROWS)), [])
    table = pa.Table.from_batches([_batch(header, rows) for rows in batches], _schema(len(names)))
    table, lines = table.rename_columns(names), lines[1:]
    place = Place(uri, parent(uri), lines=lines)
    for index, name in enumerate(names):
        if name in ROW_SETTINGS and names.count(name) == 1:
            table = table.set_column(index, name, _numbers(table.column(index), name, place, source.separator))
    return CsvTable(table, lines, _notes(header, uri))


def _read(uri: str, files: Files) -> bytes:
    try:
        return files.read(uri)
    except FileNotFoundError as error:
        raise ManifestError(f"{uri}: no such file. Correct the path of the CSV") from error
    except IsADirectoryError as error:
        raise ManifestError(f"{uri}: is a folder. Name the CSV file itself") from error


def _records(source: CsvText, uri: str, lines: list[int]) -> Iterator[list[str]]:
    """Give the records, the header first, and put the line on which each begins into `lines`; blank ones are none."""
    # Strict: a quote that is never closed would else swallow the rest of the file as one text.
    reader = csv.reader(io.StringIO(source.text, newline=""), delimiter=source.separator, strict=True)
    width = 0
    while True:
        line = source.lines_before + reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise ManifestError(f"{uri}: line {line}: not a readable CSV ({error}). Look at its quotes") from error
        if record is None:
            return
        if not has_text(record):
            continue
        if lines and len(record) != width:
            raise ManifestError(f"{uri}: line {line}: {_misfit(len(record), width, source.separator)}")
        if len(lines) > MAX_ROWS:
            raise ManifestError(f"{uri}: more than {MAX_ROWS} rows. Split it into several")
        width = len(record)
        lines.append(line)
        yield record


def _batch(header: Sequence[str], rows: Sequence[Sequence[str]]) -> pa.RecordBatch:
    """Return the named columns of some records."""
    columns = [column for name, column in zip(header, zip(*rows, strict=True), strict=True) if name]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, pa.string()) for column in columns], schema=_schema(len(columns))
    )


def _schema(columns: int) -> pa.Schema:
    """Return the columns by number, since a name may come twice."""
    return pa.schema([(str(index), pa.string()) for index in range(columns)])


def _numbers(column: pa.ChunkedArray, name: str, place: Place, separator: str) -> pa.ChunkedArray:
    """Return a setting's texts as numbers, null where there is none."""
    values: list[float | None] = []
    for index, text in enumerate(column.to_pylist()):
        try:
            values.append(_number(text.strip(), name, separator))
        except ValueError:
            remedy = "Give one such as 0.5 or 20, or nothing for the run's setting"
            place.refuse(name, index, f"{text[:80]!r} is not a number. {remedy}")
    whole = all(value is None or isinstance(value, int) for value in values)
    return pa.chunked_array([pa.array(values, pa.int64() if whole else pa.float64())])


def _number(text: str, name: str, separator: str) -> float | None:
    """Return a setting as it is written; a comma in a whole number may stand before thousands, and is refused."""
    if text.lower() in _UNSET:
        return None
    if name in INTEGER_SETTINGS and _WHOLE.fullmatch(text) and abs(int(text)) < 2**63:
        return int(text)
    if name in FLOAT_SETTINGS and separator != "," and (comma := _DECIMAL_COMMA.fullmatch(text)):
        return float(f"{comma[1]}.{comma[2]}")
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _notes(header: Sequence[str], uri: str) -> list[str]:
    unnamed = [str(index) for index, name in enumerate(header, start=1) if not name]
    if not unnamed:
        return []
    return [f"{uri}: columns without a name are left out: number {', '.join(unnamed[:_SHOWN])}"]


def _misfit(fields: int, columns: int, separator: str) -> str:
    problem = f"{'1 field' if fields == 1 else f'{fields} fields'}, but the header has {columns}"
    if fields < columns:
        return f"{problem}. Give every column a field, empty or not"
    return f"{problem}. Put a text that holds {SEPARATORS.get(separator, repr(separator))} in quotes"
