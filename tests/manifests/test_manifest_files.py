"""The string work on URIs."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.files import absolute, join, parent, relative_to, resolve

NAMES = st.lists(st.sampled_from(["a", "b", "sounds", "über", "x y", "c.flac"]), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("written", "base", "uri"),
    [
        ("harp.flac", "/data", "/data/harp.flac"),
        ("./a/../harp.flac", "/data", "/data/harp.flac"),
        ("../harp.flac", "/data/manifests", "/data/harp.flac"),
        ("/media/harp.flac", "/data", "/media/harp.flac"),
        ("//media/harp.flac", "/data", "/media/harp.flac"),
        ("file:///media/a%20b.flac", "/data", "/media/a b.flac"),
        ("file://localhost/media/b.flac", "/data", "/media/b.flac"),
        ("s3://bucket/a/../b.flac", "/data", "s3://bucket/a/../b.flac"),
        ("S3://bucket/b.flac", "/data", "s3://bucket/b.flac"),
        ("harp.flac", "s3://bucket", "s3://bucket/harp.flac"),
        ("../harp.flac", "s3://bucket/manifests", "s3://bucket/harp.flac"),
        ("a:b.flac", "/data", "/data/a:b.flac"),
    ],
)
def test_resolve(written: str, base: str, uri: str) -> None:
    assert resolve(written, base) == uri


@pytest.mark.parametrize(
    ("written", "base", "message"),
    [
        ("https://host/a.wav", "/data", "scheme 'https'. Use a local path"),
        ("gs://bucket/a.wav", "/data", "scheme 'gs'"),
        ("file://other/a.wav", "/data", "not a file of this machine"),
        ("s3:///a.wav", "/data", "no bucket"),
        ("../../a.wav", "s3://bucket/manifests", "leaves the bucket"),
    ],
)
def test_resolve_refuses(written: str, base: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(written, base)


@pytest.mark.parametrize(
    ("uri", "base", "written"),
    [
        ("/data/a.wav", "/data", "a.wav"),
        ("/data/sounds/a.wav", "/data/manifests", "../sounds/a.wav"),
        ("/media/a.wav", "/data", "/media/a.wav"),
        ("s3://b/sounds/a.wav", "s3://b/manifests", "../sounds/a.wav"),
        ("s3://b/a.wav", "s3://b", "a.wav"),
        ("s3://b/a.wav", "s3://c", "s3://b/a.wav"),
        ("s3://b/a.wav", "/data", "s3://b/a.wav"),
        ("s3://b/x//a.wav", "s3://b", "s3://b/x//a.wav"),
    ],
)
def test_relative_to(uri: str, base: str, written: str) -> None:
    assert relative_to(uri, base) == written


@given(NAMES, NAMES, st.sampled_from(["/", "s3://bucket/"]))
def test_what_is_written_relative_resolves_to_itself(path: list[str], folder: list[str], root: str) -> None:
    uri, base = root + "/".join(path), root + "/".join(folder)
    assert resolve(relative_to(uri, base), base) == uri


def test_join_and_parent() -> None:
    assert join("/", "a", "b/") == "/a/b"
    assert join("s3://bucket", "a") == "s3://bucket/a"
    assert parent("s3://bucket/a/b") == "s3://bucket/a"
    assert parent("s3://bucket/a") == parent("s3://bucket") == "s3://bucket"
    assert parent("/a") == parent("/") == "/"


def test_absolute_starts_from_the_working_directory(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("a/pairs.parquet") == posixpath.join(str(tmp_path), "a/pairs.parquet")
    assert absolute("s3://bucket/pairs.parquet") == "s3://bucket/pairs.parquet"
