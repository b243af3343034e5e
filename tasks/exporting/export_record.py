"""What an export has made: a table in its folder, by which the next one knows its own files from all others.

It is replaced whole, after the files that it names. `name` and `pair_id` say which pair a file is of.
"""

from __future__ import annotations

import pyarrow as pa

from manifests.files import join
from manifests.parquet import open_parquet, parquet_errors, write_parquet
from manifests.schema import ManifestError
from tasks.exporting.export_errors import ExportError
from tasks.storage.storage import Storage

RECORD_NAME = "timbreflow-export.parquet"

_ROOT_KEY = b"timbreflow.exported_root"

RECORD_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("pair_id", pa.string()),
        ("sha256", pa.string()),
        ("size", pa.int64()),
    ]
)


def read_record(folder: str, root: str, files: Storage) -> pa.Table:
    """Return what earlier exports of an output root have made in a folder; empty if there were none.

    Raises
    ------
    ExportError
        If the record is none, is damaged, or is about another output root.
    """
    uri = join(folder, RECORD_NAME)
    if not files.exists(uri):
        return RECORD_SCHEMA.empty_table()
    remedy = "Delete it if it is no longer needed: files that are as they should be are known again by their bytes"
    try:
        with open_parquet(uri, files, remedy) as parquet, parquet_errors(uri, remedy):
            table = parquet.read()
            told = (table.schema.metadata or {}).get(_ROOT_KEY, b"").decode()
            record = table.select(RECORD_SCHEMA.names).cast(RECORD_SCHEMA)
    except (ManifestError, KeyError, ValueError) as error:
        raise ExportError(f"'{uri}' is no record of an export, or damaged ({error}). {remedy}") from error
    if told != root:
        raise ExportError(
            f"'{folder}' has the files of another output root, '{told}'. Choose another folder; "
            f"or, if that root was moved here, delete '{uri}'"
        )
    if any("/" in name or name in ("", ".", "..") for name in record.column("name").to_pylist()):
        raise ExportError(f"'{uri}' names files outside of its folder: it is damaged. {remedy}")
    return record


def write_record(folder: str, root: str, record: pa.Table, files: Storage) -> None:
    """Replace the record of a folder."""
    schema = RECORD_SCHEMA.with_metadata({_ROOT_KEY: root.encode()})
    write_parquet(join(folder, RECORD_NAME), files, [record.replace_schema_metadata(schema.metadata)], schema)
