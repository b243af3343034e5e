"""The rows of a report: read from a table of results some thousand at a time, and written as scripts for the page.

A page that is opened from a disk may not fetch files, but it may load scripts: so each piece of the table is a script
that hands its columns to the page.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2.utils import htmlsafe_json_dumps

from manifests.files import UriError
from manifests.parquet import BATCH_ROWS, open_parquet
from manifests.results.history import part_pieces
from manifests.schema import EXCERPT_SETTINGS, RESULT_SCHEMA
from manifests.style_text import short_name
from stylecore.figures import FIGURES
from tasks.reporting.addresses import Addresses
from tasks.reporting.judging import BALANCE, figure_values
from tasks.storage.storage import Storage

PIECE_ROWS = 5_000
"""Rows of one script: about a megabyte."""

MOST_ROWS = 200_000
"""Rows that a page is given: more than that no browser sorts at once. What is counted is all of the table."""

MOST_OWN, LONGEST_OWN = 8, 200
"""The user's own columns that a page is given, and characters of a value."""

_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)

_REMEDY = "Run the manifest again: that writes it anew"
_DIGITS = 5
"""Of figures; the page shows two, and what was rounded to three before would be another one than the terminal's."""

_COLUMNS = (
    *("pair_id", "content", "style", "output", "status", "error_type", "error_message"),
    *("content_identity", "style_identity", "settings", "strength", "seed", *EXCERPT_SETTINGS),
    *("sample_rate", "duration_s", "file_sha256", "seconds_total", "run_id"),
    *(figure.name for figure in FIGURES),
)


def report_rows(uri: str, files: Storage) -> Iterator[pa.Table]:
    """Give what a report needs of a table's rows, some thousand at a time; raises as `part_pieces`."""
    columns = [RESULT_SCHEMA.field(name) for name in _COLUMNS]
    wanted = pa.schema([*columns, *(pa.field(name, pa.string()) for name in _own_columns(uri, files))])
    for piece in part_pieces(files, uri, wanted, BATCH_ROWS, _REMEDY):
        for start in range(0, piece.num_rows, PIECE_ROWS):
            yield piece.slice(start, PIECE_ROWS)


def _own_columns(uri: str, files: Storage) -> list[str]:
    """Return the first of the user's own columns that can be read as text."""
    with open_parquet(uri, files, _REMEDY) as parquet:
        own = [field for field in parquet.schema_arrow if field.name not in RESULT_SCHEMA.names]
    kinds = ((field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type) for field in own)
    return [name for name, kind in kinds if any(fits(kind) for fits in _TEXTS)][:MOST_OWN]


def rows_at(uri: str, wanted: Collection[int], files: Storage) -> dict[int, dict[str, Any]]:
    """Return rows of a table by their numbers; raises as `report_rows`."""
    found: dict[int, dict[str, Any]] = {}
    start = 0
    for piece in report_rows(uri, files) if wanted else ():
        inside = sorted({row for row in wanted if start <= row < start + piece.num_rows})
        found.update((row, piece.slice(row - start, 1).to_pylist()[0]) for row in inside)
        start += piece.num_rows
    return found


def audio_name(output: str | None) -> str | None:
    """Return where below `audio/` a result lies: the output root may have been moved since its table was written.

    >>> audio_name("/old/out/audio/17/173f.flac")
    '17/173f.flac'
    """
    return "/".join(output.rsplit("/", 2)[1:]) if output else None


def rows_script(rows: pa.Table, start: int, addresses: Addresses) -> str:
    """Return the script that hands some rows, which begin with number `start`, to the page."""
    columns: dict[str, Any] = {name: rows.column(name).to_pylist() for name in ("pair_id", "seed")}
    names = pc.unique(pa.chunked_array([*rows.column("content").chunks, *rows.column("style").chunks], pa.string()))
    for name in ("content", "style"):
        columns[name] = pc.index_in(rows.column(name), value_set=names).to_pylist()
    columns["sounds"] = [[uri, addresses.source(uri), _name(uri)] for uri in names.to_pylist()]
    results = [audio_name(output) for output in rows.column("output").to_pylist()]
    columns["audio"] = [addresses.audio(name) if name else None for name in results]
    columns["error"] = [
        None if kind is None else [kind, message]
        for kind, message in zip(
            *(rows.column(name).to_pylist() for name in ("error_type", "error_message")), strict=True
        )
    ]
    own = [name for name in rows.column_names if name not in RESULT_SCHEMA.names]
    columns["own"] = {name: pc.utf8_slice_codeunits(rows.column(name), 0, LONGEST_OWN).to_pylist() for name in own}
    numbers = ("strength", "duration_s", "seconds_total", *EXCERPT_SETTINGS)
    for name in (*numbers, BALANCE, *(figure.name for figure in FIGURES)):
        columns[name] = [
            round(value, _DIGITS) if value == value else None for value in figure_values(rows, name).tolist()
        ]
    return f"timbreflow.receiveRows({start}, {htmlsafe_json_dumps(columns, allow_nan=False, separators=(',', ':'))});\n"


def _name(sound: str) -> str:
    """Return what a person calls a sound, or a style of several."""
    try:
        return short_name(sound)
    except UriError:
        return sound
