"""The column `style`, which may name several clips: as a list, as JSON, and with weights. Each becomes one text.

`manifests.style_text` has the forms of that text. A folder or a pattern stays what it is here: what it holds is looked
up when the run is planned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.reading.columns import LONGEST_TEXT, Place, first_true, is_list, sound_uri, texts
from manifests.schema import STYLE_WEIGHTS
from manifests.style_text import canonical, mapped, parsed

LONGEST_LIST = 16_384
"""Bytes of a list of paths, as JSON."""

_LIKE_JSON = r"^\s*[\[{]"


def written_styles(batch: pa.RecordBatch, place: Place) -> pa.StringArray:
    """Return the styles of a batch as they are written, each as one text.

    Raises
    ------
    ManifestError
        A null, empty or bad value, or weights that do not fit, naming file, column, row and what to do.
    """
    column = batch.column("style")
    weights = batch.column(STYLE_WEIGHTS) if STYLE_WEIGHTS in batch.schema.names else pa.nulls(len(column))
    if is_list(column.type):
        rows = [_list_of(paths, row, place) for row, paths in enumerate(_values(column, "style", place))]
        found = [_text(paths, given, row, place) for row, (paths, given) in enumerate(_with(rows, weights, place))]
        return pa.array(found, pa.string())
    plain = texts(column, "style", place)
    is_json = pc.match_substring_regex(plain, _LIKE_JSON)
    special = pc.or_(is_json, weights.is_valid())
    if not pc.any(special).as_py():
        return plain
    found = plain.to_pylist()
    for row, (text, given) in enumerate(_with(found, weights, place)):
        if special[row].as_py():
            found[row] = _text(_parsed(text, row, place), given, row, place)
    return pa.array(found, pa.string())


def resolved_styles(written: pa.StringArray, place: Place) -> pa.StringArray:
    """Return the styles with URIs in place of the paths; each distinct text is looked at once.

    Raises
    ------
    ManifestError
        As `manifests.reading.columns.paths`.
    """
    encoded = written.dictionary_encode()
    found = []
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            found.append(mapped(text, lambda path: sound_uri(path, place.base)))
        except ValueError as error:
            place.refuse("style", int(pc.index(encoded.indices, code).as_py()), str(error))
    return pa.array(found, pa.string()).take(encoded.indices)


def refuse_excerpts(styles: pa.StringArray, settings: Mapping[str, pa.Array], place: Place) -> None:
    """Refuse an excerpt of a style of several clips: it says not of which of them.

    Parameters
    ----------
    styles : pyarrow.StringArray
        As `resolved_styles` returns them.
    settings : mapping
        The row settings by name.
    place : Place
        Where the batch stands.
    """
    several = pc.match_substring_regex(styles, _LIKE_JSON)
    for name in ("style_start_s", "style_end_s"):
        if name in settings:
            row = first_true(pc.and_(several, pc.greater(settings[name], 0).fill_null(False)))
            if row is not None:
                problem = "an excerpt of a style of several clips. Leave it out, or save the excerpts as files"
                place.refuse(name, row, problem)


def _with(rows: Sequence[Any], weights: pa.Array, place: Place) -> Sequence[tuple[Any, Sequence[float] | None]]:
    """Return each row's value beside its weights."""
    return list(zip(rows, _weights(weights, place), strict=True))


def _weights(column: pa.Array, place: Place) -> list[Sequence[float] | None]:
    if pa.types.is_null(column.type):
        return [None] * len(column)
    values = _values(column, STYLE_WEIGHTS, place)
    return [_listed(value, row, place) for row, value in enumerate(values)]


def _listed(value: Any, row: int, place: Place) -> Sequence[float] | None:
    """Return the weights of a row: a list of numbers, or JSON of one; a blank text is none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, list) or None in found:
        place.refuse(STYLE_WEIGHTS, row, f"{str(value)[:80]!r} is no list of numbers. Write [1, 3], or null for none")
    return found


def _values(column: pa.Array, name: str, place: Place) -> list[Any]:
    """Return a column's values, its texts found to be UTF-8."""
    values = []
    for row, value in enumerate(column):
        try:
            values.append(value.as_py())
        except UnicodeDecodeError:
            place.refuse(name, row, "not UTF-8 text. Write the column as UTF-8")
    return values


def _list_of(paths: Sequence[str | None] | None, row: int, place: Place) -> Sequence[str]:
    if paths is None:
        place.refuse("style", row, "null. Fill it in, or take the row out")
    if any(path is None for path in paths):
        place.refuse("style", row, "a null in the list. Fill it in, or take it out")
    found = [path for path in paths if path is not None]
    long = next((path for path in found if len(path.encode()) > LONGEST_TEXT), None)
    if long is not None or sum(map(len, found)) > LONGEST_LIST:
        problem = f"a path of more than {LONGEST_TEXT} bytes, or {LONGEST_LIST} in all of the list"
        place.refuse("style", row, f"{problem}. Use shorter ones, or name their folder")
    return found


def _parsed(text: str, row: int, place: Place) -> Sequence[str] | Mapping[str, float]:
    try:
        return parsed(text)
    except ValueError as error:
        place.refuse("style", row, str(error))


def _text(paths: Sequence[str] | Mapping[str, float], weights: Sequence[float] | None, row: int, place: Place) -> str:
    """Return the one text of a row's style."""
    if isinstance(paths, Mapping):
        if weights is not None:
            place.refuse(STYLE_WEIGHTS, row, "the style has weights of its own. Give them once")
        weights = list(paths.values())
    try:
        return canonical(list(paths), weights)
    except ValueError as error:
        place.refuse("style" if weights is None else STYLE_WEIGHTS, row, str(error))
