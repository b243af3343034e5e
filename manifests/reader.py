"""Read a manifest: stream it, refuse what is wrong with it, and bring it to one form.

A manifest is a Parquet file or a folder of them. What can be wrong with a manifest itself is found here; whether its
sounds can be read is found out pair by pair, later. Work per row is done by Arrow and NumPy: Python sees each distinct
path and each distinct combination of row settings of a batch once.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.columns import Place, is_number, is_text, names, paths, setting, texts
from manifests.files import Files, FileStat, absolute, parent
from manifests.fingerprint import pair_ids, settings_text
from manifests.gathering import Manifest, combinations, gather
from manifests.schema import (
    FLOAT_SETTINGS,
    INTEGER_SETTINGS,
    MANIFEST_COLUMNS,
    REQUIRED_COLUMNS,
    RESERVED,
    ROW_SETTINGS,
    ManifestError,
)
from manifests.tables import open_foreign, parquet_errors, read_batches, read_own

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

LONGEST_NAME = 256
"""Characters of a column's name."""

_MEND = "Give a manifest made by `timbreflow manifest build` or by pandas' to_parquet"
_SHOWN_NAMES = 20
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


class ManifestSummary(NamedTuple):
    """What a good manifest holds: pairs, distinct sounds, the user's own columns, the settings given per row."""

    pairs: int
    contents: int
    styles: int
    user_columns: tuple[str, ...]
    row_settings: tuple[str, ...]


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
        At most `manifests.tables.BATCH_ROWS` rows.

    Raises
    ------
    ManifestError
        Anything wrong with the manifest, at the latest (duplicate ids) after the last batch. So nothing must be
        computed before the stream has ended.
    """
    ids: list[pa.StringArray] = []
    row = 0
    parts, base = _parts(manifest, files)
    for part in parts:
        place = Place(part, base, file_row=row, row=row)
        with open_foreign(part, files, _MEND) as table:
            check_schema(table.schema, part)
            wanted = [name for name in MANIFEST_COLUMNS if name in table.schema.names]
            for batch in read_batches(table, wanted):
                normalised = normalise(batch, replace(place, row=row), validate_row)
                ids.append(normalised.column("pair_id"))
                row += batch.num_rows
                yield normalised
    if row == 0:
        raise ManifestError(f"{manifest}: no rows, so there is nothing to compute. Put at least one pair into it")
    refuse_duplicates(ids, manifest)


def user_columns(manifest: str, files: Files) -> pa.Table | None:
    """Return the user's own columns, one row per row of the manifest; None if there are none.

    An index that pandas wrote beside the columns (`__index_level_0__`) is not one of them.

    Raises
    ------
    ManifestError
        Not Parquet, reserved names, too much for memory, or files of a folder that give one column different types.
    """
    tables = []
    parts = _parts(manifest, files)[0]
    if not any(_own_names(part, files) for part in parts):
        return None
    for part in parts:
        with open_foreign(part, files, _MEND) as table:
            # With no column selected Arrow keeps no row count, so a required one carries it.
            tables.append(read_own(table, [*_user_names(table.schema), REQUIRED_COLUMNS[0]]))
    try:
        joined = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise ManifestError(
            f"{manifest}: its files do not fit together ({error}). Give each column one type"
        ) from error
    return joined.select(_user_names(joined.schema))


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
    for batch in read_manifest(manifest, files, validate_row):
        pairs += batch.num_rows
        contents.update(batch.column("content").unique().to_pylist())
        styles.update(batch.column("style").unique().to_pylist())
        given.update(name for name in ROW_SETTINGS if batch.column(name).null_count < batch.num_rows)
    own = user_columns(manifest, files)
    return ManifestSummary(
        pairs=pairs,
        contents=len(contents),
        styles=len(styles),
        user_columns=() if own is None else tuple(own.column_names),
        row_settings=tuple(name for name in ROW_SETTINGS if name in given),
    )


def check_schema(schema: pa.Schema, file: str) -> None:
    """Refuse missing, doubled, reserved, wrongly typed and unprintably named columns.

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
            raise ManifestError(f"{file}: no column '{name}'. {_suggestion(name, schema.names)}")
    for name in schema.names:
        if name in RESERVED:
            raise ManifestError(f"{file}: column '{name}' is a name of the result table. Rename it, say to 'my_{name}'")
    for name in MANIFEST_COLUMNS:
        if name in schema.names:
            _check_type(schema.field(name), file)


def normalise(batch: pa.RecordBatch, place: Place, validate_row: RowValidator) -> pa.RecordBatch:
    """Check the values of a batch of manifest columns and return it in `NORMALISED_SCHEMA`.

    Raises
    ------
    ManifestError
        A null, empty or bad value, naming file, column, row and what to do.
    """
    written = {name: texts(batch.column(name), name, place) for name in REQUIRED_COLUMNS}
    resolved = {name: paths(column, name, place) for name, column in written.items()}
    settings = {name: setting(batch.column(name), name, place) for name in ROW_SETTINGS if name in batch.schema.names}
    spelled = _checked_settings(settings, batch.num_rows, place, validate_row)
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


def refuse_duplicates(ids: Sequence[pa.StringArray], manifest: str) -> None:
    """Refuse a pair_id that stands twice in a manifest, given as its columns in order.

    Raises
    ------
    ManifestError
        Naming the first doubled id and its first two rows.
    """
    whole = pa.chunked_array(ids, pa.string())
    if pc.count_distinct(whole).as_py() == len(whole):
        return
    codes = whole.combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    again = np.ones(len(codes), dtype=bool)
    again[first] = False
    second = int(np.argmax(again))
    code = codes[second]
    value = whole[second].as_py()
    raise ManifestError(
        f"{manifest}: column 'pair_id', row {second}: '{value}' stands in row {int(np.argmax(codes == code))} already. "
        "Take one of the two rows out, or give them different pair_ids (without that column: different row settings)"
    )


def _parts(manifest: str, files: Files) -> tuple[list[str], str]:
    """Return a manifest's files in order, and the folder that relative paths start from."""
    try:
        uri = absolute(manifest)
    except ValueError as error:
        raise ManifestError(f"{manifest}: {error}") from error
    if not files.is_folder(uri):
        return [uri], parent(uri)
    # Names with a dot or an underscore in front are other programs' unfinished work (Spark, editors).
    parts = [
        part
        for part in files.find(uri)
        if part.endswith(".parquet") and not part.rsplit("/", 1)[-1].startswith((".", "_"))
    ]
    if not parts:
        raise ManifestError(f"{manifest}: a folder without any .parquet file. {_MEND}")
    return parts, uri


def _versions(manifest: str, files: Files) -> dict[str, FileStat]:
    """Return size and version of each of a manifest's files."""
    versions = {}
    for part in _parts(manifest, files)[0]:
        with parquet_errors(part, _MEND):
            versions[part] = files.stat(part)
    return versions


def _own_names(part: str, files: Files) -> list[str]:
    with open_foreign(part, files, _MEND) as table:
        check_schema(table.schema, part)
        return _user_names(table.schema)


def _user_names(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name not in MANIFEST_COLUMNS and not _PANDAS_INDEX.fullmatch(name)]


def _check_type(field: pa.Field, file: str) -> None:
    if field.name in ROW_SETTINGS and not is_number(field.type):
        raise ManifestError(
            f"{file}: column '{field.name}' has the type {field.type}, not a number. "
            f"Convert it, say with pandas.to_numeric(table['{field.name}'])"
        )
    if field.name not in ROW_SETTINGS and not is_text(field.type):
        raise ManifestError(
            f"{file}: column '{field.name}' has the type {field.type}, not text. "
            f"Convert it, say with table['{field.name}'].astype(str)"
        )


def _suggestion(name: str, found: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, [column.strip().lower() for column in found], n=1)
    likely = [column for column in found if column.strip().lower() in close]
    if likely:
        return f"Is it '{likely[0]}'? Then rename that"
    shown = [*found[:_SHOWN_NAMES], "..."] if len(found) > _SHOWN_NAMES else found
    return f"Its columns are: {', '.join(shown) or 'none'}. Every manifest needs {' and '.join(REQUIRED_COLUMNS)}"


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
        blamed = [name for name in given if _is_refused({name: given[name]}, validate_row)]
        column = (blamed or list(given))[0]
        place.refuse(
            column, row, f"{' '.join(str(error).split())}. Correct the value, or use null for the run's setting"
        )


def _is_refused(given: dict[str, object], validate_row: RowValidator) -> bool:
    try:
        validate_row(given)
    except ValueError:
        return True
    return False
