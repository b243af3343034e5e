"""Rows that come in any order and leave sorted, by way of the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BUCKET_ROWS = 1 << 14
"""Rows that are in memory at a time."""

MOST_BUCKETS = 256
"""Files that are open at a time: for more rows than these hold, each takes more."""

_POSITION = "position"
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Sorter:
    """Rows by the position that each is to take, in files for neighbouring positions; see `sorting`."""

    def __init__(self, schema: pa.Schema, buckets: Sequence[IO[bytes]], bucket_rows: int) -> None:
        placed = schema.append(pa.field(_POSITION, pa.int64()))
        self._buckets, self._rows = buckets, bucket_rows
        self._writers = [pa.ipc.new_stream(bucket, placed, options=_OPTIONS) for bucket in buckets]

    def add(self, table: pa.Table, rows: NDArray[np.int64], positions: NDArray[np.int64]) -> None:
        """Put some rows of a table away; `positions` are those they are to take, `[rows]`, in any order."""
        order = np.argsort(positions, kind="stable")
        ascending = positions[order]
        placed = table.take(pa.array(rows[order])).append_column(_POSITION, pa.array(ascending))
        for bucket in np.unique(ascending // self._rows):
            begin, end = np.searchsorted(ascending, [bucket * self._rows, (bucket + 1) * self._rows])
            self._writers[bucket].write_table(placed.slice(begin, end - begin))

    def tables(self) -> Iterator[pa.Table]:
        """Give all rows in the order of their positions; none can be added any more."""
        for writer, bucket in zip(self._writers, self._buckets, strict=True):
            writer.close()
            bucket.seek(0)
            rows = pa.ipc.open_stream(bucket).read_all()
            yield rows.sort_by(_POSITION).drop_columns([_POSITION])


@contextmanager
def sorting(schema: pa.Schema, rows: int) -> Iterator[Sorter]:
    """Sort `rows` rows in `schema` within the block; its files need about as much disk as the rows do compressed."""
    bucket_rows = max(BUCKET_ROWS, -(-rows // MOST_BUCKETS))
    with ExitStack() as opened:
        buckets = [opened.enter_context(tempfile.TemporaryFile()) for _ in range(-(-rows // bucket_rows))]
        yield Sorter(schema, buckets, bucket_rows)
