"""A table that is replaced while it is read: a reader asks for the footer, then for columns, of what is there then."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.parquet import write_parquet
from manifests.results.publishing import publish_table
from tasks.storage.storage import Storage

ROWS = 4_000
ENDS = ["first", "last"]
"""Columns that say the version; so far apart that they are asked for one after the other."""


class Replaced(io.RawIOBase):
    """A file that is replaced after so many reads, as an object on S3 may be."""

    def __init__(self, versions: list[bytes], reads: int) -> None:
        self._versions = versions
        self._left = reads
        self._position = 0

    @property
    def _now(self) -> bytes:
        return self._versions[0 if self._left > 0 else 1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._now)}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        data = self._now
        self._left -= 1
        start, self._position = self._position, min(self._position + size, len(data))
        return data[start : self._position]


def version(number: int) -> pa.Table:
    """Return a table that says its version in both ends; what lies between is equal in all versions."""
    between = {f"noise_{n}": np.random.default_rng(n).normal(size=ROWS) for n in range(4)}
    return pa.table({"first": np.full(ROWS, number), **between, "last": np.full(ROWS, number)})


def write_plainly(uri: str, files: Storage, table: pa.Table) -> None:
    write_parquet(uri, files, [table], table.schema)


def seen(write: Callable[[str, Storage, pa.Table], None], folder: Path) -> set[tuple[int, ...]]:
    """Return the versions that a reader found in one table, over all moments at which the file may be replaced."""
    versions = []
    for number in (1, 2):
        write(f"{folder}/{number}.parquet", Storage(), version(number))
        versions.append((folder / f"{number}.parquet").read_bytes())
    found = set()
    for reads in range(8):
        try:
            table = pq.read_table(Replaced(versions, reads), columns=ENDS, use_threads=False)
        except (OSError, pa.ArrowException):
            continue  # a reader may be told to try again
        found.add(tuple(sorted({value for name in ENDS for value in table[name].to_pylist()})))
    return found


def test_a_reader_of_a_file_written_plainly_may_get_a_mixture(tmp_path: Path) -> None:
    """If this fails, readers have become better, and `publish_table` is not needed any more."""
    assert (1, 2) in seen(write_plainly, tmp_path)


@pytest.mark.parametrize("attempt", range(5))
def test_a_reader_of_a_replaced_file_gets_one_version_or_an_error(tmp_path: Path, attempt: int) -> None:
    assert seen(publish_table, tmp_path) == {(1,), (2,)}


def test_it_reads_as_it_was_written(tmp_path: Path) -> None:
    uri = f"{tmp_path}/table.parquet"
    publish_table(uri, Storage(), version(3))
    assert pq.read_table(uri).equals(version(3))
    assert pq.read_table(uri, columns=["last"])["last"].to_pylist() == [3] * ROWS
