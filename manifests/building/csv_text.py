"""The text of a CSV, whatever program has written it: its encoding and its separator are found out, or named."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

from manifests.schema import MANIFEST_COLUMNS, ManifestError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as that of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FORMATS = {
    b"PAR1": "a Parquet file already. Give it to `timbreflow run` as it is",
    b"PK\x03\x04": "a workbook or an archive, not a CSV. Save it as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "a workbook, not a CSV. Save it as CSV (UTF-8)",
    b"\x1f\x8b": "compressed. Unpack it first",
}
_SEPARATOR_LINE = re.compile(r"sep=(.)[ \t,;]*(?:\r\n|\r|\n)", re.IGNORECASE)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_AROUND = 20
"""Bytes before and after one that is not UTF-8 that a message shows."""


class CsvText(NamedTuple):
    """The records of a CSV as one text, what separates their fields, and how many lines stand before them."""

    text: str
    separator: str
    lines_before: int


def csv_text(data: bytes, uri: str) -> CsvText:
    """Decode a CSV and find out its separator.

    UTF-8 is read, and UTF-16 and UTF-32 with the mark that Excel writes. A line `sep=;` at the top is obeyed; else the
    separator is the one that gives the header the most columns of a manifest.

    Raises
    ------
    ManifestError
        No text, another encoding, or a header of one column.
    """
    text = _decoded(data, uri)
    declared = _SEPARATOR_LINE.match(text)
    body = text[declared.end() :] if declared else text
    if not body.strip():
        raise ManifestError(f"{uri}: not a readable CSV: it is empty. Give it a header line, and a line for each pair")
    if declared is not None:
        return CsvText(body, declared[1], 1)
    separator = max(SEPARATORS, key=lambda one: _columns(text, one))
    if _columns(text, separator)[1] < 2:
        problem = f"its header {text.strip().splitlines()[0][:80]!r} is one column"
        raise ManifestError(f"{uri}: {problem}. Separate the columns by {', '.join(SEPARATORS.values())}")
    return CsvText(text, separator, 0)


def has_text(record: Sequence[str]) -> bool:
    """Return whether a record says anything: workbooks end with lines such as `;;`, which are no rows."""
    return any(field and not field.isspace() for field in record)


def _columns(text: str, separator: str) -> tuple[int, int]:
    """Return how many columns of a manifest, and how many at all, the header has with a separator."""
    try:
        names = next(filter(has_text, csv.reader(io.StringIO(text, newline=""), delimiter=separator)))
    except csv.Error:
        return 0, 0
    return sum(name.strip().lower() in MANIFEST_COLUMNS for name in names), len(names)


def _decoded(data: bytes, uri: str) -> str:
    for magic, problem in _FORMATS.items():
        if data.startswith(magic):
            raise ManifestError(f"{uri}: {problem}")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ManifestError(_bad_encoding(data, encoding, error.start, uri)) from error
    if "\0" in text:
        line = len(_LINE_END.findall(data[: data.find(b"\0")])) + 1
        problem = "a zero byte: UTF-16 without its mark, or no text at all"
        raise ManifestError(f"{uri}: line {line}: {problem}. Save it as UTF-8")
    return text


def _bad_encoding(data: bytes, encoding: str, start: int, uri: str) -> str:
    if encoding not in ("utf-8", "utf-8-sig"):
        return f"{uri}: damaged {encoding.upper()} at byte {start}. Save it as UTF-8"
    line = len(_LINE_END.findall(data[:start])) + 1
    around = (
        _LINE_END.split(data[max(0, start - _AROUND) : start])[-1] + _LINE_END.split(data[start : start + _AROUND])[0]
    )
    likely = around.decode("cp1252", errors="replace")
    return f"{uri}: line {line}: not UTF-8; in Latin-1 (Windows-1252) it reads {likely!r}. Save it as UTF-8"
