"""Files of results: the samples come back, equal sounds give equal bytes, and the file says what it is."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from stylecore.settings import Settings
from tasks.audio.encoding import FORMATS, decode, encode
from tasks.audio.sound_files import quantised
from tasks.pair_state import Tags
from tasks.storage.storage import StorageError
from tests.tasks.corpus import QUICK, Row, run_all, write_cut, write_manifest

RATE = 44_100
TAGS = Tags("harp x <violin>", "content: harp.wav; style: violin.wav", "content: CC0; style: CC BY 4.0")


def sound(channels: int = 2) -> NDArray[np.float32]:
    """Return tones in noise, `[N, channels]` or `[N]`, of an odd length."""
    tones = np.sin(np.arange(9_001)[:, None] * 0.03 * np.arange(1, channels + 1))
    samples = quantised(0.4 * tones + np.random.default_rng(0).uniform(-0.02, 0.02, tones.shape))
    return samples if channels > 1 else samples[:, 0]


def chunks(wav: bytes) -> dict[bytes, bytes]:
    """Return the chunks of a RIFF file."""
    assert struct.unpack("<I", wav[4:8])[0] == len(wav) - 8
    found, at = {}, 12
    while at < len(wav):
        name, size = wav[at : at + 4], struct.unpack("<I", wav[at + 4 : at + 8])[0]
        found[name] = wav[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return found


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_samples_come_back(name: str, channels: int) -> None:
    samples = sound(channels)
    read = decode(encode(samples, RATE, name, TAGS))
    assert read.shape == samples.shape
    if FORMATS[name].is_lossless:
        np.testing.assert_array_equal(read, samples)
    else:
        assert np.corrcoef(read.ravel(), samples.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("name", FORMATS)
def test_equal_sounds_give_equal_bytes(name: str) -> None:
    assert encode(sound(), RATE, name, TAGS) == encode(sound(), RATE, name, TAGS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_says_what_it_is(name: str) -> None:
    read = soundfile.SoundFile(io.BytesIO(encode(sound(), RATE, name, TAGS)))
    assert (read.samplerate, read.channels, read.frames) == (RATE, 2, 9_001)
    assert (read.title, read.comment, read.copyright) == tuple(TAGS[:3])
    assert read.software.startswith("timbreflow ")


@pytest.mark.parametrize("name", ["wav", "wav-float"])
def test_wav_has_what_studios_read(name: str) -> None:
    found = chunks(encode(sound(), RATE, name, TAGS))
    assert found[b"bext"][:256].rstrip(b"\0").decode() == TAGS.comment
    assert found[b"bext"][256:288].rstrip(b"\0").decode() == TAGS.software
    assert found[b"bext"][320:338] == bytes(18), "no date: it would differ from run to run"
    assert len(found[b"bext"]) > 602
    assert struct.unpack("<H", found[b"bext"][346:348]) == (2,)
    fields = {one.tag: one.text for one in ElementTree.fromstring(found[b"iXML"].decode())}
    assert fields["NOTE"] == TAGS.title
    assert fields["USER"] == f"{TAGS.comment}; {TAGS.licence}"


@pytest.mark.parametrize("value", [np.nan, 1.5])
def test_what_would_be_clipped_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="within full scale"):
        encode(np.array([0.0, value]), RATE, "wav", TAGS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_writes_the_format_that_is_asked_for(name: str, tmp_path: Path) -> None:
    write_cut(tmp_path / "harp.wav", "harp_phrase", 0.3)
    write_cut(tmp_path / "fork.wav", "tuning_fork_440", 0.3)
    rows: list[Row] = [
        {"content": "harp.wav", "style": "fork.wav", "content_license": "CC BY 4.0", "style_licence": "CC0"}
    ]
    manifest = write_manifest(tmp_path / "pairs.parquet", rows)
    settings = QUICK.model_copy(update={"file_format": name})
    (row,) = run_all(manifest, tmp_path / "out", settings).table.to_dict("records")
    assert row["status"] == "succeeded", row["error_message"]
    assert Path(row["output"]).suffix == f".{settings.suffix}"
    read = soundfile.SoundFile(row["output"])
    assert (read.title, read.copyright) == ("harp x fork", "content: CC BY 4.0; style: CC0")
    assert read.comment.startswith("content: harp.wav; style: fork.wav; settings: ")
    assert run_all(manifest, tmp_path / "out", settings).summary.computed == 0


def test_formats_share_an_output_root(tmp_path: Path) -> None:
    """Of the same pairs in two formats each has its own fingerprint, and the audio of both stays."""
    write_cut(tmp_path / "harp.wav", "harp_phrase", 0.3)
    manifest = write_manifest(tmp_path / "pairs.parquet", [{"content": "harp.wav", "style": "harp.wav"}])
    outputs = [
        run_all(manifest, tmp_path / "out", QUICK.model_copy(update={"file_format": name})).table["output"][0]
        for name in ("wav", "flac")
    ]
    assert [Path(output).is_file() for output in outputs] == [True, True]
    np.testing.assert_array_equal(soundfile.read(outputs[0])[0], soundfile.read(outputs[1])[0])


def test_one_pair_is_written_as_its_name_says(tmp_path: Path) -> None:
    from tasks.pipeline.single import synthesise_single

    harp = write_cut(tmp_path / "harp.wav", "harp_phrase", 0.3)
    for suffix, subtype in (("wav", "PCM_24"), ("ogg", "VORBIS")):
        row = synthesise_single(harp, harp, str(tmp_path / f"out.{suffix}"), QUICK, "cpu")
        assert soundfile.info(row["output"]).subtype == subtype
    float_wav = Settings(**{**QUICK.model_dump(), "file_format": "wav-float"})
    assert soundfile.info(
        synthesise_single(harp, harp, str(tmp_path / "f.wav"), float_wav, "cpu")["output"]
    ).subtype == ("FLOAT")
    with pytest.raises(StorageError, match=r"name a file that ends in \.flac, \.wav or \.ogg"):
        synthesise_single(harp, harp, str(tmp_path / "out.mp3"), QUICK, "cpu")
