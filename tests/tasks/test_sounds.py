"""What planning knows of sounds: an unchanged one is not read again, a changed one is, a bad one never stops it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from manifests.files import join
from manifests.schema import ERROR_TYPES
from tasks.audio import sound_files as audio
from tasks.audio.catalog import Sound, identify, memo_uri, read_memo, write_memo
from tasks.audio.sandbox import Decoders
from tasks.storage.storage import Storage, StorageUnreachable
from tests.tasks.corpus import write_cut


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
def harp(tmp_path: Path) -> str:
    return write_cut(tmp_path / "harp.wav", "harp_phrase")


@pytest.fixture
def violin(tmp_path: Path) -> str:
    return write_cut(tmp_path / "violin.flac", "violin_sustained", 0.5)


def remembered(root: str, uris: Iterable[str], files: WatchedStorage) -> dict[str, Sound]:
    """Identify sounds as one run after another does; the list of opened files starts anew."""
    sounds = identify(uris, read_memo(root, files), files)
    write_memo(root, sounds.values(), files)
    files.opened.clear()
    return sounds


def test_a_sound_has_the_hash_of_its_bytes_and_its_length(files: WatchedStorage, harp: str, violin: str) -> None:
    sounds = identify([harp, violin], {}, files)
    assert list(sounds) == [harp, violin]
    for uri, duration_s in ((harp, 0.4), (violin, 0.5)):
        assert sounds[uri].identity == hashlib.sha256(Path(uri).read_bytes()).hexdigest()
        assert sounds[uri].duration_s == pytest.approx(duration_s, abs=1e-4)
        assert sounds[uri].size == Path(uri).stat().st_size


def test_a_sound_is_read_once_for_its_hash_and_its_header(files: WatchedStorage, harp: str, violin: str) -> None:
    identify([harp, violin], {}, files)
    assert sorted(files.opened) == sorted([harp, violin])


def test_the_header_is_not_parsed_in_this_process(
    files: WatchedStorage, harp: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file can be made to hang or crash whoever parses it, and planning must go on."""
    decoders = Decoders("tests.tasks.faulty_decoder")
    monkeypatch.setattr(audio, "DECODERS", decoders)
    crash = Path(harp).with_name("crash.wav")
    crash.write_bytes(b"crashes ")
    sounds = identify([str(crash), harp], {}, files)
    decoders.close()
    assert sounds[str(crash)].identity == "unreadable:decode_limit"
    assert sounds[harp].readable


def test_a_storage_that_stays_away_is_no_fault_of_the_sounds(gone_s3: str, harp: str) -> None:
    with pytest.raises(StorageUnreachable, match=r"far\.wav"):
        identify([harp, join(gone_s3, "far.wav")], {}, Storage())


def test_an_unchanged_sound_is_neither_hashed_nor_probed_again(
    files: WatchedStorage, tmp_path: Path, harp: str, violin: str
) -> None:
    root = str(tmp_path / "out")
    first = remembered(root, [harp, violin], files)
    memo = read_memo(root, files)
    files.opened.clear()
    assert identify([harp, violin], memo, files) == first
    assert files.opened == []


def test_a_changed_sound_alone_is_read_again(files: WatchedStorage, tmp_path: Path, harp: str, violin: str) -> None:
    root = str(tmp_path / "out")
    first = remembered(root, [harp, violin], files)
    write_cut(Path(harp), "cello_phrase", 0.6)
    memo = read_memo(root, files)
    files.opened.clear()
    second = identify([harp, violin], memo, files)
    assert set(files.opened) == {harp}
    assert second[harp].identity != first[harp].identity
    assert second[harp].duration_s == pytest.approx(0.6, abs=1e-4)
    assert second[violin] == first[violin]


def test_a_change_that_keeps_the_size_is_seen(files: WatchedStorage, tmp_path: Path, harp: str) -> None:
    root = str(tmp_path / "out")
    first = remembered(root, [harp], files)[harp]
    write_cut(Path(harp), "cello_phrase")
    os.utime(harp, ns=(0, int(first.version) + 1))
    second = identify([harp], read_memo(root, files), files)[harp]
    assert second.size == first.size
    assert second.identity != first.identity


def test_a_file_touched_without_a_change_keeps_its_identity(files: WatchedStorage, tmp_path: Path, harp: str) -> None:
    root = str(tmp_path / "out")
    first = remembered(root, [harp], files)[harp]
    os.utime(harp, ns=(0, 1))
    assert identify([harp], read_memo(root, files), files)[harp].identity == first.identity


def test_what_cannot_be_read_is_told_apart_and_stops_nothing(files: WatchedStorage, tmp_path: Path, harp: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound\n" * 100)
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "cut.wav", np.zeros(1_600), 16_000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:1_000])
    expected = {
        "missing.wav": "missing",
        "folder.wav": "is_folder",
        "empty.wav": "empty",
        "nothing.wav": "empty",
        "text.wav": "not_audio",
        "cut.wav": "truncated",
        "harp.wav/below.wav": "storage",
    }
    uris = [str(tmp_path / name) for name in expected]
    sounds = identify([*uris, harp], {}, files)
    assert {uri: sounds[uri].identity for uri in uris} == {
        uri: f"unreadable:{kind}" for uri, kind in zip(uris, expected.values(), strict=True)
    }
    assert {sounds[uri].duration_s for uri in uris} == {0.0}
    assert set(expected.values()) <= set(ERROR_TYPES)
    assert len(sounds[harp].identity) == 64


def test_what_could_not_be_read_is_looked_at_again(files: WatchedStorage, tmp_path: Path, harp: str) -> None:
    root, late = str(tmp_path / "out"), tmp_path / "late.wav"
    remembered(root, [harp, str(late)], files)
    assert set(read_memo(root, files)) == {harp}
    write_cut(late, "glass_rub")
    assert len(identify([str(late)], read_memo(root, files), files)[str(late)].identity) == 64


def test_a_new_root_remembers_nothing(files: WatchedStorage, tmp_path: Path) -> None:
    assert read_memo(str(tmp_path / "nowhere"), files) == {}
    assert not (tmp_path / "nowhere").exists()


def test_no_sounds_are_a_memo_too(files: WatchedStorage, tmp_path: Path) -> None:
    write_memo(str(tmp_path), [], files)
    assert files.exists(memo_uri(str(tmp_path)))
    assert read_memo(str(tmp_path), files) == {}


def test_on_s3_the_etag_tells_a_change_of_equal_size(files: WatchedStorage, s3: str, tmp_path: Path) -> None:
    uri = join(s3, "harp.wav")
    for name in ("harp_phrase", "cello_phrase"):
        write_cut(tmp_path / f"{name}.wav", name)
    files.create(uri, (tmp_path / "harp_phrase.wav").read_bytes())
    first = remembered(s3, [uri], files)[uri]
    memo = read_memo(s3, files)
    files.opened.clear()
    assert identify([uri], memo, files)[uri] == first
    assert files.opened == []
    with files.writing(uri) as sink:
        sink.write((tmp_path / "cello_phrase.wav").read_bytes())
    second = identify([uri], memo, files)[uri]
    assert second.size == first.size
    assert second.identity == hashlib.sha256((tmp_path / "cello_phrase.wav").read_bytes()).hexdigest()


def test_a_damaged_memo_counts_as_none(files: Storage, tmp_path: Path) -> None:
    Path(memo_uri(str(tmp_path))).write_bytes(b"no parquet at all")
    assert read_memo(str(tmp_path), files) == {}


@pytest.mark.parametrize("missing", ["sample_rate", "duration_s"])
def test_a_memo_of_another_version_counts_as_none(files: Storage, tmp_path: Path, harp: str, missing: str) -> None:
    write_memo(str(tmp_path), identify([harp], {}, files).values(), files)
    memo = memo_uri(str(tmp_path))
    pq.write_table(pq.read_table(memo).drop_columns([missing]), memo)
    assert read_memo(str(tmp_path), files) == {}
