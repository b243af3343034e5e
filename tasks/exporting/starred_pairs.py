"""The pairs that a person has starred on a listening report: a CSV, or a Parquet file, keyed by `pair_id`."""

from __future__ import annotations

import pyarrow as pa

from manifests.building.csv_table import read_csv
from manifests.files import absolute
from manifests.parquet import open_foreign, read_own
from manifests.schema import ManifestError
from tasks.exporting.export_errors import ExportError
from tasks.storage.storage import Storage

_KEY, _STAR = "pair_id", "star"
_UNSTARRED = frozenset({"", "0", "false", "no", "none", "0.0"})
_REMEDY = "Save the stars of the report again"


def read_starred(written: str, files: Storage) -> frozenset[str]:
    """Return the ids of the starred pairs; without a column `star` every pair that the file names is.

    Raises
    ------
    ExportError
        If the file is missing, is none of these, has no column `pair_id`, or stars no pair.
    """
    uri = absolute(written)
    try:
        rows = _parquet(uri, files) if uri.endswith(".parquet") else read_csv(uri, files).rows
    except ManifestError as error:
        raise ExportError(f"starred: {error}") from error
    if rows.column_names.count(_KEY) != 1:
        raise ExportError(f"starred='{written}': has no column '{_KEY}'. {_REMEDY}")
    ids = rows.column(_KEY).to_pylist()
    stars = rows.column(_STAR).to_pylist() if _STAR in rows.column_names else [True] * len(ids)
    starred = {
        pair for pair, star in zip(ids, stars, strict=True) if pair and str(star).strip().lower() not in _UNSTARRED
    }
    if not starred:
        raise ExportError(f"starred='{written}': no pair has a star. Star some on the report, and save them")
    return frozenset(map(str, starred))


def _parquet(uri: str, files: Storage) -> pa.Table:
    with open_foreign(uri, files, _REMEDY) as table:
        return read_own(table, [name for name in (_KEY, _STAR) if name in table.schema.names] or table.schema.names[:1])
