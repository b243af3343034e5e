"""What people are shown of a table of results: what failed and why, the first that succeeded, the mean of each figure.

A table is read some thousand rows at a time, so it may be of any size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import absolute, parent
from manifests.parquet import BATCH_ROWS
from manifests.results.audio_files import missing_audio
from manifests.results.history import part_pieces
from manifests.results.layout import latest_uri
from manifests.schema import RESULT_SCHEMA, SUCCEEDED, ManifestError
from stylecore.figures import FIGURES
from tasks.storage.storage import Storage, StorageUnreachable

SHOWN = tuple(figure.name for figure in FIGURES if figure.shown)
"""Figures that the terminal shows."""

Read = TypeVar("Read")

_COLUMNS = (
    *("pair_id", "status", "error_type", "error_message", "output", "fingerprint", "seconds_total"),
    *SHOWN,
)
ATTEMPTS = 3
"""A run replaces its table every few minutes, and reading one takes seconds."""

_NAMED_PAIRS = 3
_MOST_REASONS = 1_000
"""Messages that are told apart for an error type; pairs with others are only counted."""


@dataclass
class Reason:
    """Pairs that failed with one message: how many, and the names of the first."""

    pairs: int = 0
    names: list[str] = field(default_factory=list)

    def count(self, name: str) -> None:
        """Count one more."""
        self.pairs += 1
        if len(self.names) < _NAMED_PAIRS:
            self.names.append(name)


@dataclass
class Overview:
    """What a table of results holds.

    Attributes
    ----------
    rows : list of dict
        The first succeeded pairs.
    succeeded : int
        How many there are.
    failed : Counter
        Failed pairs by error type.
    reasons : dict
        Why they failed, by error type and message.
    means : dict
        Of each figure over the succeeded pairs that have it; None where none has.
    missing : frozenset of str
        Fingerprints of succeeded pairs whose audio is gone, as far as it was looked for.
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    succeeded: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, dict[str, Reason]] = field(default_factory=dict)
    means: dict[str, float | None] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ResultTable:
    """A table of results, and the output root whose audio it names; None if that is not known."""

    uri: str
    root: str | None


def find_table(written: str, files: Storage) -> ResultTable:
    """Return the table that a user means by an output root or by a Parquet file of one.

    Raises
    ------
    FileNotFoundError
        If nothing has been computed there yet, or there is no such file.
    """
    uri = absolute(written)
    if uri.endswith(".parquet") and files.exists(uri) and not files.is_folder(uri):
        folder = parent(uri)
        known = {latest_uri(folder): folder}.get(uri)
        return ResultTable(uri, parent(folder) if folder.endswith("/snapshots") else known)
    table = latest_uri(uri)
    if not files.exists(table):
        raise FileNotFoundError(f"{table}: no results yet; `timbreflow run MANIFEST {written}` makes them")
    return ResultTable(table, uri)


def table_in_root(written: str, files: Storage) -> tuple[ResultTable, str]:
    """Return the table that a user means by an output root, or by a snapshot of one, and that root.

    Raises
    ------
    FileNotFoundError
        As `find_table`.
    ManifestError
        If the table lies in no output root: its audio cannot be found.
    """
    table = find_table(written, files)
    if table.root is None:
        raise ManifestError(f"{table.uri}: lies in no output root, where its audio would be. Name the root itself")
    return table, table.root


def read_overview(table: ResultTable, files: Storage, most_rows: int) -> Overview:
    """Read a table; of its succeeded pairs at most so many are kept. Whether their audio is there is not looked at.

    Raises
    ------
    ManifestError
        If it is no table of results, damaged, or of a newer version.
    OSError
        If it cannot be read.
    """
    return of_one_version(lambda: _read_overview(table, files, most_rows))


def _read_overview(table: ResultTable, files: Storage, most_rows: int) -> Overview:
    found, sums, counts = Overview(), dict.fromkeys(SHOWN, 0.0), dict.fromkeys(SHOWN, 0)
    for rows in _pieces(table.uri, files, _COLUMNS):
        done = rows.filter(pc.equal(rows.column("status"), SUCCEEDED))
        found.rows += done.slice(0, most_rows - len(found.rows)).to_pylist()
        found.succeeded += done.num_rows
        for name in SHOWN:
            sums[name] += pc.sum(done.column(name)).as_py() or 0.0
            counts[name] += pc.count(done.column(name)).as_py()
        _take_failed(found, rows.filter(pc.not_equal(rows.column("status"), SUCCEEDED)))
    found.means = {name: sums[name] / counts[name] if counts[name] else None for name in SHOWN}
    return found


def lost_audio(table: ResultTable, files: Storage) -> frozenset[str]:
    """Return the fingerprints of a table's succeeded pairs whose audio is gone; raises as `read_overview`."""
    if table.root is None:
        return frozenset()
    uri, root = table.uri, table.root

    def fingerprints() -> pa.ChunkedArray:
        pieces = _pieces(uri, files, ("status", "fingerprint"))
        named = [rows.filter(pc.equal(rows.column("status"), SUCCEEDED)).column("fingerprint") for rows in pieces]
        return pa.chunked_array([chunk for column in named for chunk in column.chunks], pa.string())

    names = of_one_version(fingerprints)
    return frozenset(names.filter(pa.array(missing_audio(files, root, names))).to_pylist())


def of_one_version(read: Callable[[], Read]) -> Read:
    """Return what is read of a table, of one version: on S3 a table that is replaced meanwhile is read anew."""
    for _ in range(ATTEMPTS - 1):
        try:
            return read()
        except StorageUnreachable:
            raise
        except OSError:
            continue
    return read()


def _pieces(uri: str, files: Storage, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    wanted = pa.schema([RESULT_SCHEMA.field(name) for name in columns])
    return part_pieces(files, uri, wanted, BATCH_ROWS, "Move it away: the next run writes it anew from the history")


def _take_failed(found: Overview, rows: pa.Table) -> None:
    for row in rows.select(["pair_id", "error_type", "error_message"]).to_pylist():
        kind, message = str(row["error_type"]), str(row["error_message"])
        found.failed[kind] += 1
        known = found.reasons.setdefault(kind, {})
        if message not in known and len(known) < _MOST_REASONS:
            known[message] = Reason()
        if message in known:
            known[message].count(str(row["pair_id"]))
