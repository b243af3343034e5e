"""A manifest in memory holds what the stream held, and holds what repeats once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import parquet as tables
from manifests.reading import reader
from manifests.reading.compact_pairs import gather
from manifests.reading.reader import NORMALISED_SCHEMA, read_manifest, read_whole
from manifests.schema import ManifestError
from tasks.storage.storage import Storage

FILES = Storage()


def accept(_: object) -> None:
    """Find every row setting good."""


def manifest(folder: Path, rows: int, **columns: Any) -> str:
    path = folder / "pairs.parquet"
    sounds = {"content": [f"c{row % 10}.wav" for row in range(rows)], "style": [f"s{row}.wav" for row in range(rows)]}
    pd.DataFrame({**sounds, **columns}).to_parquet(path)
    return str(path)


def batch(**settings: list[float | None]) -> pa.RecordBatch:
    rows = len(next(iter(settings.values())))
    columns = {"row": range(rows), "pair_id": ["p"] * rows, "content": ["/c"] * rows, "style": ["/s"] * rows}
    values = [{**columns, **settings}.get(field.name, [None] * rows) for field in NORMALISED_SCHEMA]
    arrays = [pa.array(value, field.type) for value, field in zip(values, NORMALISED_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=NORMALISED_SCHEMA)


def test_it_holds_what_the_stream_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)  # many batches, each with sounds of its own
    path = manifest(tmp_path, 40, alpha=[None, 2.5] * 20, seed=range(40))
    streamed = pa.Table.from_batches(list(read_manifest(path, FILES, accept)))
    gathered = read_whole(path, FILES, accept).pairs
    assert gathered.column_names == ["row", "pair_id", "content", "style", "alpha", "seed"]
    assert gathered.to_pylist() == streamed.select(gathered.column_names).to_pylist()
    assert len(gathered["content"].chunk(0).dictionary) == 10
    assert all(column.num_chunks == 1 for column in gathered.columns)


def test_a_setting_that_only_a_late_batch_gives_is_kept() -> None:
    gathered = gather([batch(alpha=[None, None]), batch(alpha=[None, 1.5])])
    assert gathered["alpha"].to_pylist() == [None, None, None, 1.5]
    assert "beta" not in gathered.column_names


def test_a_row_takes_few_bytes_whatever_its_paths(tmp_path: Path) -> None:
    rows = 20_000
    path = tmp_path / "pairs.parquet"
    folder = "a/long/path/" * 10
    sounds = {name: [f"{folder}{name}{row % 100}.wav" for row in range(rows)] for name in ("content", "style")}
    pq.write_table(pa.table({**sounds, "pair_id": [f"{row:016x}" for row in range(rows)]}), path)
    assert read_whole(str(path), FILES, accept).pairs.nbytes / rows < 40


def test_a_manifest_without_own_columns_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> pa.Table:
        raise AssertionError("the rows were read again")

    monkeypatch.setattr(reader, "read_own", refuse)
    assert read_whole(manifest(tmp_path, 3), FILES, accept).user is None


@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_manifest_replaced_while_it_is_read_is_refused(tmp_path: Path, whole_folder: bool) -> None:
    path = manifest(tmp_path, 2, alpha=[1.5, None], mood=["bright", "dark"])

    def replace(_: object) -> None:
        """Come between the reading of the pairs, which calls this, and that of the user's columns."""
        swapped = pd.read_parquet(path).iloc[::-1]
        (tmp_path / "new").mkdir()
        swapped.to_parquet(tmp_path / "new" / "pairs.parquet")
        target = tmp_path / "more.parquet" if whole_folder else Path(path)
        (tmp_path / "new" / "pairs.parquet").rename(target)

    given = str(tmp_path) if whole_folder else path
    with pytest.raises(ManifestError, match=rf"{given}: it was replaced while it was read\. Run again"):
        read_whole(given, FILES, replace)
