"""Names by a template: text with fields in braces, whose values are those of a row of the results.

Known are the columns of a result table that hold one value, the user's own among them. `content` and `style` stand for
the name of the file, and `fingerprint` for its first digits.
"""

from __future__ import annotations

import difflib
import posixpath
import re
import string
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from manifests.schema import RESULT_SCHEMA
from manifests.style_text import short_name
from tasks.exporting.export_errors import ExportError
from tasks.options import DEFAULT_NAME

FINGERPRINT_SHOWN = 10
"""Digits of a fingerprint in a name: among a million results two agree with a chance of about a third."""

NO_VALUE = "none"
"""What stands in a name where a row has no value."""

FIRST = ("content", "style", "pair_id", "fingerprint", "seed", "strength")
"""Fields that a message names first."""

_LEFT_OUT = frozenset({"status", "error_type", "error_message", "output", "settings"})
"""Columns that say nothing of a result that is there, or too much for a name."""

_NO_LITERAL = re.compile('[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff<>:"/\\\\|?*]')
_LONG_NUMBER = re.compile(r"\d{4}")

_SAMPLES: tuple[tuple[Callable[[pa.DataType], bool], object], ...] = (
    (pa.types.is_string, "a"),
    (pa.types.is_large_string, "a"),
    (pa.types.is_boolean, True),
    (pa.types.is_integer, 1),
    (pa.types.is_floating, 0.5),
    (pa.types.is_decimal, Decimal(1)),
    (pa.types.is_timestamp, datetime(2026, 1, 1, tzinfo=UTC)),
    (pa.types.is_date, date(2026, 1, 1)),
)
"""Types of columns that can stand in a name, with a value to try a format on."""


class NameField(NamedTuple):
    """A piece of a template: the text before a field, the column that it shows, and how; no column at the end."""

    before: str
    column: str
    form: str


class NameTemplate:
    """A template, found good for the results that it is to name.

    Parameters
    ----------
    text : str
        Text with fields in braces, `{content}__{style}`, which may have a format, `{strength:.2f}`; `{{` is a brace.
    schema : pyarrow.Schema
        Columns of the results.

    Raises
    ------
    ExportError
        An unknown field, a format that does not fit its values, braces that do not match, text that no name may hold.
    """

    def __init__(self, text: str, schema: pa.Schema) -> None:
        self._text = text
        samples = _samples(schema)
        self._fields = self._parsed()
        for field in self._fields:
            self._check_literal(field.before)
            if field.column:
                self._check_field(field, samples)
        self.columns = tuple(dict.fromkeys(field.column for field in self._fields if field.column))

    def stems(self, rows: pa.Table) -> list[str]:
        """Return the name of each row, without a suffix, as the template has it: not yet safe, nor unique."""
        pieces: list[list[str]] = []
        for field in self._fields:
            pieces.append([field.before] * rows.num_rows)
            if field.column:
                shown = _SHOWN.get(field.column, _unchanged)
                values = rows.column(field.column).to_pylist()
                pieces.append([_text(shown(value), field.form) for value in values])
        return ["".join(parts) for parts in zip(*pieces, strict=True)]

    def _parsed(self) -> list[NameField]:
        if not self._text.strip():
            self._refuse(f"a name needs text. Write for example {DEFAULT_NAME}")
        try:
            found = list(string.Formatter().parse(self._text))
        except ValueError as error:
            self._refuse(f"{str(error).lower()}. Write a field as {{content}}, and a brace itself as {{{{ or }}}}")
        for _, column, form, conversion in found:
            if column == "" or conversion or "{" in (form or ""):
                self._refuse("a field is a name in braces, and may have a format: {seed} or {strength:.2f}")
        return [NameField(before, column or "", form or "") for before, column, form, _ in found]

    def _check_literal(self, text: str) -> None:
        if (bad := _NO_LITERAL.search(text)) is not None:
            why = "separates folders, and an export has none" if bad[0] in "/\\" else "is in no name that is safe"
            self._refuse(f"{bad[0]!r} {why}. Take it out")

    def _check_field(self, field: NameField, samples: dict[str, object]) -> None:
        if field.column not in samples:
            near = difflib.get_close_matches(field.column, samples, n=1)
            meant = f"did you mean '{near[0]}'? Known" if near else "known"
            self._refuse(f"unknown field '{field.column}'; {meant} are {', '.join(samples)}")
        try:
            if _LONG_NUMBER.search(field.form):
                raise ValueError("a number of four digits")
            _text(samples[field.column], field.form)
        except (ValueError, TypeError) as error:
            reason = f"'{field.form}' is no format for the values of '{field.column}' ({error})"
            self._refuse(f"{reason}. Write {{{field.column}}}, or a format of Python's")

    def _refuse(self, reason: str) -> None:
        raise ExportError(f"name='{self._text}': {reason}")


def _samples(schema: pa.Schema) -> dict[str, object]:
    """Return the fields that a template may name, with a value like theirs: the main ones, the user's, the others."""
    found = {}
    for column in schema:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        sample = next((value for fits, value in _SAMPLES if fits(kind)), None)
        if sample is not None and column.name not in _LEFT_OUT:
            found[column.name] = sample
    own = [name for name in found if name not in RESULT_SCHEMA.names]
    order = dict.fromkeys([*(name for name in FIRST if name in found), *own, *found])
    return {name: found[name] for name in order}


def _stem(uri: object) -> str:
    return posixpath.splitext(posixpath.basename(str(uri)))[0]


def _style(text: object) -> str:
    return short_name(str(text))


def _short(fingerprint: object) -> str:
    return str(fingerprint)[:FINGERPRINT_SHOWN]


def _unchanged(value: object) -> object:
    return value


_SHOWN: dict[str, Callable[[object], object]] = {"content": _stem, "style": _style, "fingerprint": _short}
"""What is shown of columns that hold more than a name has room for."""


def _text(value: Any, form: str) -> str:
    """Return a value as it stands in a name.

    >>> _text(0.5, ""), _text(1.0, ".2f"), _text(7, "03d"), _text(None, "03d"), _text(True, "")
    ('0.5', '1.00', '007', 'none', 'true')
    """
    if value is None:
        return NO_VALUE
    if form:
        return format(value, form)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"{value:%Y%m%dT%H%M%S}"
    return f"{value:g}" if isinstance(value, float) else str(value)
