"""Check the names and types of a manifest's columns; every refusal names file, column and the remedy that works."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from manifests.reading.columns import is_list, is_number, is_text, value_type
from manifests.schema import MANIFEST_COLUMNS, REQUIRED_COLUMNS, RESERVED, ROW_SETTINGS, STYLE_WEIGHTS, ManifestError

LONGEST_NAME = 256
"""Characters of a column's name."""

_SHOWN_NAMES = 20


def check_schema(schema: pa.Schema, file: str) -> None:
    """Refuse missing, doubled, reserved, wrongly typed and unprintably named columns, and settings in another case.

    Raises
    ------
    ManifestError
        Naming file, column and what to do.
    """
    for name in schema.names:
        if len(name) > LONGEST_NAME or not name.isprintable():
            problem = f"longer than {LONGEST_NAME} characters, or has some that cannot be printed"
            raise ManifestError(f"{file}: the name of the column {name[:40]!r} is {problem}. Rename it")
    for name, count in Counter(schema.names).items():
        if count > 1:
            raise ManifestError(f"{file}: column '{name}' is there {count} times. Keep one")
    for name in REQUIRED_COLUMNS:
        if name not in schema.names:
            raise ManifestError(f"{file}: no column '{name}'. {_suggestion(name, schema.names, file)}")
    for name in schema.names:
        if name in RESERVED:
            raise ManifestError(f"{file}: column '{name}' is a name of the result table. Rename it, say to 'my_{name}'")
        _refuse_other_case(name, file)
    for name in MANIFEST_COLUMNS:
        if name in schema.names:
            _check_type(schema.field(name), file)


def _refuse_other_case(name: str, file: str) -> None:
    """Refuse `Alpha`: as one of the user's own columns it would set nothing, without a word."""
    meant = name.strip().lower()
    if meant != name and meant in MANIFEST_COLUMNS:
        remedy = f"Rename it to '{meant}', or to 'my_{meant}' if it is one of your own"
        raise ManifestError(
            f"{file}: column '{name}' sets nothing: it differs from '{meant}' in case or blanks. {remedy}"
        )


def _check_type(field: pa.Field, file: str) -> None:
    if field.name in ROW_SETTINGS and not is_number(field.type):
        raise ManifestError(
            f"{file}: column '{field.name}' has the type {field.type}, not a number. "
            f"{_number_advice(field.name, field.type)}"
        )
    if field.name == STYLE_WEIGHTS:
        _check_weights(field, file)
    elif field.name not in ROW_SETTINGS and not is_text(field.type) and not _is_list_of_styles(field):
        raise ManifestError(
            f"{file}: column '{field.name}' has the type {field.type}, not text. {_text_advice(field.name, field.type)}"
        )


def _check_weights(field: pa.Field, file: str) -> None:
    if not is_text(field.type) and not (is_list(field.type) and is_number(field.type.value_type)):
        remedy = "Write one list a row, say [1.0, 3.0], or null"
        raise ManifestError(f"{file}: column '{field.name}' has the type {field.type}, not lists of numbers. {remedy}")


def _is_list_of_styles(field: pa.Field) -> bool:
    return field.name == "style" and is_list(field.type) and is_text(field.type.value_type)


def _suggestion(name: str, found: Sequence[str], file: str) -> str:
    if f"/{name}=" in file:
        return f"The folder '{name}=...' gives it if the folder above that is the manifest"
    close = difflib.get_close_matches(name, [column.strip().lower() for column in found], n=1)
    likely = [column for column in found if column.strip().lower() in close]
    if likely:
        return f"Is it '{likely[0]}'? Then rename that"
    shown = [*found[:_SHOWN_NAMES], "..."] if len(found) > _SHOWN_NAMES else found
    return f"Its columns are: {', '.join(shown) or 'none'}. Every manifest needs {' and '.join(REQUIRED_COLUMNS)}"


def _text_advice(name: str, kind: pa.DataType) -> str:
    """Return what to do about a column of this type that should hold text."""
    kind, column = value_type(kind), f"table['{name}']"
    if pa.types.is_fixed_size_binary(kind) and name == "pair_id":
        return f"Spell it in hexadecimal digits, say with {column}.map(bytes.hex)"
    if _is_bytes(kind):
        return f"Decode it, say with {column}.str.decode('utf-8')"
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
        return f"Give the paths, say with {column}.str['path'], and save as files what is only in the table"
    if pa.types.is_nested(kind):
        return "Write one text a row"
    return f"Convert it, say with {column}.astype(str)"


def _number_advice(name: str, kind: pa.DataType) -> str:
    """Return what to do about a column of this type that should hold numbers."""
    kind, column = value_type(kind), f"table['{name}']"
    if pa.types.is_boolean(kind):
        return f"Convert it, say with {column}.astype(float)"
    if _is_bytes(kind):
        return f"Convert it, say with pandas.to_numeric({column}.str.decode('utf-8'))"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return f"Convert it, say with pandas.to_numeric({column})"
    return "Write one number a row, or null for the run's setting"


def _is_bytes(kind: pa.DataType) -> bool:
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(check(kind) for check in checks)
