"""What every storage promises: local files, a real S3 server, and the storage in memory that the simulation uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.files import Files, join
from tasks.storage.local_files import LocalFiles
from tasks.storage.s3_files import S3Files
from tasks.storage.storage_errors import StorageConflict
from tests.simulation.memory import MemoryFiles


@pytest.fixture(params=["local", "s3", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, str]:
    """Return a storage and an empty folder on it."""
    if request.param == "s3":
        return S3Files(), request.getfixturevalue("s3")
    return (LocalFiles(), str(tmp_path)) if request.param == "local" else (MemoryFiles(), "s3://memory/x")


@pytest.fixture
def files(place: tuple[Files, str]) -> Files:
    return place[0]


@pytest.fixture
def root(place: tuple[Files, str]) -> str:
    return place[1]


def write(files: Files, uri: str, data: bytes) -> str:
    with files.writing(uri) as stream:
        stream.write(data)
    return uri


def test_a_file_is_created_once_from_a_local_one(place: tuple[Files, str], tmp_path: Path) -> None:
    """Also from one that takes several uploads."""
    files, root = place
    source, uri = tmp_path / "source", join(root, "deep/whole")
    source.write_bytes(bytes(range(256)) * (9 << 12))
    files.create(uri, source)
    assert files.read(uri) == source.read_bytes()
    with pytest.raises(FileExistsError):
        files.create(uri, source)


def test_a_file_is_created_once(files: Files, root: str) -> None:
    uri = join(root, "deep/once")
    files.create(uri, b"first")
    with pytest.raises(FileExistsError):
        files.create(uri, b"second")
    assert files.read(uri) == b"first"
    files.delete(uri)
    files.create(uri, b"third")
    assert files.read(uri) == b"third"


def test_a_file_is_swapped_by_who_read_its_last_version(files: Files, root: str) -> None:
    uri = join(root, "deep/state")
    assert files.load(uri) is None
    first = files.swap(uri, b"first", None)
    assert files.load(uri) == (b"first", first)
    second = files.swap(uri, b"second", first)
    assert files.load(uri) == (b"second", second)
    for outdated in (None, first):
        with pytest.raises(StorageConflict):
            files.swap(uri, b"late", outdated)
    files.delete(uri)
    with pytest.raises(StorageConflict):
        files.swap(uri, b"late", second)
    assert files.load(uri) is None


def test_of_equal_bytes_the_version_is_equal(files: Files, root: str) -> None:
    """So none can tell that a file was changed and changed back: nothing may rest on that."""
    first = files.swap(join(root, "a"), b"one", None)
    second = files.swap(join(root, "a"), b"two", first)
    assert files.swap(join(root, "a"), b"one", second) == first


def test_a_file_is_replaced_only_if_it_is_what_it_was(files: Files, root: str) -> None:
    uri = join(root, "deep/table")
    with files.replacing(uri, None) as stream:
        stream.write(b"first")
    first = files.stat(uri)
    with files.replacing(uri, first) as stream:
        stream.write(b"the second")
        assert files.read(uri) == b"first"
    for outdated in (None, first):
        with pytest.raises(StorageConflict), files.replacing(uri, outdated) as stream:
            stream.write(b"late")
    second = files.stat(uri)
    files.delete(uri)
    with pytest.raises(StorageConflict), files.replacing(uri, second) as stream:
        stream.write(b"late")
    assert files.find(root) == []


def test_what_is_raised_while_a_file_is_replaced_leaves_it_as_it_was(files: Files, root: str) -> None:
    uri = write(files, join(root, "table"), b"old")
    for writing in (files.writing(uri), files.replacing(uri, files.stat(uri))):
        with pytest.raises(ZeroDivisionError), writing as stream:
            stream.write(b"half" * (1 // 0))
    assert files.read(uri) == b"old"
    assert files.find(root) == [uri]


def test_files_are_found_below_a_folder_and_nowhere_else(files: Files, root: str) -> None:
    uris = [write(files, join(root, name), b"x") for name in ("a/1.wav", "a/b/2.wav", "a.wav", "ab/3.wav")]
    assert files.find(join(root, "a")) == uris[:2]
    assert files.find(root) == sorted(uris)
    assert files.find(join(root, "absent")) == []
    assert files.glob(join(root, "*/*.wav")) == [uris[0], uris[3]]
    assert files.glob(join(root, "**/*.wav")) == sorted(uris)
    assert files.exists(join(root, "a"))
    assert files.is_folder(join(root, "a"))
    assert not files.is_folder(uris[2])
    assert not files.exists(join(root, "absent"))


def test_a_version_changes_with_the_content(files: Files, root: str) -> None:
    uri = write(files, join(root, "file"), b"old")
    before = files.stat(uri)
    write(files, uri, b"new")
    assert (before.size, before.version != files.stat(uri).version) == (3, True)


@pytest.mark.parametrize("call", ["open", "read", "stat", "delete"])
def test_what_is_not_there_cannot_be_read(files: Files, root: str, call: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(files, call)(join(root, "absent"))


@pytest.mark.parametrize("call", ["open", "read", "stat"])
def test_a_folder_is_no_file(files: Files, root: str, call: str) -> None:
    write(files, join(root, "folder/file"), b"x")
    with pytest.raises(IsADirectoryError):
        getattr(files, call)(join(root, "folder"))


def test_a_file_is_read_from_any_place(files: Files, root: str) -> None:
    uri = write(files, join(root, "file"), b"0123456789")
    with files.open(uri) as stream:
        assert stream.seek(4) == 4
        assert stream.read(3) == b"456"
        assert stream.seek(-2, 2) == 8
        assert stream.read() == b"89"
