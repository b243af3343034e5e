"""Check one column of a batch and bring it to one type; every refusal names file, column, row and the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import is_s3, parent, resolve
from manifests.parquet import longest_text
from manifests.schema import FLOAT_SETTINGS, INTEGER_SETTINGS, ManifestError

LONGEST_PAIR_ID = 512
"""Characters. Ids end up in tables, terminals and object names."""

LONGEST_TEXT = 4_096
"""Bytes: as long as a path can be on Linux; on S3 it is a quarter of that."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_INT64_END = 2.0**63


@dataclass(frozen=True)
class Place:
    """Where a batch stands.

    Attributes
    ----------
    file : str
        The file that holds it.
    base : str
        Folder that its relative paths start from.
    file_row : int
        Row of the manifest at which this file starts.
    row : int
        Row of the manifest at which the batch starts, counted from 0. Messages count from 1.
    lines : sequence of int
        Of a text file: the line, counted from 1, on which each of its rows begins.
    """

    file: str
    base: str
    file_row: int = 0
    row: int = 0
    lines: Sequence[int] = ()

    def refuse(self, column: str, index: int, problem: str) -> NoReturn:
        """Raise a `ManifestError` for row `index` of the batch; `problem` says what is wrong and what to do."""
        raise ManifestError(self.says(column, index, problem))

    def says(self, column: str, index: int, problem: str) -> str:
        """Return a sentence on row `index` of the batch that says where it is."""
        row = self.row + index
        within = f" (row {row - self.file_row + 1} of this file)" if self.file_row else ""
        where = f"line {self.lines[row]}" if self.lines else f"row {row + 1}{within}"
        return f"{self.file}: column '{column}', {where}: {problem}"


def first_true(mask: pa.Array) -> int | None:
    """Return the index of the first True, or None; nulls count as False."""
    index = int(pc.index(mask, True).as_py())
    return None if index < 0 else index


def value_type(data_type: pa.DataType) -> pa.DataType:
    """Return the type of a column's values, also where they are dictionary-encoded."""
    return data_type.value_type if pa.types.is_dictionary(data_type) else data_type


def is_text(data_type: pa.DataType) -> bool:
    """Return whether a column of this type holds text, or nothing but nulls."""
    kind = value_type(data_type)
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(check(kind) for check in checks)


def is_list(data_type: pa.DataType) -> bool:
    """Return whether a column of this type holds lists."""
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    views = (getattr(pa.types, name, None) for name in ("is_list_view", "is_large_list_view"))
    return any(check(data_type) for check in (*checks, *views) if check is not None)


def is_number(data_type: pa.DataType) -> bool:
    """Return whether a column of this type holds numbers, or nothing but nulls."""
    kind = value_type(data_type)
    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(check(kind) for check in checks)


def texts(column: pa.Array, name: str, place: Place) -> pa.StringArray:
    """Return a text column as strings, each of them there, not blank and of at most `LONGEST_TEXT` bytes."""
    _refuse_long(column, name, place)
    plain = _decoded(column, name, place).cast(pa.string())
    _refuse_null(plain, name, place)
    blank = first_true(pc.equal(pc.utf8_trim_whitespace(plain), ""))
    if blank is not None:
        place.refuse(name, blank, "empty. Fill it in, or take the row out")
    return plain


def names(column: pa.Array, name: str, place: Place) -> pa.StringArray:
    """Return a column of ids: text without control characters, of at most `LONGEST_PAIR_ID` characters."""
    plain = texts(column, name, place)
    control = first_true(pc.match_substring_regex(plain, r"\p{Cc}"))
    if control is not None:
        value = plain[control].as_py()
        place.refuse(name, control, f"{value!r} has a control character. Use printable characters only")
    long = first_true(pc.greater(pc.utf8_length(plain), LONGEST_PAIR_ID))
    if long is not None:
        length = len(plain[long].as_py())
        place.refuse(name, long, f"{length} characters > {LONGEST_PAIR_ID}. Use a shorter id")
    return plain


def paths(written: pa.StringArray, name: str, place: Place) -> pa.StringArray:
    """Return the URIs that a column of written paths means; each distinct path is resolved once."""
    encoded = written.dictionary_encode()
    uris = []
    for code, path in enumerate(encoded.dictionary.to_pylist()):
        try:
            uris.append(sound_uri(path, place.base))
        except ValueError as error:
            place.refuse(name, int(pc.index(encoded.indices, code).as_py()), str(error))
    return pa.array(uris, pa.string()).take(encoded.indices)


def setting(column: pa.Array, name: str, place: Place) -> pa.Array:
    """Return a row setting as float64 (weights) or int64 (iterations, seed); null is "not set"."""
    plain = _decoded(column, name, place)
    if pa.types.is_integer(plain.type):
        return _whole(plain, name, place) if name in INTEGER_SETTINGS else plain.cast(pa.float64(), safe=False)
    values = plain.cast(pa.float64(), safe=False)
    bad = first_true(pc.invert(pc.is_finite(values)))
    if bad is not None:
        problem = f"{values[bad].as_py()} is not a finite number. Give a number, or null for the run's setting"
        place.refuse(name, bad, problem)
    return values if name in FLOAT_SETTINGS else _whole_floats(values, name, place)


def _whole(column: pa.Array, name: str, place: Place) -> pa.Int64Array:
    if column.type == pa.uint64():
        big = first_true(pc.greater_equal(column, pa.scalar(2**63, pa.uint64())))
        if big is not None:
            place.refuse(name, big, f"{column[big].as_py()} > {2**63 - 1}. Give a smaller number")
    return column.cast(pa.int64())


def _whole_floats(values: pa.DoubleArray, name: str, place: Place) -> pa.Int64Array:
    # pandas turns a column of integers with gaps into floats, so 7.0 is welcome and 7.5 is not.
    whole = pc.and_(pc.equal(values, pc.floor(values)), pc.less(pc.abs(values), _INT64_END))
    broken = first_true(pc.invert(whole))
    if broken is not None:
        place.refuse(name, broken, f"{values[broken].as_py()} is not a whole number in 64 bits. Give an integer")
    return values.cast(pa.int64())


def _decoded(column: pa.Array, name: str, place: Place) -> pa.Array:
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    try:
        plain.validate(full=True)
    except pa.ArrowInvalid:
        # Parquet does not promise that its strings are UTF-8; find the row only when one is not.
        place.refuse(name, _first_not_utf8(plain), "not UTF-8 text. Write the column as UTF-8")
    return plain


def _first_not_utf8(column: pa.Array) -> int:
    raw = column.cast(pa.large_binary()).to_pylist()
    return next(index for index, value in enumerate(raw) if value is not None and not _is_utf8(value))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _refuse_long(column: pa.Array, name: str, place: Place) -> None:
    """Refuse a text that is too long: in a dictionary it takes its space once, and decoded once for every row."""
    if pa.types.is_null(value_type(column.type)):
        return
    if pa.types.is_dictionary(column.type):
        if longest_text(column) <= LONGEST_TEXT:
            return
        lengths = pc.binary_length(column.dictionary).take(column.indices)
    else:
        lengths = pc.binary_length(column.cast(pa.large_binary()))
    long = first_true(pc.greater(lengths, LONGEST_TEXT))
    if long is not None:
        place.refuse(name, long, f"{lengths[long].as_py()} bytes > {LONGEST_TEXT}. Use a shorter text")


def _refuse_null(column: pa.Array, name: str, place: Place) -> None:
    if column.null_count:
        index = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        place.refuse(name, index, "null. Fill it in, or take the row out")


def sound_uri(written: str, base: str) -> str:
    """Return the URI that a written path means, or raise ValueError: with what to write, if no sound can be there."""
    if _CONTROL.search(written):
        raise ValueError(f"{written!r} has a control character. Rename the sound")
    uri = resolve(written, base)
    if is_s3(uri) and parent(uri) == uri:
        raise ValueError(f"'{written}' is a bucket, not a sound. Write s3://bucket/key")
    if is_s3(base) and not is_s3(uri):
        raise ValueError(
            f"'{written}' is a local path, but the manifest is on S3. Copy the sound to S3 and name it there"
        )
    return uri
