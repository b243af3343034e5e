"""A commit looks at the lease first: who lost it writes nothing, and harms nothing that the other has written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from manifests.results.history import read_rows
from manifests.results.layout import audio_uri
from tasks.ledger.commit import ResultRow, commit_shard
from tasks.ledger.holders import holders_of
from tasks.ledger.lease import LeaseLost, holding
from tasks.storage.storage import Storage
from tests.manifests.result_rows import succeeded
from tests.tasks.corpus import parts, take_lease

NAME = "ab" * 20
SHARD = [ResultRow(succeeded(NAME), b"sound")]


@pytest.fixture
def root(anywhere: str) -> str:
    return f"{anywhere}/out"


def test_the_holder_writes_audio_and_rows(root: str) -> None:
    take_lease(root, "mine")
    commit_shard(SHARD, root, "mine", 0, Storage())
    assert Storage().read(audio_uri(root, NAME)) == b"sound"
    assert len(parts(root)) == 1


def test_who_lost_the_lease_writes_nothing(root: str) -> None:
    take_lease(root, "theirs")
    with pytest.raises(LeaseLost, match="theirs"):
        commit_shard(SHARD, root, "mine", 0, Storage())
    assert parts(root) == []
    assert not Storage().exists(audio_uri(root, NAME))


def audio_of(root: str) -> dict[str, bytes]:
    """Return the audio that the rows of a root name, by the run."""
    rows = read_rows(Storage(), root, ["run_id", "output"]).to_pylist()
    return {row["run_id"]: Storage().read(row["output"]) for row in rows}


@pytest.mark.parametrize("left", [b"sound", b"another sound, as a GPU makes it"])
def test_what_a_killed_run_left_stays_and_the_row_names_its_own_audio(root: str, left: bytes) -> None:
    Storage().create(audio_uri(root, NAME), left)
    take_lease(root, "mine")
    commit_shard(SHARD, root, "mine", 0, Storage())
    assert audio_of(root) == {"mine": b"sound"}
    assert Storage().read(audio_uri(root, NAME)) == left
    assert len(Storage().find(f"{root}/audio")) == (1 if left == b"sound" else 2)


def test_beside_a_paused_collection_audio_gets_names_that_it_cannot_know(root: str) -> None:
    """It may wake up and remove what it has found to be garbage, by its name."""
    Storage().create(audio_uri(root, NAME), b"sound")
    with (
        patch("tasks.ledger.lease.settle"),
        patch("tasks.ledger.lease._release"),
        holding(Storage(), root, "gc", collecting=True),
    ):
        pass
    with taking_over(), holding(Storage(), root, "mine"):
        commit_shard(SHARD, root, "mine", 0, Storage())
    Storage().delete(audio_uri(root, NAME))
    assert audio_of(root) == {"mine": b"sound"}


@contextmanager
def taking_over() -> Iterator[None]:
    """Let whoever holds a lease be given up at once, though nobody knows whether its process is dead."""
    given_up = {("mine", beats) for beats in range(100)} | {("gc", beats) for beats in range(100)}
    with patch("tasks.ledger.lease._given_up", lambda *_: given_up):
        yield


class Paused(Storage):
    """A storage before whose n-th creation the process is paused, and another run takes over and ends."""

    def __init__(self, creations: int) -> None:
        super().__init__()
        self._left = creations

    def create(self, uri: str, data: bytes) -> None:
        self._left -= 1
        if self._left == 0:
            root = uri.partition("/audio/")[0].partition("/results/")[0]
            with taking_over(), holding(Storage(), root, "theirs"):
                commit_shard(THEIRS, root, "theirs", 0, Storage())
        super().create(uri, data)


THEIRS = [ResultRow(succeeded(NAME), b"their sound")]


@pytest.mark.parametrize("creations", [1, 2], ids=["before its audio", "before its rows"])
def test_who_is_paused_and_taken_over_commits_nothing_and_harms_nothing(root: str, creations: int) -> None:
    take_lease(root, "mine")
    with pytest.raises(LeaseLost):
        commit_shard(SHARD, root, "mine", 0, Paused(creations))
    assert audio_of(root) == {"theirs": b"their sound"}
    assert holders_of(Storage(), root) == []


def test_what_was_announced_and_written_counts_also_if_another_run_takes_over(root: str) -> None:
    take_lease(root, "mine")
    commit_shard(SHARD, root, "mine", 0, Storage())
    with taking_over(), holding(Storage(), root, "theirs"):
        assert audio_of(root) == {"mine": b"sound"}
    assert len(parts(root)) == 1


def test_the_rows_are_not_written_by_who_lost_the_lease_after_the_audio(root: str) -> None:
    class TakenOverAfterAudio(Storage):
        def create(self, uri: str, data: bytes) -> None:
            super().create(uri, data)
            take_lease(root, "theirs")

    take_lease(root, "mine")
    with pytest.raises(LeaseLost):
        commit_shard(SHARD, root, "mine", 0, TakenOverAfterAudio())
    assert parts(root) == []


def test_a_shard_that_another_worker_of_the_run_has_committed_is_left_alone(root: str) -> None:
    """Ray takes a worker for lost that is only slow: both commit, and on a GPU their samples differ."""
    take_lease(root, "mine")
    commit_shard(SHARD, root, "mine", 0, Storage())
    commit_shard([ResultRow(succeeded(NAME), b"another sound")], root, "mine", 0, Storage())
    assert Storage().read(audio_uri(root, NAME)) == b"sound"
    assert len(parts(root)) == 1


class CommittedMeanwhile(Storage):
    """A storage in which another worker of the run commits before this one creates its rows."""

    def create(self, uri: str, data: bytes) -> None:
        if "/results/" in uri:
            commit_shard(THEIRS, uri.partition("/results/")[0], "mine", 0, Storage())
        super().create(uri, data)


def test_a_shard_that_is_committed_meanwhile_by_another_worker_is_left_alone(root: str) -> None:
    Storage().create(audio_uri(root, NAME), b"a lost worker's")
    take_lease(root, "mine")
    commit_shard(SHARD, root, "mine", 0, CommittedMeanwhile())
    assert audio_of(root) == {"mine": b"their sound"}
    assert len(parts(root)) == 1
