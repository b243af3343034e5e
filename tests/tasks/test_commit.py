"""A commit looks at the lease first: who lost it writes nothing, and harms nothing that the other has written."""

from __future__ import annotations

import pytest

from manifests.results import audio_uri, write_part
from tasks.commit import commit_shard
from tasks.lease import LeaseLost
from tasks.rows import Measured
from tasks.storage import Storage, StorageConflict
from tests.manifests.result_rows import succeeded
from tests.tasks.corpus import parts, take_lease

NAME = "ab" * 20
SHARD = [Measured(succeeded(NAME), b"sound")]


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


def test_what_a_killed_run_left_is_replaced(root: str) -> None:
    Storage().create(audio_uri(root, NAME), b"half a thought")
    take_lease(root, "mine")
    commit_shard(SHARD, root, "mine", 0, Storage())
    assert Storage().read(audio_uri(root, NAME)) == b"sound"


class TakenOver(Storage):
    """A storage in which another run takes over, and commits, once the audio that is there has been read."""

    def load(self, uri: str) -> tuple[bytes, str] | None:
        found = super().load(uri)
        if uri.endswith(".flac"):
            self.before_replacing(uri)
        return found

    def before_replacing(self, uri: str) -> None:
        take_lease(uri.partition("/audio/")[0], "theirs")


class TakenOverLate(TakenOver):
    """The same, with the lease already looked at: the other's lease is gone again, its audio is there."""

    def before_replacing(self, uri: str) -> None:
        with Storage().writing(uri) as sink:
            sink.write(b"theirs")


@pytest.mark.parametrize(("files", "raised", "left"), [
    (TakenOver(), LeaseLost, b"a killed run's"),
    (TakenOverLate(), StorageConflict, b"theirs"),
])  # fmt: skip
def test_who_is_taken_over_while_it_commits_leaves_the_audio_of_the_other(
    root: str, files: Storage, raised: type[Exception], left: bytes
) -> None:
    Storage().create(audio_uri(root, NAME), b"a killed run's")
    take_lease(root, "mine")
    with pytest.raises(raised):
        commit_shard(SHARD, root, "mine", 0, files)
    assert Storage().read(audio_uri(root, NAME)) == left
    assert parts(root) == []


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
    commit_shard([Measured(succeeded(NAME), b"another sound")], root, "mine", 0, Storage())
    assert Storage().read(audio_uri(root, NAME)) == b"sound"
    assert len(parts(root)) == 1


class CommittedMeanwhile(Storage):
    """A storage in which another worker of the run commits once the audio that is there has been read."""

    def load(self, uri: str) -> tuple[bytes, str] | None:
        found = super().load(uri)
        if uri.endswith(".flac"):
            root = uri.partition("/audio/")[0]
            Storage().swap(uri, b"theirs", found and found[1])
            write_part(Storage(), root, "mine", 0, [succeeded(NAME)])
        return found


def test_audio_of_a_shard_that_is_committed_meanwhile_is_not_replaced(root: str) -> None:
    Storage().create(audio_uri(root, NAME), b"a lost worker's")
    take_lease(root, "mine")
    with pytest.raises(FileExistsError, match="shard 0 of run mine"):
        commit_shard(SHARD, root, "mine", 0, CommittedMeanwhile())
    assert Storage().read(audio_uri(root, NAME)) == b"theirs"
