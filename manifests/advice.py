"""How to bring a column of another type to the one that a manifest needs, as pandas code that works."""

from __future__ import annotations

import pyarrow as pa

from manifests.columns import value_type


def text_advice(name: str, kind: pa.DataType) -> str:
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


def number_advice(name: str, kind: pa.DataType) -> str:
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
