"""Parquet footers written by hand, with what no library writes: they hold no rows."""

from __future__ import annotations

import struct

_I32, _I64, _LIST, _STRUCT, _BINARY = 5, 6, 9, 12, 8
_END = b"\0"


def file_of(footer: bytes, claimed_bytes: int | None = None) -> bytes:
    """Return a file that is nothing but a footer, whose length may be claimed to be another."""
    length = len(footer) if claimed_bytes is None else claimed_bytes
    return b"PAR1" + footer + struct.pack("<I", length) + b"PAR1"


def footer_of(columns: list[bytes], groups: list[bytes] | None = None) -> bytes:
    """Return the footer of a table of text columns, with row groups as they are given."""
    root = _field(4, _BINARY) + _text(b"root") + _field(1, _I32) + _number(len(columns)) + _END
    leaves = [
        _field(1, _I32) + _number(6) + _field(2, _I32) + _number(0) + _field(1, _BINARY) + _text(name) + _END
        for name in columns
    ]
    return b"".join(
        [
            _field(1, _I32) + _number(1),
            _field(1, _LIST) + _list([root, *leaves]),
            _field(1, _I64) + _number(0),
            _field(1, _LIST) + _list(groups or []),
            _END,
        ]
    )


def empty_group(chunks: int) -> bytes:
    """Return a row group of so many columns about which nothing is said: three bytes each."""
    return b"".join(
        [
            _field(1, _LIST) + _list([_field(2, _I64) + _number(0) + _END] * chunks),
            _field(1, _I64) + _number(0),
            _field(1, _I64) + _number(0),
            _END,
        ]
    )


def _field(step: int, kind: int) -> bytes:
    return bytes([step << 4 | kind])


def _list(items: list[bytes]) -> bytes:
    return bytes([0xF0 | _STRUCT]) + _unsigned(len(items)) + b"".join(items)


def _number(value: int) -> bytes:
    return _unsigned(value << 1)


def _text(value: bytes) -> bytes:
    return _unsigned(len(value)) + value


def _unsigned(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
