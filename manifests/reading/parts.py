"""The files that a manifest is made of."""

from __future__ import annotations

from typing import NamedTuple

from manifests.files import Files, absolute, parent
from manifests.reading.listing import all_below, is_hidden, suffix_counts
from manifests.reading.partitions import ManifestPart, own_partitions, partitioned
from manifests.reading.suffixes import audio_suffixes
from manifests.schema import ManifestError

REMEDY = "Give a manifest made by `timbreflow manifest build` or by pandas' to_parquet"

_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_LOGS = {"/_delta_log/": "Delta Lake", "/.hoodie/": "Hudi", ".metadata.json": "Iceberg"}
"""How a table shows whose own log says which of its files count."""


class Parts(NamedTuple):
    """A manifest's files in order, the folder that relative paths start from, and what a user should know of them."""

    files: list[ManifestPart]
    base: str
    notes: list[str]


def find_parts(manifest: str, files: Files) -> Parts:
    """Return the files of a manifest: itself, or the .parquet files below the folder, hidden ones left out.

    Raises
    ------
    ManifestError
        No path, a folder without any .parquet file, or folders whose names give impossible columns.
    """
    try:
        uri = absolute(manifest)
    except ValueError as error:
        raise ManifestError(f"{manifest}: {error}") from error
    if not files.is_folder(uri):
        return Parts([ManifestPart(uri, {})], parent(uri), _unused_partitions(manifest, parent(uri)))
    pattern = all_below(uri)
    found = files.glob(pattern)
    shown = [path for path in found if not is_hidden(path, pattern)]
    parts = [path for path in shown if path.lower().endswith(".parquet")]
    others = [path for path in shown if not path.lower().endswith((".parquet", *audio_suffixes()))]
    if not parts:
        left_out = f" (only {suffix_counts(others)})" if others else ""
        raise ManifestError(f"{manifest}: a folder without any .parquet file{left_out}. {REMEDY}")
    notes = _unused_partitions(manifest, uri) + _log_notes(manifest, found)
    if others:
        notes.append(f"{manifest}: only its .parquet files are read; left out: {suffix_counts(others)}")
    return Parts(partitioned(parts, uri), uri, notes)


def mend_for(uri: str) -> str:
    """Return what to do about a file that is no Parquet, as the end of a message."""
    if uri.lower().endswith(_TEXT_SUFFIXES):
        return f"`timbreflow manifest build --from {uri} --out pairs.parquet` makes a manifest of a CSV"
    return REMEDY


def _unused_partitions(manifest: str, folder: str) -> list[str]:
    unused = own_partitions(folder)
    if not unused:
        return []
    return [f"{manifest}: the name '{unused}' gives no column. If it should, give the folder above as the manifest"]


def _log_notes(manifest: str, found: list[str]) -> list[str]:
    """Say of a table with a log of its own that the log is not read: files that it has removed count as rows."""
    kinds = sorted({kind for path in found for sign, kind in _LOGS.items() if sign in path})
    return [
        f"{manifest}: a table of {kind}, whose log is not read: its .parquet files all count, those too that were "
        "removed from the table. Write its rows to one Parquet file if that is not meant"
        for kind in kinds
    ]
