"""Sounds in and out: every file that cannot be used gets its type and its path, every other one its samples."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from manifests.files import join
from manifests.schema import ERROR_TYPES
from stylecore.channels import downmix
from tasks.audio.sound_files import (
    SAMPLE_RATE,
    AudioError,
    decode_flac,
    encode_flac,
    pcm_to_float,
    probe,
    probe_identified,
    read_planned,
    read_sound,
    samples_sha256,
)
from tasks.storage.storage import Storage, StorageUnreachable
from tests.tasks.sound_bytes import with_flac_length

TONE_HZ = 440.0


@pytest.fixture
def files() -> Storage:
    return Storage()


def tone(duration_s: float = 1.0, sample_rate: int = SAMPLE_RATE, frequency_hz: float = TONE_HZ) -> NDArray[np.float64]:
    time_s = np.arange(round(duration_s * sample_rate)) / sample_rate
    return 0.5 * np.sin(2 * np.pi * frequency_hz * time_s)


def write(path: Path, samples: NDArray[np.floating], sample_rate: int = SAMPLE_RATE, subtype: str | None = None) -> str:
    soundfile.write(path, samples, sample_rate, subtype=subtype)
    return str(path)


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def rms(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


# Each makes one file that cannot be used, at the path it is given.


def _nothing(path: Path) -> None:
    pass


def _folder(path: Path) -> None:
    path.mkdir()


def _truncated(path: Path) -> None:
    write(path, tone())
    cut(path, 0.5)


def _cut_in_the_header(path: Path) -> None:
    write(path, tone())
    path.write_bytes(path.read_bytes()[:60])


def _text(path: Path) -> None:
    path.write_text("This is not a sound.\n" * 100)


def _noise_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(50_000))


def ultrasonic() -> NDArray[np.float64]:
    # Faded in and out: a sudden start is heard at any sampling rate.
    return np.hanning(96_000) * tone(1, 96_000, 30_000)


def noise(n_samples: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=n_samples)


def _one_value(value: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        samples = tone()
        samples[1234] = value
        write(path, samples, subtype="FLOAT")

    return make


BAD_FILES: list[tuple[str, str, Callable[[Path], object]]] = [
    ("missing", "missing.wav", _nothing),
    ("is_folder", "folder.wav", _folder),
    ("empty", "empty.flac", Path.touch),
    ("empty", "no_samples.wav", lambda path: write(path, np.zeros(0))),
    ("empty", "no_samples.aiff", lambda path: write(path, np.zeros(0))),
    ("empty", "no_samples.ogg", lambda path: write(path, np.zeros(0))),
    ("truncated", "truncated.flac", _truncated),
    ("truncated", "truncated.wav", _truncated),
    ("truncated", "truncated.aiff", _truncated),
    ("truncated", "truncated.ogg", _truncated),
    ("truncated", "truncated.mp3", _truncated),
    ("truncated", "header.flac", _cut_in_the_header),
    ("not_audio", "text.wav", _text),
    ("not_audio", "text.mp3", _text),
    ("not_audio", "bytes.flac", _noise_bytes),
    ("silent", "zeros.wav", lambda path: write(path, np.zeros(SAMPLE_RATE))),
    ("silent", "dither.wav", lambda path: write(path, np.random.default_rng(0).uniform(-1, 1, SAMPLE_RATE) / 2**15)),
    ("silent", "ultrasonic.wav", lambda path: write(path, ultrasonic(), 96_000, "FLOAT")),
    ("silent", "constant.wav", lambda path: write(path, np.full(SAMPLE_RATE, 0.5))),
    ("silent", "constant.aiff", lambda path: write(path, np.full(44_100, -1e-3), 44_100)),
    ("silent", "constants.wav", lambda path: write(path, np.full((48_000, 2), [0.7, -0.2]), 48_000)),
    ("silent", "constant_and_noise.wav", lambda path: write(path, 0.3 + 10**-5.5 * noise(44_100), 44_100, "FLOAT")),
    ("silent", "constant_and_ultrasonic.wav", lambda path: write(path, 0.1 + ultrasonic(), 96_000, "FLOAT")),
    ("not_finite", "nan.wav", _one_value(np.nan)),
    ("not_finite", "spike.wav", _one_value(1e35)),
    ("not_finite", "huge.wav", lambda path: write(path, 1e18 * tone(), subtype="FLOAT")),
    ("not_finite", "huge_negative.wav", lambda path: write(path, np.minimum(1e30 * tone(), 0), subtype="FLOAT")),
    ("not_finite", "huge_stereo.wav", lambda path: write(path, np.full((8_000, 2), 3e38), subtype="FLOAT")),
    ("not_finite", "huge_double.wav", lambda path: write(path, 1e200 * tone(), subtype="DOUBLE")),
    ("not_finite", "inf.wav", _one_value(-np.inf)),
    ("too_short", "short.wav", lambda path: write(path, tone(0.1))),
    ("too_short", "almost.flac", lambda path: write(path, tone(0.1799, 44_100), 44_100)),
    ("too_long", "long.flac", lambda path: write(path, tone(31))),
    ("too_long", "hardly.wav", lambda path: write(path, tone(30.501, 8_000), 8_000)),
]


@pytest.mark.parametrize(("error_type", "name", "make"), BAD_FILES, ids=[name for _, name, _ in BAD_FILES])
def test_a_bad_file_is_told_by_type_and_path(
    files: Storage, tmp_path: Path, error_type: str, name: str, make: Callable[[Path], object]
) -> None:
    make(tmp_path / name)
    with pytest.raises(AudioError) as caught:
        read_sound(str(tmp_path / name), files)
    assert caught.value.error_type == error_type
    assert str(tmp_path / name) in str(caught.value)
    assert error_type in ERROR_TYPES


@pytest.mark.parametrize(
    ("error_type", "name", "make"),
    [case for case in BAD_FILES if case[0] in ("missing", "is_folder", "empty", "not_audio", "too_long")],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_header_tells_already(
    files: Storage, tmp_path: Path, error_type: str, name: str, make: Callable[[Path], object]
) -> None:
    make(tmp_path / name)
    with pytest.raises(AudioError) as caught:
        probe(str(tmp_path / name), files)
    assert caught.value.error_type == error_type


class TestOnS3:
    def test_a_sound_is_read(self, files: Storage, s3: str, tmp_path: Path) -> None:
        local, uri = write(tmp_path / "tone.flac", tone()), join(s3, "tone.flac")
        files.create(uri, Path(local).read_bytes())
        np.testing.assert_array_equal(read_sound(uri, files), read_sound(local, files))
        assert probe(uri, files) == probe(local, files)

    def test_missing_and_folder_are_told(self, files: Storage, s3: str) -> None:
        files.create(join(s3, "folder/tone.flac"), encode_flac(tone(), SAMPLE_RATE))
        with pytest.raises(AudioError) as missing:
            read_sound(join(s3, "missing.flac"), files)
        with pytest.raises(AudioError) as folder:
            read_sound(join(s3, "folder"), files)
        assert (missing.value.error_type, folder.value.error_type) == ("missing", "is_folder")

    @pytest.mark.parametrize("act", [probe, read_sound])
    def test_wrong_credentials_are_a_matter_of_storage(
        self, files: Storage, s3: str, monkeypatch: pytest.MonkeyPatch, act: Callable[..., object]
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(AudioError, match=r"tone\.flac") as caught:
            act(join(s3, "tone.flac"), files)
        assert caught.value.error_type == "storage"

    @pytest.mark.parametrize("act", [probe, probe_identified, read_sound])
    def test_a_storage_that_stays_away_is_no_fault_of_the_sound(self, gone_s3: str, act: Callable[..., object]) -> None:
        with pytest.raises(StorageUnreachable, match=r"tone\.flac"):
            act(join(gone_s3, "tone.flac"), Storage())


class TestIdentity:
    def test_it_is_that_of_the_bytes_that_are_decoded(self, files: Storage, tmp_path: Path) -> None:
        uri = write(tmp_path / "tone.flac", tone())
        info, identity = probe_identified(uri, files)
        assert identity == hashlib.sha256(Path(uri).read_bytes()).hexdigest()
        assert info == probe(uri, files)
        np.testing.assert_array_equal(read_planned(uri, files, 16_000, identity), read_sound(uri, files))
        with pytest.raises(AudioError, match="has changed since the run was planned") as caught:
            read_planned(uri, files, 16_000, "0" * 64)
        assert caught.value.error_type == "storage"

    def test_the_file_is_opened_once(self, tmp_path: Path) -> None:
        opened = []

        class Watched(Storage):
            def open(self, uri: str) -> BinaryIO:
                opened.append(uri)
                return super().open(uri)

        uri = write(tmp_path / "tone.flac", tone())
        read_planned(uri, Watched(), 16_000, hashlib.sha256(Path(uri).read_bytes()).hexdigest())
        assert opened == [uri]

    @pytest.mark.parametrize("change", [-100, 100])
    def test_a_file_that_changes_while_it_is_read_is_told(self, tmp_path: Path, change: int) -> None:
        """As a transient fault: the half of one sound and the half of another are none."""
        uri = write(tmp_path / "tone.wav", tone())

        class Busy(Storage):
            def open(self, uri: str) -> BinaryIO:
                size = Path(uri).stat().st_size + change
                os.truncate(uri, size)
                return super().open(uri)

        with pytest.raises(AudioError, match="changed while it was read") as caught:
            read_sound(uri, Busy())
        assert caught.value.error_type == "storage"


class TestReading:
    @pytest.mark.parametrize("sample_rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000])
    def test_any_sampling_rate_keeps_tone_level_and_length(
        self, files: Storage, tmp_path: Path, sample_rate: int
    ) -> None:
        samples = read_sound(write(tmp_path / "tone.flac", tone(1, sample_rate), sample_rate), files)
        assert samples.dtype == np.float32
        assert len(samples) == pytest.approx(SAMPLE_RATE, abs=1)
        np.testing.assert_allclose(samples[800:-800], tone()[800 : len(samples) - 800], atol=2e-3)

    @pytest.mark.parametrize("sample_rate", [44_100, 96_000])
    def test_what_the_new_rate_cannot_hold_does_not_fold_back(
        self, files: Storage, tmp_path: Path, sample_rate: int
    ) -> None:
        mixture = tone(1, sample_rate) + 0.4 * np.sin(2 * np.pi * 12_000 * np.arange(sample_rate) / sample_rate)
        samples = read_sound(write(tmp_path / "mixture.wav", mixture, sample_rate, "FLOAT"), files)
        spectrum = np.abs(np.fft.rfft(samples[800:-800] * np.hanning(len(samples) - 1600)))
        frequencies_hz = np.fft.rfftfreq(len(samples) - 1600, 1 / SAMPLE_RATE)
        assert spectrum[np.abs(frequencies_hz - 4_000) < 200].max() < 1e-4 * spectrum.max()

    @pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
    def test_lossless_files_come_back_exactly(self, files: Storage, tmp_path: Path, suffix: str) -> None:
        samples = read_sound(write(tmp_path / f"tone.{suffix}", tone(), subtype="PCM_24"), files)
        np.testing.assert_allclose(samples, tone(), atol=2.0**-23)

    @pytest.mark.parametrize("suffix", ["ogg", "mp3"])
    def test_lossy_files_come_back_closely(self, files: Storage, tmp_path: Path, suffix: str) -> None:
        uri = write(tmp_path / f"tone.{suffix}", tone(2, 44_100), 44_100)
        samples = read_sound(uri, files)
        spectrum = np.abs(np.fft.rfft(samples))
        peak_hz = spectrum.argmax() * SAMPLE_RATE / len(samples)
        assert peak_hz == pytest.approx(TONE_HZ, abs=1)
        assert rms(samples) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
        assert len(samples) / SAMPLE_RATE == pytest.approx(2, abs=0.06)

    def test_an_mp3_without_a_header_for_its_length_is_whole(self, files: Storage, tmp_path: Path) -> None:
        """Its length is estimated then, a little too long."""
        path = tmp_path / "tone.mp3"
        soundfile.write(path, tone(2, 44_100), 44_100, bitrate_mode="CONSTANT", compression_level=0.3)
        data = path.read_bytes()
        path.write_bytes(data[data.index(b"\xff\xfb", data.index(b"Info")) :])
        assert len(read_sound(str(path), files)) / SAMPLE_RATE == pytest.approx(2, abs=0.06)

    def test_a_flac_without_its_length_is_whole(self, files: Storage, tmp_path: Path) -> None:
        """Encoders that write to a pipe leave the length open."""
        path = tmp_path / "tone.flac"
        write(path, tone(3))
        path.write_bytes(with_flac_length(path.read_bytes(), 0))
        assert probe(str(path), files) == (3.0, 3 * SAMPLE_RATE, SAMPLE_RATE, 1)
        assert len(read_sound(str(path), files)) == 3 * SAMPLE_RATE

    @pytest.mark.parametrize("duration_s", [0.18, 0.199, 0.2, 30.0, 30.07, 30.5])
    def test_the_bounds_of_the_length_have_a_tolerance(self, files: Storage, tmp_path: Path, duration_s: float) -> None:
        samples = read_sound(write(tmp_path / "bound.wav", tone(duration_s)), files)
        assert len(samples) == round(duration_s * SAMPLE_RATE)

    @pytest.mark.parametrize(
        ("duration_s", "message"),
        [
            (0.15, r"lasts 0.15 s, 0.05 s less than 0.2 s \(0.02 s less is let pass\)"),
            (31.0, r"lasts 31 s, 1 s more than 30 s \(0.5 s more is let pass\)"),
            (75.25, r"lasts 75.25 s, 45.25 s more than 30 s"),
        ],
    )
    @pytest.mark.parametrize("suffix", ["wav", "flac"])
    def test_a_message_says_by_how_much(
        self, files: Storage, tmp_path: Path, duration_s: float, message: str, suffix: str
    ) -> None:
        with pytest.raises(AudioError, match=message):
            read_sound(write(tmp_path / f"sound.{suffix}", tone(duration_s, 8_000), 8_000), files)

    @pytest.mark.parametrize("scale", [2.0**15, 2.0**31])
    def test_integers_that_were_written_as_floats_are_read_at_their_own_level(
        self, files: Storage, tmp_path: Path, scale: float
    ) -> None:
        samples = read_sound(write(tmp_path / "integers.wav", scale * tone(), subtype="FLOAT"), files)
        np.testing.assert_allclose(samples / scale, tone(), atol=1e-6)

    @pytest.mark.parametrize("constant", [0.3, -0.3])
    def test_a_faint_sound_on_a_constant_is_none_the_less_heard(
        self, files: Storage, tmp_path: Path, constant: float
    ) -> None:
        samples = read_sound(write(tmp_path / "faint.wav", constant + 1e-3 * tone(), subtype="FLOAT"), files)
        np.testing.assert_allclose(samples - constant, 1e-3 * tone(), atol=1e-6)

    def test_a_streamed_wav_without_its_length_is_whole(self, files: Storage, tmp_path: Path) -> None:
        """Programs that write to a pipe leave 0xFFFFFFFF where the length belongs."""
        path = tmp_path / "streamed.wav"
        write(path, tone())
        data = bytearray(path.read_bytes())
        for offset in (4, data.index(b"data") + 4):
            struct.pack_into("<I", data, offset, 0xFFFFFFFF)
        path.write_bytes(data)
        assert len(read_sound(str(path), files)) == SAMPLE_RATE

    def test_another_sampling_rate_can_be_asked_for(self, files: Storage, tmp_path: Path) -> None:
        assert len(read_sound(write(tmp_path / "tone.wav", tone()), files, sample_rate=48_000)) == 48_000

    def test_the_header_says_length_rate_and_channels(self, files: Storage, tmp_path: Path) -> None:
        uri = write(tmp_path / "stereo.flac", np.stack([tone(2, 44_100)] * 2, axis=1), 44_100)
        assert probe(uri, files) == (2.0, 88_200, 44_100, 2)


class TestDownmix:
    def test_it_is_the_mean(self, files: Storage, tmp_path: Path) -> None:
        stereo = np.stack([tone(), 0.2 * tone(frequency_hz=880)], axis=1)
        samples = read_sound(write(tmp_path / "stereo.wav", stereo, subtype="FLOAT"), files)
        np.testing.assert_allclose(samples, stereo.mean(axis=1), atol=1e-6)

    @pytest.mark.parametrize("balance", [-1.0, -0.9])
    def test_stereo_in_anti_phase_keeps_its_louder_channel(
        self, files: Storage, tmp_path: Path, balance: float
    ) -> None:
        stereo = np.stack([balance * tone(), tone()], axis=1)
        samples = read_sound(write(tmp_path / "anti_phase.wav", stereo, subtype="FLOAT"), files)
        assert rms(samples) == pytest.approx(rms(tone()), rel=1e-3)

    def test_a_constant_does_not_hide_that_channels_cancel_out(self) -> None:
        channels = np.stack([0.4 + 0.1 * tone(), 0.4 - 0.1 * tone()], axis=1)
        np.testing.assert_allclose(np.ptp(downmix(channels)), 0.1, rtol=1e-3)

    def test_eight_channels_become_one(self, files: Storage, tmp_path: Path) -> None:
        channels = np.stack([tone(frequency_hz=200.0 * n) for n in range(1, 9)], axis=1)
        uri = write(tmp_path / "surround.wav", channels, subtype="PCM_24")
        assert probe(uri, files).channels == 8
        np.testing.assert_allclose(read_sound(uri, files), channels.mean(axis=1), atol=1e-6)

    def test_a_lone_channel_among_silent_ones_is_no_cancellation(self) -> None:
        channels = np.zeros((1_000, 8))
        channels[:, 3] = tone()[:1_000]
        np.testing.assert_allclose(downmix(channels), channels[:, 3] / 8)


class TestWriting:
    def test_samples_come_back_to_half_a_step(self) -> None:
        samples = np.random.default_rng(0).uniform(-1, 1, 20_000)
        decoded = pcm_to_float(decode_flac(encode_flac(samples, SAMPLE_RATE)))
        np.testing.assert_allclose(decoded, samples, rtol=0, atol=0.5 * 2.0**-23 + 1e-12)

    def test_full_scale_does_not_wrap_around(self) -> None:
        decoded = pcm_to_float(decode_flac(encode_flac(np.array([1.0, -1.0, 0.0]), SAMPLE_RATE)))
        np.testing.assert_allclose(decoded, [1, -1, 0], atol=2.0**-23)

    def test_writing_what_was_read_changes_nothing(self) -> None:
        first = encode_flac(tone().astype(np.float32), SAMPLE_RATE)
        assert encode_flac(pcm_to_float(decode_flac(first)), SAMPLE_RATE) == first

    def test_the_file_is_mono_24_bit_flac(self) -> None:
        info = soundfile.info(io.BytesIO(encode_flac(tone(), 48_000)))
        assert (info.format, info.subtype, info.channels, info.samplerate) == ("FLAC", "PCM_24", 1, 48_000)

    @pytest.mark.parametrize("value", [1.01, -2.0, np.nan, np.inf])
    def test_what_would_clip_is_refused(self, value: float) -> None:
        with pytest.raises(ValueError, match="peak="):
            encode_flac(np.array([0.0, value]), SAMPLE_RATE)

    def test_the_digest_is_of_the_samples(self) -> None:
        """Known value: sha256 of the little-endian int32 numbers 256 and -256."""
        pcm = decode_flac(encode_flac(np.array([2.0**-23, -(2.0**-23)]), SAMPLE_RATE))
        assert pcm.tolist() == [256, -256]
        assert samples_sha256(pcm) == samples_sha256(pcm.astype(">i4"))
        assert samples_sha256(pcm) == "c4193a124ed56164b0cc812ffce4b95373f18f769120f6f0462cf597b5772622"
