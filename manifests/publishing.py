"""Tables that are replaced while others read them."""

from __future__ import annotations

import secrets

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import Files

_UNUSED_BYTES = 1 << 16
"""Two versions of a file begin with the same number of them once in so many times."""


def publish_table(uri: str, files: Files, table: pa.Table) -> None:
    """Write a table to a Parquet file that others may be reading: each reads the old or the new one, or gets an error.

    The file appears whole or not at all, but a reader need not read it in one go. Arrow, and so pandas, asks S3 for the
    footer and then for some columns at a time, and each answer is of what is there then; a local file it opens twice.
    The footer of one version then serves to read columns of others, and where these are laid out alike, the mixture
    passes for a table. So each version begins with a random number of unused bytes: no column lies where it lay before.
    """
    with files.writing(uri) as handle:
        sink = pa.PythonFile(handle, mode="w")  # counts what is written between the writer's own
        with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
            sink.write(bytes(secrets.randbelow(_UNUSED_BYTES)))
            writer.write_table(table)
