"""What is remembered of the history says what the history says, and is believed no longer than its parts are there."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pytest

from manifests.results import history_index as remembered
from manifests.results.compaction import compact
from manifests.results.history import part_uris
from manifests.results.history_index import remember, remembered_uri, stream_history
from manifests.results.planned_history import DONE, UNKNOWN, look_up
from tasks.storage.storage import Storage
from tests.manifests.result_rows import commit

NAMES = [f"pair-{number}" for number in range(6)]


class WatchedStorage(Storage):
    """Real storage that remembers which files were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def open(self, uri: str) -> BinaryIO:
        self.opened.append(uri)
        return super().open(uri)


@pytest.fixture
def files() -> WatchedStorage:
    return WatchedStorage()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an output root with three parts of one pair each, where two new parts are worth remembering."""
    monkeypatch.setattr(remembered, "WORTH_PARTS", 2)
    for shard in range(3):
        commit(str(tmp_path / "out"), "r1", shard, [NAMES[shard]])
    return str(tmp_path / "out")


def states(files: WatchedStorage, root: str) -> list[int]:
    files.opened.clear()
    names = pa.chunked_array([NAMES])
    found = look_up(files, root, names, names)
    assert (found.states == DONE).tolist() == found.named.tolist()
    return found.states.tolist()


def test_parts_that_are_remembered_are_not_opened(files: WatchedStorage, root: str) -> None:
    before = states(files, root)
    remember(files, root)
    assert states(files, root) == before == [DONE] * 3 + [UNKNOWN] * 3
    assert set(files.opened) == {remembered_uri(root)}


def test_new_parts_are_read_and_remembered_once_there_are_enough(files: WatchedStorage, root: str) -> None:
    remember(files, root)
    written = Path(remembered_uri(root)).read_bytes()
    new = commit(root, "r2", 0, NAMES[3:4])
    remember(files, root)
    assert Path(remembered_uri(root)).read_bytes() == written
    assert states(files, root) == [DONE] * 4 + [UNKNOWN] * 2
    assert set(files.opened) == {remembered_uri(root), new}
    commit(root, "r2", 1, NAMES[4:5])
    remember(files, root)
    assert states(files, root) == [DONE] * 5 + [UNKNOWN]
    assert set(files.opened) == {remembered_uri(root)}


def test_a_small_history_is_not_worth_it(files: WatchedStorage, tmp_path: Path) -> None:
    commit(str(tmp_path), "r1", 0, NAMES)
    remember(files, str(tmp_path))
    assert not Path(remembered_uri(str(tmp_path))).exists()


def test_rows_of_a_deleted_part_are_forgotten(files: WatchedStorage, root: str) -> None:
    remember(files, root)
    Path(part_uris(files, root)[1]).unlink()
    assert states(files, root) == [DONE, UNKNOWN, DONE, *[UNKNOWN] * 3]
    remember(files, root)
    assert states(files, root) == [DONE, UNKNOWN, DONE, *[UNKNOWN] * 3]


def test_rows_that_a_collection_drops_are_forgotten(files: WatchedStorage, root: str) -> None:
    remember(files, root)
    parts = part_uris(files, root)
    compact(files, root, "c", parts, pa.array([NAMES[0]]))
    for part in parts:
        Path(part).unlink()
    assert states(files, root) == [UNKNOWN, DONE, DONE, *[UNKNOWN] * 3]


@pytest.mark.parametrize("damage", [b"", b"PAR1 no more PAR1"])
def test_a_damaged_file_counts_for_nothing(files: WatchedStorage, root: str, damage: bytes) -> None:
    remember(files, root)
    Path(remembered_uri(root)).write_bytes(damage)
    assert states(files, root)[:3] == [DONE] * 3
    remember(files, root)
    assert states(files, root)[:3] == [DONE] * 3
    assert set(files.opened) == {remembered_uri(root)}


def test_a_moved_root_keeps_its_memory(files: WatchedStorage, root: str, tmp_path: Path) -> None:
    remember(files, root)
    moved = str(Path(root).rename(tmp_path / "moved"))
    assert states(files, moved)[:3] == [DONE] * 3
    assert set(files.opened) == {remembered_uri(moved)}


def test_on_s3(files: WatchedStorage, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "WORTH_PARTS", 2)
    for shard in range(2):
        commit(s3, "r1", shard, [NAMES[shard]])
    remember(files, s3)
    assert states(files, s3) == [DONE] * 2 + [UNKNOWN] * 4
    assert set(files.opened) == {remembered_uri(s3)}


def test_names_and_rows_are_of_one_version(files: WatchedStorage, root: str) -> None:
    """Another slice may remember more while this one reads: rows are then read once all the same."""
    remember(files, root)
    stream = stream_history(files, root, 1)
    read = [next(stream)]
    for shard in (3, 4):
        commit(root, "r1", shard, [NAMES[shard]])
    remember(Storage(), root)
    read += stream
    assert pa.concat_tables(read)["pair_id"].to_pylist() == NAMES[:3]
