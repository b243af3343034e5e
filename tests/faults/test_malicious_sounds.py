"""Sound files made to harm: bombs, headers that lie, and hundreds of mutations of honest files.

All go through the reader that a run uses, real decoders in real child processes, whose memory is read from the kernel.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from manifests.schema import ERROR_TYPES
from tasks.audio import sound_files as audio
from tasks.audio.catalog import identify
from tasks.audio.sandbox import Decoders
from tasks.audio.sound_files import AudioError, probe, read_sound
from tasks.storage.storage import Storage
from tests.tasks.sound_bytes import (
    RATE_HZ,
    aiff,
    encoded,
    long_and_small,
    wav,
    with_flac_length,
    with_mp3_length,
    with_ogg_length,
)

FILES = Storage()
MEMORY_BOUND_BYTES = 160 << 20
"""Peak memory of a child here: it is 30 MB before its first sound, and no file below has more than 1.3 MB."""

MUTATED_FILES = 800
TWO_HOURS_S = 2 * 60 * 60
TONE = 0.5 * np.sin(np.arange(6_400) / 5) + 0.02 * np.random.default_rng(0).normal(size=6_400)


@pytest.fixture
def decoders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoders]:
    """Give the reader decoders of its own, and look at their memory in the end; a sound may take 30 s.

    The bound in bytes may be a parameter.
    """
    decoders = Decoders(response_timeout_s=30.0)
    monkeypatch.setattr(audio, "DECODERS", decoders)
    try:
        yield decoders
        assert decoders.pids()
        assert not peaks_over(decoders, getattr(request, "param", MEMORY_BOUND_BYTES))
    finally:
        decoders.close()


def peaks_over(decoders: Decoders, bound_bytes: int) -> list[int]:
    """Return the peak memory, in bytes, of those children that had more than the bound."""
    if sys.platform != "linux":
        return []
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in decoders.pids()]
    peaks = [1024 * int(status.split("VmHWM:")[1].split()[0]) for status in statuses]
    return [peak for peak in peaks if peak > bound_bytes]


def read(tmp_path: Path, data: bytes) -> NDArray[np.float32]:
    (tmp_path / "sound").write_bytes(data)
    return read_sound(str(tmp_path / "sound"), FILES)


def outcome(tmp_path: Path, data: bytes) -> NDArray[np.float32] | AudioError:
    """Return samples or error: the reader does nothing else."""
    try:
        return read(tmp_path, data)
    except AudioError as error:
        return error


def refused(tmp_path: Path, data: bytes) -> str:
    """Return the type of the error that the reading of a sound gives, and its planning too.

    But for a sound that is too long, or has too many values for its length: planning takes it, as one of which excerpts
    may be used.
    """
    with pytest.raises(AudioError, match="sound'") as caught:
        read(tmp_path, data)
    uri = str(tmp_path / "sound")
    with pytest.raises(AudioError):
        probe(uri, FILES)
    planned = identify([uri], {}, FILES)[uri].identity
    if caught.value.error_type not in ("too_long", "decode_limit"):
        assert planned == f"unreadable:{caught.value.error_type}"
    return caught.value.error_type


@pytest.fixture(scope="module")
def flac_bomb() -> bytes:
    return long_and_small("FLAC", "PCM_16", TWO_HOURS_S, level=0.25)


class TestBombs:
    """Small files that decode to hours. The reader's own limit of 30 s is what stops them, not that of memory."""

    @pytest.mark.parametrize("claim", ["the truth", "nothing", "the most"])
    def test_a_flac_of_two_hours(self, decoders: Decoders, tmp_path: Path, flac_bomb: bytes, claim: str) -> None:
        n_samples = {"the truth": TWO_HOURS_S * RATE_HZ, "nothing": 0, "the most": 2**36 - 1}[claim]
        assert len(flac_bomb) < 1_000_000
        assert refused(tmp_path, with_flac_length(flac_bomb, n_samples)) == "too_long"

    def test_a_flac_of_two_hours_that_claims_to_be_short(
        self, decoders: Decoders, tmp_path: Path, flac_bomb: bytes
    ) -> None:
        assert refused(tmp_path, with_flac_length(flac_bomb, 20 * RATE_HZ)) == "too_long"

    @pytest.mark.parametrize(
        ("form", "subtype", "rate_hz"), [("OGG", "VORBIS", RATE_HZ), ("OGG", "OPUS", RATE_HZ), ("MP3", None, RATE_HZ)]
    )
    def test_a_lossy_one_of_two_minutes(
        self, decoders: Decoders, tmp_path: Path, form: str, subtype: str, rate_hz: int
    ) -> None:
        assert refused(tmp_path, long_and_small(form, subtype, 120, rate_hz=rate_hz)) == "too_long"

    def test_an_ogg_of_two_minutes_that_claims_to_be_short(self, decoders: Decoders, tmp_path: Path) -> None:
        bomb = with_ogg_length(long_and_small("OGG", "VORBIS", 120), 20 * RATE_HZ)
        assert refused(tmp_path, bomb) == "too_long"

    def test_a_file_that_is_too_large_is_not_even_read(self, decoders: Decoders, tmp_path: Path) -> None:
        (tmp_path / "sound").touch()
        os.truncate(tmp_path / "sound", 1 << 40)  # a sparse file: a terabyte of zeros that take no space
        decoders.inspect(wav(), "so that there is a child")
        assert refused_by_size(tmp_path / "sound") == "decode_limit"


def refused_by_size(path: Path) -> str:
    with pytest.raises(AudioError, match="1099511627776 bytes, more than the 34359738368 that are read") as caught:
        read_sound(str(path), FILES)
    assert identify([str(path)], {}, FILES)[str(path)].identity == "unreadable:decode_limit"
    return caught.value.error_type


class TestStyles:
    """Styles may last hours: of those bombs pieces are looked for, which takes no more memory."""

    @pytest.mark.parametrize("n_samples", [TWO_HOURS_S * RATE_HZ, 0])
    def test_a_flac_of_two_hours(self, decoders: Decoders, flac_bomb: bytes, n_samples: int) -> None:
        with pytest.raises(AudioError, match="silent") as caught:  # it is a constant
            decoders.decode_style(with_flac_length(flac_bomb, n_samples), "style", RATE_HZ)
        assert caught.value.error_type == "silent"

    @pytest.mark.parametrize("decoders", [512 << 20], indirect=True)
    def test_many_channels(self, decoders: Decoders) -> None:
        with pytest.raises(AudioError, match="more than 67108864 together") as caught:
            decoders.decode_style(encoded(np.zeros((20 * RATE_HZ, 250), np.int16), "WAV", "PCM_U8"), "style", RATE_HZ)
        assert caught.value.error_type == "decode_limit"


class TestHeaders:
    """Headers that claim what is not so, or what nobody has."""

    @pytest.mark.parametrize("rate_hz", [0, 1, 999, 768_001, 2**31 - 1, 2**31, 2**32 - 1])
    def test_an_absurd_sampling_rate(self, decoders: Decoders, tmp_path: Path, rate_hz: int) -> None:
        assert refused(tmp_path, wav(rate_hz=rate_hz)) in ("not_audio", "truncated")

    @pytest.mark.parametrize("rate", ["7ffeffffffffffffffff", "00018000000000000000", "c00cfa00000000000000"])
    def test_a_sampling_rate_beyond_numbers(self, decoders: Decoders, tmp_path: Path, rate: str) -> None:
        assert refused(tmp_path, aiff(rate=bytes.fromhex(rate))) in ("not_audio", "truncated")

    @pytest.mark.parametrize("rate_hz", [1_000, 767_999])
    def test_the_ends_of_what_is_believed_are_resampled_in_bounded_memory(
        self, decoders: Decoders, tmp_path: Path, rate_hz: int
    ) -> None:
        samples = read(tmp_path, encoded(np.resize(TONE, rate_hz // 2), "WAV", rate_hz=rate_hz))
        assert len(samples) == pytest.approx(RATE_HZ / 2, abs=1)

    @pytest.mark.parametrize("channels", [0, 1_025, 65_535])
    def test_an_absurd_number_of_channels(self, decoders: Decoders, tmp_path: Path, channels: int) -> None:
        assert refused(tmp_path, wav(channels=channels)) == "truncated"

    def test_as_many_channels_as_libsndfile_reads(self, decoders: Decoders, tmp_path: Path) -> None:
        data = np.repeat((TONE[:3_500] * 2**14).astype("<i2"), 1_024).tobytes()
        assert len(read(tmp_path, wav(channels=1_024, data=data))) == 3_500

    @pytest.mark.parametrize("decoders", [512 << 20], indirect=True)
    def test_many_channels_for_long_are_refused_before_they_are_decoded(
        self, decoders: Decoders, tmp_path: Path
    ) -> None:
        """A file of 68 MB, which would be 270 MB of samples, and a multiple of that on the way to one channel."""
        samples = np.zeros((17 * RATE_HZ, 250), dtype=np.int16)
        assert refused(tmp_path, encoded(samples, "WAV", "PCM_U8")) == "decode_limit"

    @pytest.mark.parametrize("claimed_bytes", [2**31 - 1, 2**31, 2**32 - 1])
    def test_a_wav_of_2_to_the_31_is_read_as_far_as_it_goes(
        self, decoders: Decoders, tmp_path: Path, claimed_bytes: int
    ) -> None:
        """Programs that write to a pipe claim that much for what they cannot know."""
        assert len(read(tmp_path, wav(claimed_bytes=claimed_bytes))) == RATE_HZ

    def test_an_aiff_of_2_to_the_31_samples_is_read_as_far_as_it_goes(self, decoders: Decoders, tmp_path: Path) -> None:
        assert len(read(tmp_path, aiff(n_samples=2**31))) == RATE_HZ

    @pytest.mark.parametrize("n_samples", [2**31, 2**36 - 1])
    def test_a_flac_of_2_to_the_31_samples(self, decoders: Decoders, tmp_path: Path, n_samples: int) -> None:
        assert refused(tmp_path, with_flac_length(encoded(TONE, "FLAC"), n_samples)) == "truncated"

    @pytest.mark.parametrize("n_frames", [2**31, 2**32 - 1])
    def test_an_mp3_of_2_to_the_31_frames(self, decoders: Decoders, tmp_path: Path, n_frames: int) -> None:
        assert refused(tmp_path, with_mp3_length(encoded(TONE, "MP3"), n_frames)) == "truncated"

    @pytest.mark.parametrize("granule", [-(2**63), -1, 0, 2**31, 2**62, 2**63 - 1])
    @pytest.mark.parametrize(("subtype", "rate_hz"), [("VORBIS", RATE_HZ), ("OPUS", 48_000)])
    def test_an_ogg_that_ends_nowhere(
        self, decoders: Decoders, tmp_path: Path, granule: int, subtype: str, rate_hz: int
    ) -> None:
        data = with_ogg_length(encoded(np.resize(TONE, rate_hz), "OGG", subtype, rate_hz), granule)
        assert RATE_HZ <= len(read(tmp_path, data)) <= 1.05 * RATE_HZ


# Mutations: bytes changed anywhere or in the header, extreme numbers put there, pieces taken out, doubled or cut off

EXTREMES = [
    b"\xff" * 4,
    b"\x00\x00\x00\x80",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\x7f",
    b"\x7f\xff\xff\xff",
    bytes(4),
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
]


def mutated(data: bytes, seed: int) -> bytes:
    """Return a file with one kind of damage, equal for equal seeds."""
    random = np.random.default_rng(seed)
    low, high = sorted(int(place) for place in random.integers(len(data), size=2))
    changed = bytearray(data)
    match seed % 6:
        case 0 | 1 as kind:
            for place in random.integers(len(data) if kind else min(len(data), 100), size=int(random.integers(1, 9))):
                changed[place] = random.integers(256)
        case 2:
            place, extreme = int(random.integers(min(len(data), 200))), EXTREMES[random.integers(len(EXTREMES))]
            changed[place : place + len(extreme)] = extreme
        case 3:
            del changed[low:high]
        case 4:
            changed[low:low] = changed[low:high]
        case 5:
            del changed[1 + high :]
    return bytes(changed)


def test_mutated_files_give_samples_or_errors(decoders: Decoders, tmp_path: Path) -> None:
    stereo = np.stack([TONE, -0.4 * TONE], axis=1)
    kinds = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("FLAC", "PCM_24"), ("OGG", "VORBIS")]
    kinds += [("OGG", "OPUS"), ("AIFF", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("CAF", "ALAC_16"), ("RF64", "PCM_16")]
    honest = [encoded(sound, *kind) for kind in kinds for sound in (TONE, stereo)]
    outcomes: Counter[str] = Counter()
    for seed in range(MUTATED_FILES):
        # Not in step with the kinds of damage, of which there are six.
        result = outcome(tmp_path, mutated(honest[seed // 6 % len(honest)], seed))
        if isinstance(result, AudioError):
            assert result.error_type in ERROR_TYPES
            assert str(tmp_path / "sound") in str(result)
            outcomes[result.error_type] += 1
        else:
            assert result.dtype == np.float32
            assert result.ndim == 1
            assert np.isfinite(result).all()
            assert len(result) <= 30.5 * RATE_HZ + 1
            outcomes["samples"] += 1
    assert sum(outcomes.values()) == MUTATED_FILES
    assert outcomes["samples"] > 100
    assert outcomes["truncated"] > 100
    assert outcomes["not_audio"] > 10
    assert not {"internal", "out_of_memory", "storage"} & set(outcomes)
