"""Who reads the table while it is replaced sees the old one or the new one, or an error: never a mixture."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from manifests.files import is_s3, join
from tests.faults.report import recorded

SECONDS, ENOUGH = 3, 20
"""How long is read at most, and how many versions each reader has then seen at most."""

ENDS = ["version", "last"]
"""Columns that lie far apart, so that they are asked for one after the other."""

WRITER = """
import itertools, sys
import numpy as np, pyarrow as pa
from manifests.results.publishing import publish_table
from tasks.storage.storage import Storage
files = Storage()
noise = np.random.default_rng(0).normal(size=(8, 20_000))
for version in itertools.count(1):
    rows = 15_000 + 997 * (version // 4 % 5)  # four versions in a row are of one length
    said = pa.array(np.full(rows, version))
    table = pa.table({"version": said, **{f"noise_{n}": row[:rows] for n, row in enumerate(noise)}, "last": said})
    publish_table(sys.argv[1], files, table)
    if version == 1:
        print("written", flush=True)
"""


def whole_with_pandas(uri: str) -> pd.DataFrame:
    return pd.read_parquet(uri)


def columns_with_pandas(uri: str) -> pd.DataFrame:
    return pd.read_parquet(uri, columns=ENDS)


def columns_with_s3fs(uri: str) -> pd.DataFrame:
    return pd.read_parquet(uri, columns=ENDS, storage_options={"use_listings_cache": False} if is_s3(uri) else None)


def columns_from_an_open_file(uri: str) -> pd.DataFrame:
    with S3FileSystem(use_listings_cache=False).open(uri) if is_s3(uri) else Path(uri).open("rb") as stream:
        return pd.read_parquet(stream, columns=ENDS)


def columns_with_arrow(uri: str) -> pd.DataFrame:
    return pq.read_table(uri, columns=ENDS).to_pandas()


READERS: tuple[Callable[[str], pd.DataFrame], ...] = (
    whole_with_pandas,
    columns_with_pandas,
    columns_with_s3fs,
    columns_from_an_open_file,
    columns_with_arrow,
)


@pytest.fixture
def uri(anywhere: str) -> str:
    return join(anywhere, "results.parquet")


@contextmanager
def replaced(uri: str) -> Iterator[None]:
    """Replace a table of a megabyte again and again, as fast as another process can."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, uri], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        yield
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()


@recorded("readers during the replacement of the table")
def test_no_reader_ever_sees_a_mixture(uri: str) -> None:
    seen: dict[str, set[int]] = {reader.__name__: set() for reader in READERS}
    over = threading.Event()
    errors = []
    timer = threading.Timer(SECONDS, over.set)
    with replaced(uri):
        timer.start()
        for reader in itertools.cycle(READERS):
            if over.is_set() or min(map(len, seen.values())) == ENOUGH:
                break
            try:
                table = reader(uri)
            except Exception as error:  # a reader may be told to try again
                errors.append(error)
                continue
            (version,) = {*table["version"], *table["last"]}
            assert len(table) == 15_000 + 997 * (version // 4 % 5)
            seen[reader.__name__].add(version)
    timer.cancel()
    assert min(map(len, seen.values())) > 1, errors
