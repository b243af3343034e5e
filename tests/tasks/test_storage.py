"""Storage keeps its promises on a real disk and on a real S3 server: whole files or none, and errors that say where."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from s3fs import S3FileSystem

from manifests.files import Files, FileStat, join
from tasks.interruption import request_stop
from tasks.storage.s3_files import PART_BYTES, S3Files
from tasks.storage.storage import Storage, StorageConflict, StorageError, StorageUnreachable
from tests.seaweed import DroppingRelay, SeaweedServer


@pytest.fixture
def files() -> Storage:
    return Storage()


@pytest.fixture
def root(anywhere: str) -> str:
    return anywhere


def _http_sessions(files: S3Files) -> list[Any]:
    return [*files._s3._s3._endpoint.http_session._sessions.values()]


def write(files: Files, uri: str, data: bytes) -> str:
    with files.writing(uri) as stream:
        stream.write(data)
    return uri


class TestReading:
    def test_a_written_file_is_read_back(self, files: Storage, root: str) -> None:
        uri = write(files, join(root, "deep/folder/sound.bin"), b"0123456789")
        assert files.read(uri) == b"0123456789"
        with files.open(uri) as stream:
            assert stream.seek(4) == 4
            assert stream.read(3) == b"456"
            assert stream.seek(-2, os.SEEK_END) == 8
            assert stream.read() == b"89"

    def test_an_empty_file_is_a_file(self, files: Storage, root: str) -> None:
        uri = write(files, join(root, "empty.bin"), b"")
        assert files.read(uri) == b""
        assert files.stat(uri).size == 0
        assert files.exists(uri)

    @pytest.mark.parametrize("name", ["a b.bin", "Größe é.bin", "100%.bin", "plus+and&.bin", "[1].bin", "a?b#c.bin"])
    def test_any_name_is_a_name(self, files: Storage, root: str, name: str) -> None:
        uri = write(files, join(root, name), b"data")
        assert files.read(uri) == b"data"
        assert files.find(root) == [uri]

    @pytest.mark.parametrize("call", ["open", "read", "stat", "delete"])
    def test_a_missing_file_is_named(self, files: Storage, root: str, call: str) -> None:
        uri = join(root, "missing.bin")
        with pytest.raises(FileNotFoundError, match=r"missing\.bin"):
            getattr(files, call)(uri)
        assert not files.exists(uri)

    @pytest.mark.parametrize("call", ["open", "read", "stat"])
    def test_a_folder_is_no_file(self, files: Storage, root: str, call: str) -> None:
        write(files, join(root, "folder/file.bin"), b"data")
        with pytest.raises(IsADirectoryError, match="folder"):
            getattr(files, call)(join(root, "folder"))
        assert files.exists(join(root, "folder"))
        assert files.is_folder(join(root, "folder"))
        assert not files.is_folder(join(root, "folder/file.bin"))
        assert not files.is_folder(join(root, "fol"))

    def test_a_version_changes_with_the_content(self, files: Storage, root: str) -> None:
        uri = write(files, join(root, "file.bin"), b"old")
        old = files.stat(uri)
        write(files, uri, b"new")
        assert old.size == files.stat(uri).size == 3
        assert old.version
        assert old.version != files.stat(uri).version

    def test_a_local_version_is_the_time_of_the_last_change(self, files: Storage, tmp_path: Path) -> None:
        path = tmp_path / "file.bin"
        path.write_bytes(b"data")
        assert files.stat(str(path)) == FileStat(4, str(path.stat().st_mtime_ns))


class TestListing:
    def test_find_lists_every_file_below_and_nothing_beside(self, files: Storage, root: str) -> None:
        names = ["a/2.wav", "a/b/1.wav", "a/b.wav", "ab/3.wav"]
        for name in names:
            write(files, join(root, name), b"x")
        assert files.find(join(root, "a")) == [join(root, name) for name in sorted(names[:3])]
        assert files.find(root) == [join(root, name) for name in sorted(names)]

    def test_find_in_an_absent_or_emptied_folder_is_empty(self, files: Storage, root: str) -> None:
        uri = write(files, join(root, "emptied/file.bin"), b"x")
        files.delete(uri)
        assert files.find(join(root, "emptied")) == files.find(join(root, "absent")) == []
        assert not files.exists(uri)

    def test_glob_matches_files_only(self, files: Storage, root: str) -> None:
        for name in ["1.wav", "2.flac", "deep/3.wav", "folder.wav/4.txt"]:
            write(files, join(root, name), b"x")
        assert files.glob(join(root, "*.wav")) == [join(root, "1.wav")]
        assert files.glob(join(root, "**/*.wav")) == [join(root, "1.wav"), join(root, "deep/3.wav")]
        assert files.glob(join(root, "*.ogg")) == []

    def test_glob_sees_names_with_a_dot_in_front_on_every_storage(self, files: Storage, root: str) -> None:
        names = [".a.wav", ".deep/b.wav", "deep/.c.wav"]
        for name in names:
            write(files, join(root, name), b"x")
        assert files.glob(join(root, "**/*.wav")) == [join(root, name) for name in names]
        assert files.glob(join(root, "*/*.wav")) == [join(root, name) for name in names[1:]]


class TestWriting:
    def test_a_file_appears_only_at_a_clean_exit(self, files: Storage, root: str) -> None:
        uri = write(files, join(root, "file.bin"), b"old")
        with files.writing(uri) as stream:
            stream.write(b"new")
            stream.flush()
            assert files.read(uri) == b"old"
            assert files.find(root) == [uri]
        assert files.read(uri) == b"new"

    def test_an_exception_leaves_the_old_file_and_nothing_else(self, files: Storage, root: str) -> None:
        uri = write(files, join(root, "file.bin"), b"old")

        def write_half() -> None:
            with files.writing(uri) as stream:
                stream.write(b"half")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            write_half()
        assert files.read(uri) == b"old"
        assert files.find(root) == [uri]

    def test_a_large_file_survives_in_one_piece(self, files: Storage, root: str) -> None:
        data = os.urandom(2 * PART_BYTES + 12_345)
        uri = write(files, join(root, "large.bin"), data)
        assert files.stat(uri).size == len(data)
        with files.open(uri) as stream:
            stream.seek(PART_BYTES - 1)
            assert stream.read(2) == data[PART_BYTES - 1 : PART_BYTES + 1]
        assert files.read(uri) == data

    def test_nothing_half_written_lies_on_the_disk(self, files: Storage, tmp_path: Path) -> None:
        write(files, str(tmp_path / "file.bin"), b"data")
        files.create(str(tmp_path / "once.bin"), b"data")
        assert {path.name for path in tmp_path.iterdir()} == {"file.bin", "once.bin"}


class TestWritingOnce:
    def test_the_second_writer_is_refused(self, files: Storage, root: str) -> None:
        uri = join(root, "deep/once.bin")
        files.create(uri, b"first")
        with pytest.raises(FileExistsError, match=r"once\.bin"):
            files.create(uri, b"second")
        assert files.read(uri) == b"first"

    def test_of_many_writers_one_wins(self, files: Storage, root: str) -> None:
        uri = join(root, "once.bin")
        start = threading.Barrier(8)

        def claim(writer: int) -> int | None:
            start.wait()
            try:
                files.create(uri, f"writer {writer}".encode())
            except FileExistsError:
                return None
            return writer

        with ThreadPoolExecutor(8) as pool:
            winners = [winner for winner in pool.map(claim, range(8)) if winner is not None]
        assert len(winners) == 1
        assert files.read(uri) == f"writer {winners[0]}".encode()
        assert files.find(root) == [uri]

    def test_a_lost_answer_does_not_turn_the_writer_against_itself(
        self, files: Storage, s3: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The PUT arrives, its answer does not, and it is sent again: what a retry inside botocore does."""
        send = S3FileSystem.pipe_file

        def send_twice(client: S3FileSystem, *args: object, **options: object) -> object:
            send(client, *args, **options)
            return send(client, *args, **options)

        monkeypatch.setattr(S3FileSystem, "pipe_file", send_twice)
        files.create(join(s3, "once.bin"), b"data")
        assert files.read(join(s3, "once.bin")) == b"data"


class TestSwapping:
    def test_a_file_is_replaced_by_who_read_its_last_version(self, files: Storage, root: str) -> None:
        uri = join(root, "deep/state.json")
        assert files.load(uri) is None
        first = files.swap(uri, b"first", None)
        assert files.load(uri) == (b"first", first)
        second = files.swap(uri, b"second", first)
        for outdated in (None, first):
            with pytest.raises(StorageConflict, match=r"state\.json"):
                files.swap(uri, b"late", outdated)
        assert files.load(uri) == (b"second", second)
        assert files.find(root) == [uri]

    def test_what_was_deleted_is_not_replaced(self, files: Storage, root: str) -> None:
        uri = join(root, "state.json")
        version = files.swap(uri, b"first", None)
        files.delete(uri)
        with pytest.raises(StorageConflict):
            files.swap(uri, b"second", version)
        assert files.load(uri) is None

    def test_no_addition_of_many_is_lost(self, files: Storage, root: str) -> None:
        uri = join(root, "count")
        files.swap(uri, b"0", None)

        def add_one(_: int) -> None:
            while True:
                found = files.load(uri)
                assert found is not None
                try:
                    files.swap(uri, str(int(found[0]) + 1).encode(), found[1])
                except StorageConflict:
                    continue
                return

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add_one, range(12)))
        assert files.read(uri) == b"12"

    def test_a_lost_answer_is_no_conflict_with_oneself(
        self, files: Storage, s3: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The PUT arrives, its answer does not, and it is sent again."""
        send = S3Files._swap

        def send_twice(client: S3Files, *arguments: Any) -> str:
            send(client, *arguments)
            return send(client, *arguments)

        uri = join(s3, "state.json")
        version = files.swap(uri, b"first", None)
        monkeypatch.setattr(S3Files, "_swap", send_twice)
        version = files.swap(uri, b"second", version)
        assert files.load(uri) == (b"second", version)


class TestFaults:
    @pytest.mark.parametrize("call", ["read", "stat", "exists", "find", "delete"])
    def test_wrong_credentials_are_a_storage_error(self, s3: str, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        write(Storage(), join(s3, "file.bin"), b"data")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(StorageError, match=rf"{s3}/file\.bin"):
            getattr(Storage(), call)(join(s3, "file.bin"))

    @pytest.mark.usefixtures("s3")
    def test_a_missing_bucket_is_missing(self, files: Storage) -> None:
        uri = "s3://timbreflow-absent/file.bin"
        with pytest.raises(FileNotFoundError):
            files.read(uri)
        assert not files.exists(uri)
        assert files.find("s3://timbreflow-absent") == []
        with pytest.raises((StorageError, FileNotFoundError), match="absent"):
            write(files, uri, b"data")

    def test_dropped_connections_are_tried_again(
        self, s3: str, seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri = write(Storage(), join(s3, "file.bin"), b"data")
        with DroppingRelay(seaweed.address, drops=2) as relay:
            monkeypatch.setenv("AWS_ENDPOINT_URL", relay.endpoint)
            assert Storage().read(uri) == b"data"
            assert relay.connections > 2

    def test_a_server_that_stays_away_is_a_storage_error(
        self, files: Storage, s3: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TIMBREFLOW_STORAGE_RETRY_TIMEOUT_S", "2")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(StorageUnreachable, match=rf"cannot write '{s3}/file\.bin': .* has not answered for"):
            write(files, join(s3, "file.bin"), b"data")

    def test_a_request_to_stop_ends_the_wait_for_a_server(
        self, files: Storage, s3: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TIMBREFLOW_STORAGE_RETRY_TIMEOUT_S", "3600")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        threading.Timer(1, request_stop).start()
        with pytest.raises(StorageUnreachable):
            files.read(join(s3, "file.bin"))

    def test_a_client_dropped_within_another_loop_is_closed_on_its_own(self, s3: str) -> None:
        uri, faults, connectors = join(s3, "file.bin"), [], []

        def use() -> None:
            files = S3Files()
            files.create(uri, b"data")
            connectors.extend(session._connector for session in _http_sessions(files))

        async def drop() -> None:
            """Leave a client, caught in the cycles of its references, to the collector, here: where a loop runs."""
            asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
            await asyncio.to_thread(use)
            gc.collect()
            for _ in range(100):
                if all(connector.closed for connector in connectors):
                    break
                await asyncio.sleep(0.05)
            gc.collect()

        gc.collect()  # the clients of tests before this one
        asyncio.run(drop())
        assert faults == []
        assert [connector.closed for connector in connectors] == [True]

    def test_a_file_where_a_folder_is_needed_is_a_storage_error(self, files: Storage, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"data")
        with pytest.raises(StorageError, match="cannot read"):
            files.read(str(tmp_path / "file" / "below.bin"))

    @pytest.mark.parametrize("call", [Storage.read, Storage.find])
    def test_what_may_not_be_read_is_a_storage_error(
        self, files: Storage, tmp_path: Path, call: Callable[[Storage, str], object]
    ) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o000)
        try:
            with pytest.raises(StorageError, match="locked"):
                call(files, str(locked))
        finally:
            locked.chmod(0o700)


@pytest.mark.parametrize("name", ["below.bin", "deep/below.bin"])
def test_a_file_in_place_of_a_folder_is_not_taken_for_a_file_that_is_there(
    files: Storage, tmp_path: Path, name: str
) -> None:
    (tmp_path / "taken").write_bytes(b"data")
    uri = str(tmp_path / "taken" / name)
    with pytest.raises(StorageError, match=name):
        files.create(uri, b"data")
    with pytest.raises(StorageError, match=name):
        write(files, uri, b"data")
    assert (tmp_path / "taken").read_bytes() == b"data"


def test_entries_are_what_lies_right_in_a_folder(anywhere: str, files: Storage) -> None:
    assert list(files.entries(join(anywhere, "names"))) == []
    for name, data in {"names/a": b"1", "names/b": b"22", "names/deep/c": b"333", "names2": b"4", "d": b"5"}.items():
        with files.writing(join(anywhere, name)) as sink:
            sink.write(data)
    found = dict(files.entries(join(anywhere, "names")))
    assert {name: size for name, size in found.items() if size >= 0} == {"a": 1, "b": 2}
    assert found.get("deep", -1) == -1


def test_a_link_takes_the_place_of_what_is_there_and_needs_one_local_disk(
    tmp_path: Path, files: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, name = str(tmp_path / "source"), str(tmp_path / "deep" / "name")
    (tmp_path / "source").write_bytes(b"bytes")
    for _ in range(2):
        assert files.link(source, name)
        assert os.path.samefile(source, name)
    with pytest.raises(FileNotFoundError):
        files.link(str(tmp_path / "none"), name)
    assert os.listdir(tmp_path / "deep") == ["name"]
    assert not files.link("s3://bucket/source", name)
    for number in (errno.EXDEV, errno.EPERM, errno.EMLINK):

        def refused(*names: object, number: int = number) -> None:
            raise OSError(number, "no link")

        monkeypatch.setattr(os, "link", refused)
        assert not files.link(source, name)
    assert os.listdir(tmp_path / "deep") == ["name"]
