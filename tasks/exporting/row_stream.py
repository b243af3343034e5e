"""The succeeded pairs of a table with all of their columns, some at a time, and where the audio of each lies.

A pair whose audio is not there is left out and counted. What memory holds for all pairs is the listing of the audio.
"""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.files import is_s3, join
from manifests.parquet import open_parquet, parquet_errors
from manifests.results.history import check_version
from manifests.schema import SUCCEEDED
from tasks.exporting.succeeded_pairs import REMEDY, audio_below
from tasks.ledger.query import of_one_version, table_in_root
from tasks.storage.storage import Storage

ROWS_AT_A_TIME = 1_024
"""Rows that are decoded in one go: with the curves of their losses they take some MB."""

_NEEDED = ("pair_id", "status", "output", "file_sha256")
_PIECE = 65_536
_BLOCK_BYTES = 1 << 20


class Piece(NamedTuple):
    """Some pairs: their rows, and for each where its audio lies below the root's `audio/`, its sha256 and its bytes.

    Attributes
    ----------
    rows : pyarrow.Table
        The columns that were asked for.
    audio : pyarrow.Table
        `source`, `sha256` and `size`, as many rows.
    """

    rows: pa.Table
    audio: pa.Table

    def part(self, start: int, end: int) -> Piece:
        """Return the pairs from one number to before another."""
        return Piece(self.rows.slice(start, end - start), self.audio.slice(start, end - start))


class RowStream:
    """The succeeded pairs of a table that is open, with the sizes of the audio files of its output root.

    Attributes
    ----------
    root : str
        The output root.
    schema : pyarrow.Schema
        Of the table.
    missing : int
        Pairs that the last pass has left out, since their audio is gone.
    """

    def __init__(
        self, root: str, uri: str, parquet: pq.ParquetFile, sizes: pa.Table, wanted: Collection[str] | None
    ) -> None:
        self.root, self.schema, self.missing = root, parquet.schema_arrow, 0
        self._uri, self._parquet, self._sizes = uri, parquet, sizes
        self._wanted = None if wanted is None else pa.array(wanted, pa.string())

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """Give the pairs in the order of the table; each call begins anew.

        Raises
        ------
        ManifestError, OSError
            If the table is damaged, or cannot be read.
        """
        self.missing = 0
        wanted = list(dict.fromkeys([*_NEEDED, *columns]))
        with parquet_errors(self._uri, REMEDY):
            for batch in self._parquet.iter_batches(ROWS_AT_A_TIME, columns=wanted):
                rows = pa.table(batch).select(wanted)
                rows = rows.filter(pc.equal(rows.column("status"), SUCCEEDED))
                if self._wanted is not None:
                    rows = rows.filter(pc.is_in(rows.column("pair_id"), value_set=self._wanted))
                piece = self._with_audio(rows.select(list(columns)), rows)
                self.missing += rows.num_rows - piece.rows.num_rows
                yield piece

    def source(self, below: str) -> str:
        """Return the URI of audio: the root may have been moved since its table was written."""
        return join(self.root, "audio", below)

    def _with_audio(self, rows: pa.Table, all_columns: pa.Table) -> Piece:
        below = audio_below(all_columns)
        size = self._sizes["size"].take(pc.index_in(below, value_set=self._sizes["source"].combine_chunks()))
        audio = pa.table({"source": below, "sha256": all_columns["file_sha256"], "size": size})
        there = pc.and_(pc.is_valid(size), pc.is_valid(audio["sha256"]))
        return Piece(rows.filter(there), audio.filter(there))


@contextmanager
def open_rows(written: str, files: Storage, wanted: Collection[str] | None = None) -> Iterator[RowStream]:
    """Open the table of an output root, or a snapshot of one, for all succeeded pairs or for those with a wanted id.

    Raises
    ------
    FileNotFoundError
        If nothing has been computed there yet.
    ManifestError, OSError
        If the table is damaged, lies in no output root, or cannot be read.
    """
    table, root = table_in_root(written, files)
    with _one_version(table.uri, files) as parquet:
        check_version(parquet.schema_arrow, table.uri)
        yield RowStream(root, table.uri, parquet, _audio_sizes(root, files), wanted)


@contextmanager
def _one_version(uri: str, files: Storage) -> Iterator[pq.ParquetFile]:
    """Open a table that stays what it is, however often a run replaces it meanwhile: one on S3 is copied to the disk.

    A local one that is replaced stays as long as it is open.
    """
    if not is_s3(uri):
        with open_parquet(uri, files, REMEDY) as parquet:
            yield parquet
        return
    with TemporaryFile() as copy:

        def fetch() -> None:
            copy.seek(0)
            with files.open(uri) as source:
                shutil.copyfileobj(source, copy, _BLOCK_BYTES)
            copy.truncate()

        of_one_version(fetch)
        with parquet_errors(uri, REMEDY):
            parquet = pq.ParquetFile(copy)
        yield parquet


def _audio_sizes(root: str, files: Storage) -> pa.Table:
    """Return the audio files of an output root, by folder and name, with their sizes."""
    schema = pa.schema([("source", pa.string()), ("size", pa.int64())])
    pieces, names, sizes = [schema.empty_table()], list[str](), list[int]()
    for uri, size in files.sizes(join(root, "audio")):
        folder, name = posixpath.split(uri)
        names.append(f"{posixpath.basename(folder)}/{name}")
        sizes.append(size)
        if len(names) == _PIECE:
            pieces.append(pa.table([names, sizes], schema=schema))
            names, sizes = [], []
    return pa.concat_tables([*pieces, pa.table([names, sizes], schema=schema)])
