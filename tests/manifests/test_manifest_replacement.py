"""A manifest that would empty the snapshot is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from manifests.results.layout import latest_uri
from manifests.results.replacement_guard import refuse_another_manifest
from manifests.results.snapshots import write_snapshot
from manifests.schema import ManifestError
from tasks.storage.storage import Storage
from tests.manifests.result_rows import commit, plan_of

FILES = Storage()
TEN = [f"pair-{number}" for number in range(10)]


def refuse(root: str, pair_ids: Sequence[str]) -> None:
    refuse_another_manifest(FILES, root, pa.chunked_array([pa.array(pair_ids, pa.string())]))


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Return an output root whose snapshot has ten pairs."""
    root = str(tmp_path / "output")
    commit(root, "r1", 0, TEN)
    write_snapshot(FILES, root, "r1", plan_of(TEN), None)
    return root


def test_half_of_the_pairs_may_go(root: str) -> None:
    refuse(root, TEN[:5])
    refuse(root, [*TEN[5:], "new-1", "new-2"])


def test_more_than_half_may_not(root: str) -> None:
    message = rf"6 of its 10 pairs are not among the 4 of this manifest.*output root than {root}.*--replace"
    with pytest.raises(ManifestError, match=message):
        refuse(root, TEN[:4])
    with pytest.raises(ManifestError, match="10 of its 10 pairs are not among the 100 of this manifest"):
        refuse(root, [f"other-{number}" for number in range(100)])


def test_a_root_without_a_snapshot_takes_any_manifest(tmp_path: Path) -> None:
    refuse(str(tmp_path / "nowhere"), ["a"])


def test_a_snapshot_without_pairs_takes_any_manifest(tmp_path: Path) -> None:
    root = str(tmp_path)
    write_snapshot(FILES, root, "r1", plan_of(TEN), None)
    assert pd.read_parquet(latest_uri(root)).empty
    refuse(root, ["a"])


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"not Parquet", "not a Parquet file.*Move it away"), (None, "not a result of timbreflow.*Move it away")],
    ids=["damaged", "foreign"],
)
def test_a_table_of_somebody_else_is_not_replaced(tmp_path: Path, data: bytes | None, message: str) -> None:
    path = tmp_path / "results.parquet"
    pd.DataFrame({"pair_id": ["a"]}).to_parquet(path) if data is None else path.write_bytes(data)
    with pytest.raises(ManifestError, match=message):
        refuse(str(tmp_path), ["a"])


def test_on_s3(s3: str) -> None:
    commit(s3, "r1", 0, TEN)
    write_snapshot(FILES, s3, "r1", plan_of(TEN), None)
    refuse(s3, TEN)
    with pytest.raises(ManifestError, match="10 of its 10 pairs"):
        refuse(s3, ["a"])
