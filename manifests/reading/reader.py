"""Read a manifest: stream it, refuse what is wrong with it, and bring it to one form.

A manifest is a Parquet file or a folder of them. What can be wrong with a manifest itself is found here; whether its
sounds can be read is found out pair by pair, later. Work per row is done by Arrow and NumPy: Python sees each distinct
path and each distinct combination of row settings of a batch once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.decompression_guard import may_swell
from manifests.files import Files, FileStat, relative_to
from manifests.fingerprint import pair_ids, settings_text
from manifests.own_types import fitted, recast, rounded, without_views
from manifests.parquet import ForeignTable, open_foreign, parquet_errors, read_batches, read_own
from manifests.reading.columns import Place, names, paths, setting, texts
from manifests.reading.compact_pairs import Manifest, combinations, gather
from manifests.reading.duplicates import refuse_duplicates
from manifests.reading.hints import OddPaths, column_hints, path_hint
from manifests.reading.partitions import ManifestPart
from manifests.reading.parts import find_parts, mend_for
from manifests.reading.schema_checks import check_schema
from manifests.reading.style_column import refuse_excerpts, resolved_styles, written_styles
from manifests.schema import (
    FLOAT_SETTINGS,
    INTEGER_SETTINGS,
    MANIFEST_COLUMNS,
    REQUIRED_COLUMNS,
    ROW_SETTINGS,
    ManifestError,
)
from manifests.style_text import paths_in

RowValidator = Callable[[dict[str, object]], object]
"""Takes the row settings that are set; raises ValueError with name, value and bound."""

NORMALISED_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("pair_id", pa.string()),
        ("content", pa.string()),
        ("style", pa.string()),
        *((name, pa.float64()) for name in FLOAT_SETTINGS),
        *((name, pa.int64()) for name in INTEGER_SETTINGS),
    ]
)
"""What every manifest becomes: row number, resolved URIs, and the row settings, null where not set."""

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


class ManifestSummary(NamedTuple):
    """What a good manifest holds: pairs, distinct sounds, the user's own columns, the settings given per row.

    `notes` are sentences on what is allowed and yet most likely not meant.
    """

    pairs: int
    contents: int
    styles: int
    user_columns: tuple[str, ...]
    row_settings: tuple[str, ...]
    notes: tuple[str, ...]


def read_manifest(manifest: str, files: Files, validate_row: RowValidator) -> Iterator[pa.RecordBatch]:
    """Stream a manifest in `NORMALISED_SCHEMA`.

    Parameters
    ----------
    manifest : str
        Path or URI of a Parquet file, or of a folder of .parquet files, taken in the order of their names; row
        numbers run on. Relative sounds start from the file's own folder, or from the given folder itself.
    files : Files
        The file system.
    validate_row : callable
        Called with each distinct combination of row settings of a batch; raises ValueError for a bad one.

    Yields
    ------
    pyarrow.RecordBatch
        At most `manifests.parquet.BATCH_ROWS` rows.

    Raises
    ------
    ManifestError
        Anything wrong with the manifest, at the latest (duplicate ids) after the last batch. So nothing must be
        computed before the stream has ended.
    """
    return (batch for _, batch in _placed_batches(manifest, files, validate_row))


def _placed_batches(manifest: str, files: Files, validate_row: RowValidator) -> Iterator[tuple[Place, pa.RecordBatch]]:
    """Stream a manifest as `read_manifest`, each batch with its place."""
    ids: list[pa.StringArray] = []
    row = 0
    parts = find_parts(manifest, files)
    for part in parts.files:
        with open_foreign(part.uri, files, mend_for(part.uri)) as table:
            schema = part.schema(table.schema)
            check_schema(schema, part.uri)
            wanted = [name for name in MANIFEST_COLUMNS if name in table.schema.names] or [_carrier(table)]
            file_row = row
            for batch in read_batches(table, wanted):
                place = Place(part.uri, parts.base, file_row=file_row, row=row)
                normalised = normalise(part.extended(batch, MANIFEST_COLUMNS), place, validate_row)
                ids.append(normalised.column("pair_id"))
                row += batch.num_rows
                yield place, normalised
    if row == 0:
        raise ManifestError(f"{manifest}: no rows, so there is nothing to compute. Put at least one pair into it")
    refuse_duplicates(ids, manifest, lambda row: f"row {row + 1}", lambda row: _pair_at(row, manifest, files))


def user_columns(manifest: str, files: Files) -> pa.Table | None:
    """Return the user's own columns, one row per row of the manifest; None if there are none.

    An index that pandas wrote beside the columns (`__index_level_0__`) is not one of them.

    Raises
    ------
    ManifestError
        Not Parquet, reserved names, too much for memory, or files of a folder that give one column different types.
    """
    tables = []
    parts = find_parts(manifest, files).files
    if not any(_user_names(_schema(part, files)) for part in parts):
        return None
    for part in parts:
        with open_foreign(part.uri, files, mend_for(part.uri)) as table:
            own = _user_names(table.schema)
            # With no column selected Arrow keeps no row count, so another one carries it.
            rows = read_own(table, own or [_carrier(table)])
            tables.append(part.extended(rows, _user_names(part.schema(table.schema))))
    joined = _joined(tables, manifest)
    return joined.select(_user_names(joined.schema))


def _joined(tables: Sequence[pa.Table], manifest: str) -> pa.Table:
    """Join the user's own columns of all files, and make sure that they can be written with the results."""
    try:
        joined = pa.concat_tables(fitted(tables), promote_options="permissive")
    except pa.ArrowException as error:
        raise ManifestError(
            f"{manifest}: its files do not fit together ({error}). Give each column one type"
        ) from error
    if (name := rounded(tables, joined.schema)) is not None:
        problem = "decimal numbers in some of its files, and others elsewhere, which would round them"
        raise ManifestError(f"{manifest}: column '{name}' has {problem}. Give it one type")
    try:
        recast(recast(joined.schema.empty_table(), without_views(joined.schema)), joined.schema)
    except pa.ArrowException as error:
        raise ManifestError(
            f"{manifest}: a column of its own cannot be taken along ({error}). Leave it out, or give it a plainer type"
        ) from error
    return joined


def user_schema(manifest: str, files: Files) -> pa.Schema:
    """Return the user's own columns without their values; where files give one different types, as the first has it.

    Raises
    ------
    ManifestError
        Not Parquet, or wrong columns.
    """
    found: dict[str, pa.Field] = {}
    for part in find_parts(manifest, files).files:
        schema = _schema(part, files)
        found = {**{name: schema.field(name) for name in _user_names(schema)}, **found}
    return pa.schema(found.values())


def notes(manifest: str, files: Files) -> list[str]:
    """Return sentences on what a manifest may lack without a fault: files left out, columns almost named right.

    Raises
    ------
    ManifestError
        Not Parquet, or wrong columns.
    """
    parts = find_parts(manifest, files)
    said = {sentence: part.uri for part in parts.files for sentence in column_hints(_schema(part, files).names)}
    return [*parts.notes, *(f"{uri}: {sentence}" for sentence, uri in said.items())]


def read_whole(manifest: str, files: Files, validate_row: RowValidator) -> Manifest:
    """Read a manifest into memory, compactly.

    Raises
    ------
    ManifestError
        As `read_manifest` and `user_columns`, and if it was replaced between the two: rows would get the user's columns
        of other rows.
    """
    before = _versions(manifest, files)
    whole = Manifest(gather(read_manifest(manifest, files, validate_row)), user_columns(manifest, files))
    if _versions(manifest, files) != before:
        raise ManifestError(f"{manifest}: it was replaced while it was read. Run again once it is whole")
    return whole


def check(manifest: str, files: Files, validate_row: RowValidator) -> ManifestSummary:
    """Read a whole manifest for what is wrong with it, and count what it holds; raises as `read_manifest`."""
    pairs = 0
    contents: set[str] = set()
    styles: set[str] = set()
    given: set[str] = set()
    odd = OddPaths()
    for place, batch in _placed_batches(manifest, files, validate_row):
        pairs += batch.num_rows
        contents.update(batch.column("content").unique().to_pylist())
        styles.update(batch.column("style").unique().to_pylist())
        for name in REQUIRED_COLUMNS:
            _look_at_paths(batch.column(name), name, place, odd)
        given.update(name for name in ROW_SETTINGS if batch.column(name).null_count < batch.num_rows)
    own = user_columns(manifest, files)
    return ManifestSummary(
        pairs=pairs,
        contents=len(contents),
        styles=len(styles),
        user_columns=() if own is None else tuple(own.column_names),
        row_settings=tuple(name for name in ROW_SETTINGS if name in given),
        notes=(*notes(manifest, files), *odd.sentences()),
    )


def normalise(batch: pa.RecordBatch, place: Place, validate_row: RowValidator) -> pa.RecordBatch:
    """Check the values of a batch of manifest columns and return it in `NORMALISED_SCHEMA`.

    Raises
    ------
    ManifestError
        A null, empty or bad value, naming file, column, row and what to do.
    """
    written = {"content": texts(batch.column("content"), "content", place), "style": written_styles(batch, place)}
    resolved = {
        "content": paths(written["content"], "content", place),
        "style": resolved_styles(written["style"], place),
    }
    settings = {name: setting(batch.column(name), name, place) for name in ROW_SETTINGS if name in batch.schema.names}
    spelled = _checked_settings(settings, batch.num_rows, place, validate_row)
    refuse_excerpts(resolved["style"], settings, place)
    if "pair_id" in batch.schema.names:
        ids = names(batch.column("pair_id"), "pair_id", place)
    else:
        ids = pa.array(pair_ids(written["content"].to_pylist(), written["style"].to_pylist(), spelled), pa.string())
    columns = {
        "row": pa.array(np.arange(place.row, place.row + batch.num_rows)),
        "pair_id": ids,
        **resolved,
        **{name: settings.get(name, pa.nulls(batch.num_rows)) for name in ROW_SETTINGS},
    }
    return pa.RecordBatch.from_arrays(
        [columns[field.name].cast(field.type) for field in NORMALISED_SCHEMA], schema=NORMALISED_SCHEMA
    )


def _versions(manifest: str, files: Files) -> dict[str, FileStat]:
    """Return size and version of each of a manifest's files."""
    versions = {}
    for part in find_parts(manifest, files).files:
        with parquet_errors(part.uri, mend_for(part.uri)):
            versions[part.uri] = files.stat(part.uri)
    return versions


def _pair_at(row: int, manifest: str, files: Files) -> str:
    """Return what a row pairs, for a message: nothing but the ids is kept of rows that have been read."""
    for place, batch in _placed_batches(manifest, files, lambda row_settings: None):
        if row < place.row + batch.num_rows:
            content, style = (batch.column(name)[row - place.row].as_py() for name in REQUIRED_COLUMNS)
            return f"content '{content}' x style '{style}'"
    raise ManifestError(f"{manifest}: it was replaced while it was read. Run again once it is whole")


def _schema(part: ManifestPart, files: Files) -> pa.Schema:
    """Return the columns of a file and of its folders, found good."""
    with open_foreign(part.uri, files, mend_for(part.uri)) as table:
        schema = part.schema(table.schema)
        check_schema(schema, part.uri)
        return schema


def _carrier(table: ForeignTable) -> str:
    """Return a column to count the rows of a file by, which has none that is wanted."""
    for field in table.schema:
        if not may_swell(field.type):
            return str(field.name)
    raise ManifestError(f"{table.uri}: no column of plain values. Write content and style into the file")


def _look_at_paths(column: pa.StringArray, name: str, place: Place, odd: OddPaths) -> None:
    """Tell `odd` of each distinct path of a batch that is most likely not meant."""
    for text in column.unique().to_pylist():
        for uri in paths_in(text):
            written = relative_to(uri, place.base)
            if (hint := path_hint(written)) is not None:
                odd.add(name, hint, place.says(name, int(pc.index(column, text).as_py()), f"'{written}': {hint}"))


def _user_names(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name not in MANIFEST_COLUMNS and not _PANDAS_INDEX.fullmatch(name)]


def _checked_settings(
    settings: dict[str, pa.Array], rows: int, place: Place, validate_row: RowValidator
) -> NDArray[np.object_]:
    """Validate each distinct combination of row settings once; return every row's `settings_text`, `[rows]`."""
    codes, first_rows = combinations(settings, rows)
    spelled = np.empty(len(first_rows), dtype=object)
    # In the order of the rows, so that the first bad row is the one that is named.
    for combination in np.argsort(first_rows):
        row = int(first_rows[combination])
        given = {name: column[row].as_py() for name, column in settings.items() if column[row].is_valid}
        if given:
            _validate(given, row, place, validate_row)
        spelled[combination] = settings_text(given)
    return spelled[codes]


def _validate(given: dict[str, object], row: int, place: Place, validate_row: RowValidator) -> None:
    try:
        validate_row(given)
    except ValueError as error:
        place.refuse(
            _blamed(given, validate_row),
            row,
            f"{' '.join(str(error).split())}. Correct the value, or use null for the run's setting",
        )


def _blamed(given: dict[str, object], validate_row: RowValidator) -> str:
    """Return the setting to name where some are refused: one that is wrong alone, or without which the others pass."""
    alone = (name for name in given if _is_refused({name: given[name]}, validate_row))
    together = (name for name in given if not _is_refused({n: v for n, v in given.items() if n != name}, validate_row))
    return next(chain(alone, together, given))


def _is_refused(given: dict[str, object], validate_row: RowValidator) -> bool:
    try:
        validate_row(given)
    except ValueError:
        return True
    return False
