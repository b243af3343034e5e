"""Folding: many small files of the history become one while runs are at work, and no row is lost or doubled by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from manifests.files import join
from manifests.results.compaction import compact
from manifests.results.history import (
    known_names,
    listed_parts,
    part_name,
    part_uris,
    read_rows,
    stream_rows,
    with_parts,
)
from manifests.results.layout import part_uri, seal_part
from manifests.results.snapshots import write_snapshot
from tasks.ledger import folding
from tasks.ledger.commit import ResultRow, commit_shard
from tasks.ledger.fencing import announce
from tasks.ledger.folding import fold
from tasks.ledger.lease import LeaseLost, holding
from tasks.storage.storage import Storage
from tests.manifests.result_rows import commit, plan_of, succeeded

FILES = Storage()
NAMES = [f"{number:040x}" for number in range(6)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return an output root with six parts of one pair each, where so many are folded; the run holds the lease."""
    monkeypatch.setattr(folding, "MANY", len(NAMES))
    root = str(tmp_path / "out")
    with holding(FILES, root, "r1"):
        for shard, name in enumerate(NAMES):
            commit(root, "r1", shard, [name])
        yield root


def names(root: str) -> list[str]:
    return [part_name(root, uri) for uri in listed_parts(FILES, root)]


def rows(root: str) -> list[str]:
    found: list[str] = read_rows(FILES, root, ["fingerprint"])["fingerprint"].to_pylist()
    return sorted(found)


def during_once(action: Callable[[], object]) -> Callable[[], None]:
    """Return what does something when it is called first."""
    left = [action]

    def go_on() -> None:
        if left:
            left.pop()()

    return go_on


def test_many_small_files_become_one_with_the_same_rows(root: str) -> None:
    before = read_rows(FILES, root, ["run_id", "shard", "fingerprint", "finished_at", "output"])
    known = known_names(FILES, root)
    fold(FILES, root, "r1")
    assert names(root) == ["compacted-000001.parquet"]
    assert read_rows(FILES, root, before.column_names).equals(before)
    assert known_names(FILES, root) == known | {"compacted-000001.parquet"}


def test_a_few_and_large_ones_are_left(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(root)
    monkeypatch.setattr(folding, "SMALL_BYTES", 100)
    fold(FILES, root, "r1")
    monkeypatch.undo()
    fold(FILES, root, "r1")
    assert names(root) == before


def test_folded_files_are_folded_again_and_no_name_is_forgotten(root: str) -> None:
    fold(FILES, root, "r1")
    announce(FILES, root, "r1", part_uri(root, "r1", 16))  # what it has created is announced no more
    for shard in range(10, 17):
        commit(root, "r1", shard, [f"{shard:040x}"])
    known = known_names(FILES, root)
    fold(FILES, root, "r1")
    assert names(root) == ["compacted-000002.parquet", "run_id=r1/part-00016.parquet"]
    assert known_names(FILES, root) == known | {"compacted-000002.parquet"}
    assert len(rows(root)) == 13


def test_of_two_slices_that_fold_the_same_files_one_does(root: str) -> None:
    fold(FILES, root, "r1", during_once(lambda: fold(FILES, root, "r1")))
    assert names(root) == ["compacted-000001.parquet"]
    assert rows(root) == NAMES


def test_a_number_that_was_given_and_folded_away_while_one_was_paused_removes_nothing(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused after it has chosen three files: meanwhile others have used its number, and folded that away."""
    monkeypatch.setattr(folding, "MANY", 3)
    chosen = part_uris(FILES, root)[:3]
    others = part_uris(FILES, root)[3:]

    def meanwhile(*_: object) -> None:
        compact(FILES, root, "000001", others)
        folding.delete(FILES, others, lambda: None)
        compact(FILES, root, "000002", [join(root, "results/compacted-000001.parquet")])
        folding.delete(FILES, [join(root, "results/compacted-000001.parquet")], lambda: None)

    monkeypatch.setattr(folding, "_small", lambda *_: chosen)
    monkeypatch.setattr(folding, "announce", meanwhile)
    fold(FILES, root, "r1")
    assert rows(root) == NAMES
    monkeypatch.undo()
    monkeypatch.setattr(folding, "MANY", 3)
    fold(FILES, root, "r1")
    assert (len(names(root)), rows(root)) == (1, NAMES)


@pytest.mark.parametrize("where", ["local", "S3"])
def test_a_reader_of_folded_files_begins_again(
    where: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "MANY", 2)
    root = join(request.getfixturevalue("s3"), "folded") if where == "S3" else str(tmp_path)
    for shard, name in enumerate(NAMES):
        commit(root, "r1", shard, [name])
    seen: list[list[str]] = []

    def read(parts: list[str]) -> list[str]:
        seen.append(parts)
        if len(seen) == 1:
            fold(FILES, root, "r1")
        tables = stream_rows(FILES, parts, ["fingerprint"], 1)
        return [name for table in tables for name in table["fingerprint"].to_pylist()]

    with holding(FILES, root, "r1"):
        assert with_parts(FILES, root, read) == NAMES
        assert [len(parts) for parts in seen] == [6, 1]
        for shard, name in enumerate(NAMES[:3]):
            commit(root, "r2", shard, [name])
        folded = during_once(lambda: fold(FILES, root, "r1"))  # between choosing the rows and reading them
        assert write_snapshot(FILES, root, "r1", plan_of(NAMES), None, go_on=folded) == len(NAMES)
        assert names(root) == ["compacted-000001.parquet", "compacted-000002.parquet"]


def test_a_listing_that_misses_what_was_folded_meanwhile_is_made_again(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first answer was given before the compaction, its second after what that stands for was removed."""
    whole = FILES.find

    def find(folder: str) -> list[str]:
        before = whole(folder)
        fold(FILES, root, "r1")
        return [uri for uri in before if FILES.exists(uri)]

    answers = [find]
    monkeypatch.setattr(FILES, "find", lambda folder: (answers.pop() if answers else whole)(folder))
    assert rows(root) == NAMES


def test_what_a_killed_one_has_left_goes_with_the_next(root: str) -> None:
    def killed() -> None:
        if "compacted-000001.parquet" in names(root):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fold(FILES, root, "r1", killed)
    assert (len(names(root)), rows(root)) == (7, NAMES)
    fold(FILES, root, "r1")
    assert (names(root), rows(root)) == (["compacted-000001.parquet"], NAMES)


def test_who_was_taken_over_folds_nothing(root: str) -> None:
    before = names(root)
    with pytest.raises(LeaseLost):
        fold(FILES, root, "paused")
    assert names(root) == before


def test_what_keeps_others_from_committing_stays(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seal_part(FILES, part_uri(root, "paused", 0))
    announce(FILES, root, "r1", part_uri(root, "r1", 5))  # as by a worker that is about to find it there
    monkeypatch.setattr(folding, "MANY", 2)
    fold(FILES, root, "r1")
    left = ["compacted-000001.parquet", "run_id=paused/part-00000.parquet", "run_id=r1/part-00005.parquet"]
    assert (names(root), rows(root)) == (left, NAMES)


def test_a_worker_that_was_taken_for_lost_commits_a_folded_shard_in_vain(root: str) -> None:
    fold(FILES, root, "r1")
    commit_shard([ResultRow(succeeded(NAMES[2]), b"other bytes")], root, "r1", 2, FILES)
    assert rows(root) == NAMES
    fold(FILES, root, "r1")
    assert (names(root), rows(root)) == (["compacted-000001.parquet"], NAMES)


def test_a_file_that_is_listed_and_never_there_is_an_error(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ghost = part_uri(root, "ghost", 0)
    found = FILES.find
    monkeypatch.setattr(FILES, "find", lambda folder: [*found(folder), ghost])
    with pytest.raises(Exception, match=r"ghost.*no such file"):
        with_parts(FILES, root, lambda parts: pa.concat_tables(stream_rows(FILES, parts, ["fingerprint"], 9)))
