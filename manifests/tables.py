"""Parquet through a handed-in file system, with errors that say which file and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import Files
from manifests.schema import ManifestError

BATCH_ROWS = 65_536
"""Rows held at a time while a table streams."""


@contextmanager
def parquet_errors(uri: str, mend: str) -> Iterator[None]:
    """Turn what is wrong with a Parquet file into a `ManifestError`; real trouble of the storage passes through."""
    try:
        yield
    except FileNotFoundError as error:
        raise ManifestError(f"{uri}: no such file. {mend}") from error
    except IsADirectoryError as error:
        raise ManifestError(f"{uri}: is a folder, not a Parquet file. {mend}") from error
    except pa.ArrowException as error:
        raise ManifestError(f"{uri}: not a Parquet file, or a damaged one ({_one_line(error)}). {mend}") from error
    except OSError as error:
        # Arrow reports damaged pages as a bare OSError without a number; a storage has its own error or a number.
        if type(error) is not OSError or error.errno is not None:
            raise
        raise ManifestError(f"{uri}: damaged Parquet file ({_one_line(error)}). {mend}") from error


@contextmanager
def open_parquet(uri: str, files: Files, mend: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file and read its footer.

    Parameters
    ----------
    uri : str
        The file.
    files : Files
        The file system.
    mend : str
        What the user can do if it is missing or damaged, a sentence for the message.

    Raises
    ------
    ManifestError
        Missing, a folder, or not Parquet.
    """
    with parquet_errors(uri, mend):
        handle = files.open(uri)
    with handle:
        with parquet_errors(uri, mend):
            parquet = pq.ParquetFile(handle)
        yield parquet


def read_batches(parquet: pq.ParquetFile, columns: Sequence[str], uri: str, mend: str) -> Iterator[pa.RecordBatch]:
    """Stream columns of an open file in batches of at most `BATCH_ROWS` rows; raises as `open_parquet`."""
    batches = parquet.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))
    while True:
        with parquet_errors(uri, mend):
            batch = next(batches, None)
        if batch is None:
            return
        # Parquet selects by path: asking for "content" also brings a column called "content.note".
        yield batch.select(columns)


def write_parquet(uri: str, files: Files, batches: Iterable[pa.RecordBatch | pa.Table], schema: pa.Schema) -> int:
    """Stream tables to a Parquet file that appears whole or not at all; return the number of rows."""
    rows = 0
    with files.writing(uri) as handle, pq.ParquetWriter(handle, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write(batch)
            rows += batch.num_rows
    return rows


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
