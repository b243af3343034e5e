"""Styles of any length: pieces from all over a long one, the same however it is stored, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from manifests.files import join
from tasks.audio import sound_files
from tasks.audio.decoding import decode, decode_style
from tasks.audio.excerpts import Excerpt
from tasks.audio.lengths import ANY_LENGTH_S
from tasks.audio.sandbox import Decoders
from tasks.audio.sound_errors import AudioError
from tasks.audio.sound_files import probe_identified, read_planned_style, read_style
from tasks.audio.style_pieces import GAP_S, joined_pieces, loudest_pieces
from tasks.storage.storage import Storage
from tests.tasks.corpus import CPU, QUICK, run_all, write_manifest
from tests.tasks.sound_bytes import encoded
from tests.tasks.test_styles import notes

RATE = 8_000
FILES = Storage()
HELD_BYTES = 120 << 20
"""Peak memory of a child, which is 30 MB before its first sound."""


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoders]:
    """Give the reader decoders of its own."""
    own = Decoders()
    monkeypatch.setattr(sound_files, "DECODERS", own)
    yield own
    own.close()


def peak_bytes(decoders: Decoders) -> int:
    """Return the peak memory of the children, the pages of files included; 0 where the system does not tell."""
    statuses = [Path(f"/proc/{pid}/status") for pid in decoders.pids()]
    found = [path.read_text().split("VmHWM:")[1].split()[0] for path in statuses if path.exists()]
    return max((1024 * int(kilobytes) for kilobytes in found), default=0)


def marked(minutes: int, rate: int = RATE) -> NDArray[np.float32]:
    """Return soft noise `[N]` with a loud tone of two seconds in each tenth, each at a pitch of its own."""
    n_samples = minutes * 60 * rate
    sound = np.random.default_rng(3).normal(0, 0.001, n_samples).astype(np.float32)
    time_s = np.arange(2 * rate) / rate
    for tenth in range(10):
        begin = tenth * n_samples // 10 + round((1 + 0.3 * tenth) * rate)
        sound[begin : begin + 2 * rate] += 0.3 * np.sin(2 * np.pi * 100 * (tenth + 4) * time_s).astype(np.float32)
    return sound


def pitches_hz(samples: NDArray[np.float32], rate: int) -> set[float]:
    """Return the frequency of each half second that is full of one tone, to the next 100 Hz."""
    size = rate // 2
    parts = samples[: len(samples) // size * size].reshape(-1, size)
    loud = [part - part.mean() for part in parts if part.std() > 0.19]
    return {round(2.0 * np.abs(np.fft.rfft(part * np.hanning(size))).argmax(), -2) for part in loud}


class TestPieces:
    def test_each_tenth_gives_its_loudest_seconds(self) -> None:
        heard = decode_style(encoded(marked(5), "WAV", rate_hz=RATE), "style", RATE)
        assert heard.n_pieces == 10
        assert len(heard.samples) == pytest.approx((10 * 3 + 9 * GAP_S) * RATE, abs=10)
        assert pitches_hz(heard.samples, RATE) == {100.0 * (tenth + 4) for tenth in range(10)}

    @pytest.mark.parametrize("kind", [("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("CAF", "ALAC_16")])
    def test_they_do_not_depend_on_how_it_is_stored(self, kind: tuple[str, str]) -> None:
        sound = (marked(2) * 2**15).astype(np.int16)
        wav = decode_style(encoded(sound, "WAV", "PCM_16", RATE), "style", RATE)
        other = decode_style(encoded(sound, *kind, RATE), "style", RATE)
        np.testing.assert_array_equal(other.samples, wav.samples)

    @pytest.mark.parametrize("kind", [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
    def test_lossy_ones_give_the_same_places(self, kind: tuple[str, str]) -> None:
        heard = decode_style(encoded(marked(2), *kind, RATE), "style", RATE)
        assert heard.n_pieces == 10
        assert pitches_hz(heard.samples, RATE) == {100.0 * (tenth + 4) for tenth in range(10)}

    def test_neither_do_they_on_the_blocks_it_is_read_in(self) -> None:
        sound = marked(1)[:, None]
        one = loudest_pieces([sound], len(sound), RATE, 6.0)
        many = loudest_pieces(np.array_split(sound, 977), len(sound), RATE, 6.0)
        assert len(one) == len(many) == 2
        for piece, other in zip(one, many, strict=True):
            np.testing.assert_array_equal(piece, other)

    def test_what_is_silent_gives_none(self) -> None:
        sound = np.zeros(10 * 60 * RATE, dtype=np.float32)
        sound[200 * RATE : 203 * RATE] = notes([330, 440], 4, 1.5, RATE)
        heard = decode_style(encoded(sound, "FLAC", rate_hz=RATE), "style", RATE)
        assert (heard.n_pieces, len(heard.samples)) == (1, 3 * RATE)
        assert np.abs(heard.samples).max() > 0.2

    def test_silence_is_refused(self) -> None:
        with pytest.raises(AudioError, match="'style' is silent") as caught:
            decode_style(encoded(np.zeros(60 * RATE), "FLAC", rate_hz=RATE), "style", RATE)
        assert caught.value.error_type == "silent"

    def test_a_constant_is_silence_too(self) -> None:
        sound = marked(2)
        shifted = decode_style(encoded(sound[: 60 * RATE] + 0.25, "FLAC", rate_hz=RATE), "style", RATE)
        plain = decode_style(encoded(sound[: 60 * RATE], "FLAC", rate_hz=RATE), "style", RATE)
        assert pitches_hz(shifted.samples - np.float32(0.25), RATE) == pitches_hz(plain.samples, RATE)

    def test_damage_anywhere_is_told(self) -> None:
        sound = marked(2)
        sound[100] = np.nan
        with pytest.raises(AudioError, match="NaN") as caught:
            decode_style(encoded(sound, "WAV", "FLOAT", RATE), "style", RATE)
        assert caught.value.error_type == "not_finite"

    def test_an_excerpt_of_a_long_one_may_be_long(self) -> None:
        data = encoded(marked(5), "FLAC", rate_hz=RATE)
        heard = decode_style(data, "style", RATE, Excerpt(150.0))
        assert heard.n_pieces <= 10
        assert pitches_hz(heard.samples, RATE) == {900.0, 1_000.0, 1_100.0, 1_200.0, 1_300.0}

    def test_pieces_begin_and_end_softly(self) -> None:
        time = np.arange(60 * RATE)[:, None]
        tone = (np.sin(time) * 0.999 ** (time / RATE)).astype(np.float32)
        pieces = loudest_pieces([tone], len(tone), RATE, 6.0)
        assert all(abs(float(piece[end, 0])) < 1e-3 for piece in pieces[1:] for end in (0, -1))
        assert float(pieces[0][1, 0]) == tone[1, 0]  # the sound's own beginning
        assert len(joined_pieces(pieces, RATE)) == sum(map(len, pieces)) + round(GAP_S * RATE)

    @pytest.mark.parametrize("seconds", [0.3, 12.0, 30.0, 30.4])
    def test_up_to_thirty_seconds_it_is_taken_as_it_is(self, seconds: float) -> None:
        data = encoded(marked(1)[: round(seconds * RATE)], "FLAC", rate_hz=RATE)
        heard = decode_style(data, "style", 16_000)
        assert heard.n_pieces == 1
        np.testing.assert_array_equal(heard.samples, decode(data, "style", 16_000))

    def test_a_day_is_the_most(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tasks.audio.decoding.LONGEST_STYLE_S", 60.5)
        data = encoded(marked(2), "FLAC", rate_hz=RATE)
        with pytest.raises(AudioError, match="'style' lasts 120 s") as caught:
            decode_style(data, "style", RATE)
        assert caught.value.error_type == "too_long"


class TestMemory:
    def test_an_hour_is_not_held(self, decoders: Decoders, tmp_path: Path) -> None:
        """Sixty minutes of FLAC: 115 MB of samples, and the file beside them."""
        path = tmp_path / "hour.flac"
        minute = marked(1)
        with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
            for number in range(60):
                file.write(minute * np.float32(0.5 + number / 120))
        info, identity = probe_identified(str(path), FILES, ANY_LENGTH_S)
        heard = read_planned_style(str(path), FILES, 16_000, identity)
        assert (info.duration_s, heard.n_pieces) == (3600.0, 10)
        assert peak_bytes(decoders) < HELD_BYTES

    def test_neither_is_a_large_file(self, decoders: Decoders, tmp_path: Path) -> None:
        """Of 192 MiB, silence with a few notes; the file is sparse."""
        path, rate = tmp_path / "large.wav", 48_000
        sound = (notes([262, 392], 6, 1.5, rate) * 2**14).astype("<i2").repeat(2).tobytes()
        with soundfile.SoundFile(path, "w", rate, 2, "PCM_16") as file:
            file.write(np.zeros((rate, 2)))
        n_bytes = 192 << 20
        with path.open("r+b") as file:
            file.truncate(44 + n_bytes)
            file.seek(4)
            file.write((36 + n_bytes).to_bytes(4, "little"))
            file.seek(40)
            file.write(n_bytes.to_bytes(4, "little"))
            for place in (0.25, 0.75):
                file.seek(44 + int(place * n_bytes) // 4 * 4)
                file.write(sound)
        heard = read_style(str(path), FILES)
        assert (heard.n_pieces, len(heard.samples)) == (2, pytest.approx((2 * 3 + GAP_S) * 16_000, abs=2))
        assert peak_bytes(decoders) < HELD_BYTES

    def test_a_large_file_on_s3_is_read_from_a_copy(
        self, decoders: Decoders, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sound_files, "_LARGE_BYTES", 1_000)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        data = encoded(marked(2), "FLAC", rate_hz=RATE)
        with FILES.writing(join(s3, "long.flac")) as sink:
            sink.write(data)
        identity = hashlib.sha256(data).hexdigest()
        assert probe_identified(join(s3, "long.flac"), FILES, ANY_LENGTH_S)[1] == identity
        heard = read_planned_style(join(s3, "long.flac"), FILES, RATE, identity)
        np.testing.assert_array_equal(heard.samples, decode_style(data, "style", RATE).samples)
        assert not list(tmp_path.iterdir())

    def test_a_large_file_that_changes_while_it_is_read_is_told(
        self, decoders: Decoders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sound_files, "_LARGE_BYTES", 1_000)
        path = tmp_path / "long.flac"
        path.write_bytes(encoded(marked(2), "FLAC", rate_hz=RATE))
        real = decoders.decode_style

        def slow(*arguments: object) -> object:
            heard = real(*arguments)  # type: ignore[arg-type]
            path.write_bytes(path.read_bytes() + b"\0")
            return heard

        monkeypatch.setattr(decoders, "decode_style", slow)
        with pytest.raises(AudioError, match="changed while it was read") as caught:
            read_style(str(path), FILES)
        assert caught.value.error_type == "storage"


def test_a_pair_with_a_long_style(tmp_path: Path) -> None:
    """Notes far from each other in it are all within reach."""
    soundfile.write(tmp_path / "content.wav", notes([262, 392], 4), 16_000)
    soundfile.write(tmp_path / "long.flac", marked(2), RATE)
    rows = [{"pair_id": "long", "content": "content.wav", "style": "long.flac"}]
    row = run_all(write_manifest(tmp_path / "m.parquet", rows), tmp_path / "out", QUICK, CPU).row("long")
    assert row["status"] == "succeeded"
    assert row["style_identity"] == hashlib.sha256((tmp_path / "long.flac").read_bytes()).hexdigest()
