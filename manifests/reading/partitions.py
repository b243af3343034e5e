"""Columns that stand in the names of folders, `genre=glass/fold=1/`, as Hive, Spark and pandas write them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

import pyarrow as pa

from manifests.schema import FLOAT_SETTINGS, INTEGER_SETTINGS, MANIFEST_COLUMNS, ROW_SETTINGS, ManifestError

NULL_VALUES = frozenset({"__HIVE_DEFAULT_PARTITION__", ""})
"""What stands for null in the name of a folder."""

_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


class ManifestPart(NamedTuple):
    """A Parquet file of a manifest, and the columns that the names of its folders give to all of its rows."""

    uri: str
    columns: Mapping[str, pa.Scalar]

    def schema(self, inside: pa.Schema) -> pa.Schema:
        """Return the columns of the file and of its folders.

        Raises
        ------
        ManifestError
            If a column stands in both.
        """
        for name in self.columns:
            if name in inside.names:
                problem = "stands in the file, and in the name of a folder above it"
                raise ManifestError(
                    f"{self.uri}: column '{name}' {problem}. Take it out of the file, or rename the folder"
                )
        return pa.schema([*inside, *(pa.field(name, value.type) for name, value in self.columns.items())])

    def extended(self, rows: Rows, names: Collection[str]) -> Rows:
        """Give rows of the file the folders' columns of these names."""
        for name, value in self.columns.items():
            if name in names:
                rows = rows.append_column(pa.field(name, value.type), pa.repeat(value, rows.num_rows))
        return rows


def partitioned(uris: Sequence[str], base: str) -> list[ManifestPart]:
    """Return files with the columns that the names of the folders between `base` and them give.

    Settings are numbers. The user's own columns are whole numbers or numbers where all of their values are written as
    such, `7` and not `007`; otherwise they are texts as they stand.

    Raises
    ------
    ManifestError
        A column twice above one file, a setting that is no number, or a name that is not UTF-8 once it is decoded.
    """
    written = [_written_columns(uri, base) for uri in uris]
    types = {name: _type(name, values) for name, values in _by_name(written)}
    return [
        ManifestPart(uri, {name: _scalar(name, value, types[name], uri) for name, value in columns.items()})
        for uri, columns in zip(uris, written, strict=True)
    ]


def own_partitions(folder: str) -> str:
    """Return the last parts of a path that look like partitions, joined; empty if its last part does not.

    >>> own_partitions("/data/genre=glass/fold=1"), own_partitions("/data/genre=glass/m")
    ('genre=glass/fold=1', '')
    """
    parts = folder.split("/")
    first = len(parts)
    while first and parts[first - 1].partition("=")[0] and "=" in parts[first - 1]:
        first -= 1
    return "/".join(parts[first:])


def _written_columns(uri: str, base: str) -> dict[str, str | None]:
    columns: dict[str, str | None] = {}
    for folder in uri.removeprefix(base).split("/")[:-1]:
        encoded, equals, text = folder.partition("=")
        if not equals or not encoded:
            continue
        name, value = _decoded(encoded, uri), _decoded(text, uri)
        if name in columns:
            raise ManifestError(f"{uri}: two folders above it give the column '{name}'. Rename one of them")
        columns[name] = None if value in NULL_VALUES else value
    return columns


def _decoded(encoded: str, uri: str) -> str:
    try:
        text = unquote(encoded, errors="strict")
        text.encode()
    except UnicodeError as error:
        raise ManifestError(f"{uri!a}: the name of a folder above it is not UTF-8. Rename the folder") from error
    return text


def _by_name(written: Sequence[Mapping[str, str | None]]) -> Iterator[tuple[str, list[str]]]:
    for name in dict.fromkeys(name for columns in written for name in columns):
        yield name, [value for columns in written if (value := columns.get(name)) is not None]


def _type(name: str, values: Sequence[str]) -> pa.DataType:
    if name in FLOAT_SETTINGS:
        return pa.float64()
    whole = bool(values) and all(_INTEGER.fullmatch(value) for value in values)
    if name in INTEGER_SETTINGS:
        return pa.int64() if whole else pa.float64()
    if name in MANIFEST_COLUMNS or not values:
        return pa.string()
    if whole:
        return pa.int64()
    return (
        pa.float64() if all(_INTEGER.fullmatch(value) or _is_spelled_float(value) for value in values) else pa.string()
    )


def _is_spelled_float(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None and repr(float(value)) == value


def _scalar(name: str, value: str | None, kind: pa.DataType, uri: str) -> pa.Scalar:
    if value is not None and name in ROW_SETTINGS and not _NUMBER.fullmatch(value):
        raise ManifestError(
            f"{uri}: column '{name}': the folder's name gives {value!r}, not a number. Rename the folder"
        )
    if value is None or pa.types.is_string(kind):
        return pa.scalar(value, kind)
    return pa.scalar(int(value) if pa.types.is_int64(kind) else float(value), kind)
