"""Who reads the table while it is replaced sees the old one or the new one, or an error: never a mixture."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from manifests.files import join

SECONDS = 6
WRITER = """
import itertools, sys
import numpy as np, pyarrow as pa
from manifests.tables import write_parquet
from tasks.storage import Storage
files = Storage()
for version in itertools.count(1):
    rows = 40_000 + 997 * (version % 50)
    noise = pa.array(np.random.default_rng(version).normal(size=rows))
    table = pa.table({"version": pa.array(np.full(rows, version)), **{f"noise_{n}": noise for n in range(8)}})
    write_parquet(sys.argv[1], files, [table], table.schema)
    if version == 1:
        print("written", flush=True)
"""


@pytest.fixture(params=["local", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    root: str = str(tmp_path) if request.param == "local" else request.getfixturevalue("s3")
    return join(root, "results.parquet")


@contextmanager
def replaced(uri: str) -> Iterator[None]:
    """Replace a table of some megabytes again and again, as fast as another process can; each has its own length."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, uri], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        yield
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()


def test_a_reader_never_sees_a_mixture(uri: str) -> None:
    seen, errors, over = set(), [], threading.Event()
    timer = threading.Timer(SECONDS, over.set)
    with replaced(uri):
        timer.start()
        while not over.is_set():
            try:
                table = pd.read_parquet(uri)
            except Exception as error:  # a reader may be told to try again
                errors.append(error)
                continue
            (version,) = table["version"].unique()
            assert len(table) == 40_000 + 997 * (version % 50)
            seen.add(version)
    assert len(seen) > 1, errors
