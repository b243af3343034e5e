"""How much sound a file holds is counted: never less than there is, never `truncated` for a whole file.

Every header here claims what its test wants; what is expected follows from the bytes behind it.
"""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from manifests.reading import suffixes
from tasks.audio.sound_errors import AudioError
from tasks.audio.streams import measure, samples_of
from tests.tasks.container_bytes import (
    APE,
    ID3V1,
    ID3V2,
    INFO,
    N_BYTES,
    UNKNOWN_32,
    N,
    aiff,
    au,
    caf,
    mp3,
    page,
    pages,
    renumbered,
    rf64,
    riff,
    tone,
    wave64,
    without_header,
)
from tests.tasks.sound_bytes import PCM, encoded, with_flac_length, with_mp3_length, with_ogg_length

EXPECTED = np.frombuffer(PCM, "<i2") / np.float32(2**15)
NOISE = np.random.default_rng(1).bytes(5_000)
CONVERT = "convert it first, for instance with 'ffmpeg -i FILE FILE.flac'"


def decoded(data: bytes) -> NDArray[np.float32]:
    """Return the samples of one channel, of which planning counts as many."""
    samples, rate_hz = samples_of(data, "sound")
    assert measure(data, "sound") == (len(samples) / rate_hz, len(samples), rate_hz, samples.shape[1])
    return samples[:, 0]


def refused(data: bytes, message: str = "") -> str:
    """Return the type of the error that both planning and reading give, with a message that names the file."""
    with pytest.raises(AudioError, match=f"^'sound' .*{message}") as caught:
        samples_of(data, "sound")
    with pytest.raises(AudioError) as planned:
        measure(data, "sound")
    assert str(planned.value) == str(caught.value)
    return caught.value.error_type


HONEST = [
    *[("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW")],
    *[("WAV", subtype) for subtype in ("IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "NMS_ADPCM_32")],
    *[("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("W64", "MS_ADPCM")],
    *[("AIFF", subtype) for subtype in ("PCM_S8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "GSM610")],
    *[("AU", subtype) for subtype in ("PCM_16", "FLOAT", "ALAW", "G721_32")],
    *[("CAF", subtype) for subtype in ("PCM_16", "FLOAT", "ULAW", "ALAC_16")],
    *[("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
    *[("NIST", "PCM_16"), ("VOC", "PCM_16"), ("SVX", "PCM_16"), ("IRCAM", "FLOAT"), ("MAT5", "DOUBLE")],
]


@pytest.mark.parametrize(("form", "subtype"), HONEST)
@pytest.mark.parametrize("n_samples", [3_200, 40_000])
def test_an_honest_file_gives_what_libsndfile_reads(form: str, subtype: str, n_samples: int) -> None:
    class Stream(soundfile.SoundFile):
        def seekable(self) -> bool:  # the decoder that seeks gives other samples for some rates of MP3
            return False

    data = encoded(tone(n_samples), form, subtype)
    with Stream(io.BytesIO(data)) as sound:
        expected = sound.read(sound.frames, dtype="float32")
    np.testing.assert_array_equal(decoded(data), expected)


@pytest.mark.parametrize("rate_hz", [8_000, 12_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_packets_of_any_rate_are_counted(rate_hz: int, subtype: str) -> None:
    if (subtype, rate_hz) != ("OPUS", 44_100):  # which Opus does not have
        data = encoded(tone(50_000), "OGG", subtype, rate_hz)
        assert len(decoded(data)) == 50_000
        assert 50_000 <= len(decoded(with_ogg_length(data, 1))) <= 50_000 + rate_hz // 20


class TestSizes:
    """Recordings whose headers were never completed, or were filled in wrongly."""

    @pytest.mark.parametrize(
        ("riff_size", "data_size"),
        [
            *[(0, 0), (36, 0), (8, 0), (UNKNOWN_32, 0), (None, 0), (0, N_BYTES), (4, 4), (42, 4)],
            *[(None, UNKNOWN_32), (UNKNOWN_32, UNKNOWN_32), (0x7FFFF024, 0x7FFFF000), (2**31, 2**31 - 36)],
            *[(None, N_BYTES + 1), (None, N_BYTES + 8), (N_BYTES + 74, N_BYTES + 36), (None, N_BYTES + 46)],
            *[(None, 2 * N_BYTES), (None, N_BYTES - 2), (None, N_BYTES - 46), (None, N_BYTES // 2), (None, 2)],
        ],
    )
    def test_a_wav_is_read_to_its_end(self, riff_size: int | None, data_size: int) -> None:
        np.testing.assert_array_equal(decoded(riff(riff_size, data_size)), EXPECTED)
        np.testing.assert_array_equal(decoded(riff(riff_size, data_size, before=INFO)), EXPECTED)

    @pytest.mark.parametrize("data_size", [0, N_BYTES, N_BYTES // 2, N_BYTES - 10, N_BYTES + 10, 2**63, 2**64 - 1])
    @pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
    def test_an_rf64_is_read_to_its_end(self, magic: bytes, data_size: int) -> None:
        np.testing.assert_array_equal(decoded(rf64(magic, data_size=data_size)), EXPECTED)
        np.testing.assert_array_equal(decoded(rf64(magic, 0, data_size)), EXPECTED)

    @pytest.mark.parametrize("data_size", [0, 24, -1, 24 + N_BYTES // 2, 14 + N_BYTES, 34 + N_BYTES, 2**62])
    def test_a_wave64_is_read_to_its_end(self, data_size: int) -> None:
        np.testing.assert_array_equal(decoded(wave64(data_size)), EXPECTED)

    @pytest.mark.parametrize(
        ("form_size", "n_samples", "sound_size"),
        [
            *[(0, 0, 0), (46, 0, 8), (None, N, 0), (UNKNOWN_32, 0, UNKNOWN_32), (0x7F00002E, 0x3F800000, 0x7F000008)],
            *[(None, N // 2, None), (None, 2 * N, None), (None, N, N_BYTES // 2), (None, N, N_BYTES)],
            *[(None, N, N_BYTES + 16), (N_BYTES + 54, N, N_BYTES + 16), (None, N, N_BYTES + 54)],
        ],
    )
    def test_an_aiff_is_read_to_its_end(self, form_size: int | None, n_samples: int, sound_size: int | None) -> None:
        np.testing.assert_array_equal(decoded(aiff(form_size, n_samples, sound_size)), EXPECTED)

    @pytest.mark.parametrize("data_size", [0, UNKNOWN_32, 2**31, N_BYTES // 2, N_BYTES - 4, N_BYTES + 4, N_BYTES + 28])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_an_au_is_read_to_its_end(self, order: str, data_size: int) -> None:
        np.testing.assert_array_equal(decoded(au(data_size, order=order)), EXPECTED)

    @pytest.mark.parametrize("data_size", [0, 4, -1, N_BYTES // 2, N_BYTES - 6, N_BYTES + 14, 2**62])
    def test_a_caf_is_read_to_its_end(self, data_size: int) -> None:
        np.testing.assert_array_equal(decoded(caf(data_size)), EXPECTED)

    @pytest.mark.parametrize("data_size", [0, 4, -1, 2**62])
    def test_a_compressed_caf_is_read_to_its_end(self, data_size: int) -> None:
        np.testing.assert_array_equal(decoded(caf(data_size, "ALAC_16")), EXPECTED)

    @pytest.mark.parametrize(
        "data",
        [
            *[riff(), riff(0), riff(UNKNOWN_32), rf64(), wave64(24 + N_BYTES), aiff(), au(), au(order="<")],
            *[caf(None), caf(None, "ALAC_16"), encoded(tone(), "WAV", "IMA_ADPCM"), encoded(tone(), "FLAC")],
            encoded(tone(), "NIST"),
        ],
    )
    @pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
    def test_what_was_cut_short_is_told(self, data: bytes, share: float) -> None:
        assert refused(data[: int(share * len(data))]) == "truncated"

    @pytest.mark.parametrize("data", [riff(data=b""), riff(data=b"", inside=INFO), au(0)[:28], caf(4)[:4096]])
    def test_no_sound_is_none(self, data: bytes) -> None:
        assert refused(data, "holds no samples") == "empty"


class TestBehindTheSound:
    """What may follow a sound: descriptions, tags and padding, which are not heard; and more sound, which is."""

    @pytest.mark.parametrize(
        "tail",
        [
            *[
                INFO,
                INFO[:-9],
                b"note\x05\0\0\0abcde\0" + INFO,
                b"note\x05\0\0\0abcde" + INFO,
                b"id3 \x8a\0\0\0" + ID3V2,
            ],
            *[ID3V1, ID3V2, APE, INFO + ID3V1, bytes(511), INFO + NOISE],
        ],
    )
    def test_descriptions_and_padding_are_no_sound(self, tail: bytes) -> None:
        np.testing.assert_array_equal(decoded(riff(inside=tail)), EXPECTED)
        np.testing.assert_array_equal(decoded(riff() + tail), EXPECTED)

    @pytest.mark.parametrize("tail", [b"ANNO\0\0\0\4note", ID3V1, bytes(100)])
    def test_of_an_aiff_too(self, tail: bytes) -> None:
        np.testing.assert_array_equal(decoded(aiff(inside=tail)), EXPECTED)
        np.testing.assert_array_equal(decoded(aiff() + tail), EXPECTED)

    @pytest.mark.parametrize("data", [riff() + NOISE, riff(N_BYTES - 962, N_BYTES - 1_000), aiff() + NOISE])
    def test_unknown_bytes_behind_a_header_that_agrees_with_itself_are_told(self, data: bytes) -> None:
        assert refused(data, "unknown bytes behind them: if they are sound, have the header completed") == "not_audio"

    @pytest.mark.parametrize("data", [riff(), rf64(), wave64(24 + N_BYTES), aiff(), au(), au(order="<"), caf(None)])
    def test_joined_files_are_read_one_after_the_other(self, data: bytes) -> None:
        np.testing.assert_array_equal(decoded(data + data), np.tile(EXPECTED, 2))
        np.testing.assert_array_equal(decoded(data + ID3V1 + data + data), np.tile(EXPECTED, 3))

    def test_there_may_be_thousands(self) -> None:
        short = riff(data=PCM[:2])
        np.testing.assert_array_equal(decoded(1_500 * short), np.repeat(EXPECTED[0], 1_500))

    def test_several_chunks_of_sound_are_one_sound(self) -> None:
        second = b"data" + struct.pack("<I", N_BYTES) + PCM
        np.testing.assert_array_equal(decoded(riff(inside=INFO + second)), np.tile(EXPECTED, 2))

    @pytest.mark.parametrize(
        "other", [encoded(tone(), "WAV", rate_hz=8_000), encoded(np.stack([tone()] * 2, 1), "WAV")]
    )
    def test_joined_files_that_differ_are_told(self, other: bytes) -> None:
        assert refused(riff() + other, f"was joined of sounds that differ .*: {CONVERT}") == "not_audio"

    @pytest.mark.parametrize("data", [riff(), aiff(), au(), caf(None), encoded(tone(), "FLAC"), encoded(tone(), "OGG")])
    @pytest.mark.parametrize("tags", [ID3V2, ID3V2 + ID3V2, ID3V2 + bytes(1_000) + ID3V2])
    def test_tags_before_a_sound_are_passed_over(self, data: bytes, tags: bytes) -> None:
        np.testing.assert_array_equal(decoded(tags + data), decoded(data))


@pytest.fixture
def _without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suffixes, "has_pyav", lambda: False)


@pytest.mark.usefixtures("_without_pyav")
class TestCodecs:
    """What libsndfile does not read is named, with what to do."""

    @pytest.mark.parametrize(
        ("data", "name"),
        [
            (riff(tag=0x028F), r"G.722 \(format tag 0x028F\)"),
            (riff(tag=0x00FF), r"AAC \(format tag 0x00FF\)"),
            (riff(tag=0x0161), r"Windows Media Audio 2 \(format tag 0x0161\)"),
            (riff(tag=0x2000), r"Dolby AC-3 \(format tag 0x2000\)"),
            (riff(tag=0x1234), r"an unknown codec \(format tag 0x1234\)"),
            (riff(0, 0, tag=0x1234), r"an unknown codec \(format tag 0x1234\)"),
            (aiff(compression=b"QDM2"), r"QDesign Music 2 \(compression 'QDM2'\)"),
            (aiff(compression=b"wxyz"), r"an unknown codec \(compression 'wxyz'\)"),
            (au(encoding=24), r"G.722 \(encoding 24\)"),
            (caf(None).replace(b"lpcm", b"aac "), r"AAC \(compression 'aac '\)"),
            (
                encoded(tone(), "NIST").replace(b"-s3 pcm", b"-s26 pcm,embedded-shorten-v2.00"),
                r"pcm,embedded-shorten-v2.00 \(sample_coding\)",
            ),
            (page(b"Speex   1.2", 2, 0, 1, 0) + page(NOISE, 4, N, 1, 1), "Speex in Ogg"),
            (page(b"\x80theora\3\2\1", 2, 0, 1, 0) + page(NOISE, 4, N, 1, 1), "Theora in Ogg"),
        ],
    )
    def test_a_codec_is_named(self, data: bytes, name: str) -> None:
        assert refused(data, f"is encoded as {name}, which is not read: {CONVERT}") == "not_audio"

    def test_so_is_one_in_an_extensible_header(self) -> None:
        data = bytearray(encoded(tone(), "WAVEX"))
        guid = data.index(b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71")
        data[guid : guid + 2] = b"\xff\0"
        assert refused(bytes(data), r"is encoded as AAC \(format tag 0x00FF\)") == "not_audio"

    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            (b"\0\0\0\x20ftypM4A ", "an MP4 or M4A file"),
            (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file"),
            (b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
            (b"\xff\xf1\x50\x80", r"an AAC file \(ADTS\)"),
            (b"wvpk", "a WavPack file"),
        ],
    )
    def test_another_format_is_named(self, head: bytes, kind: str) -> None:
        extra = r", or install PyAV, which may read it: pip install 'timbreflow\[av\]'"
        assert refused(head + NOISE, f"is {kind}.*, which is not read: {CONVERT}{extra}$") == "not_audio"

    def test_pyav_is_not_named_for_what_it_does_not_read(self) -> None:
        assert refused(b"OFR " + NOISE, f"is an OptimFROG file, which is not read: {CONVERT}$") == "not_audio"

    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            (b"<!DOCTYPE html><title>404", "a web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
            (b"MThd\0\0\0\6", "a MIDI file"),
        ],
    )
    def test_what_is_no_sound_is_not_to_be_converted(self, head: bytes, kind: str) -> None:
        assert refused(head + NOISE, f"is {kind}.*, and no sound$") == "not_audio"


HIGH, LOW = (without_header(mp3(tone(), "CONSTANT", level)) for level in (0.0, 0.7))
FRAME = 576
N_FRAMES = 30
"""Of an MP3 of `tone()`, of as many samples each, with the padding of the encoder."""


class TestMpeg:
    """The length of an MP3 without a header is a guess, from its first frame."""

    @pytest.mark.parametrize("data", [HIGH + LOW, LOW + HIGH, HIGH + LOW + HIGH])
    def test_frames_of_any_bit_rate_are_counted(self, data: bytes) -> None:
        n_frames = N_FRAMES * (3 if len(data) > 2 * len(HIGH) else 2)
        samples = decoded(data)
        assert len(samples) == n_frames * FRAME
        last = samples[-FRAME * (N_FRAMES - 2) :]
        assert np.sqrt(np.mean(last**2)) > 0.2

    @pytest.mark.parametrize("bitrate_mode", ["VARIABLE", "AVERAGE", "CONSTANT"])
    @pytest.mark.parametrize(("rate_hz", "frame"), [(8_000, 576), (22_050, 576), (32_000, 1_152), (44_100, 1_152)])
    def test_without_its_header_a_file_has_all_its_frames(self, rate_hz: int, frame: int, bitrate_mode: str) -> None:
        data = mp3(tone(rate_hz), bitrate_mode, 0.4, rate_hz)
        assert len(decoded(data)) == rate_hz
        n_samples = len(decoded(without_header(data)))
        assert n_samples % frame == 0
        assert rate_hz <= n_samples <= rate_hz + 3 * frame

    @pytest.mark.parametrize("tag", [0x50, 0x55])
    @pytest.mark.parametrize("content", [HIGH, HIGH + LOW, LOW + HIGH, mp3(tone(), "CONSTANT", 0.3)])
    def test_inside_other_files_it_is_read_as_well(self, tag: int, content: bytes) -> None:
        expected = decoded(content)
        inside = [riff(tag=tag, data=content), riff(0, 0, tag=tag, data=content), riff(tag=tag, data=content) + ID3V1]
        inside.append(aiff(compression=b".mp3", data=content))
        for data in inside:
            np.testing.assert_array_equal(decoded(data), expected)

    @pytest.mark.parametrize(
        "before", [ID3V2 * 2, ID3V2[:40], NOISE, b"\xff", bytes(3_000), b"RIFF\0\0\0\0RMP3data\0\0\0\0"]
    )
    @pytest.mark.parametrize("content", [LOW, mp3(tone(), "VARIABLE", 0.3)])
    def test_what_stands_before_it_is_passed_over(self, before: bytes, content: bytes) -> None:
        np.testing.assert_array_equal(decoded(before + content), decoded(content))

    @pytest.mark.parametrize("behind", [ID3V1, APE, ID3V2, bytes(5_000), b"LYRICSBEGIN words LYRICS200" + ID3V1])
    def test_what_stands_behind_it_is_passed_over(self, behind: bytes) -> None:
        np.testing.assert_array_equal(decoded(LOW + behind), decoded(LOW))

    @pytest.mark.parametrize("between", [b"", ID3V1, ID3V2, ID3V1 + ID3V2])
    def test_joined_ones_are_read_one_after_the_other(self, between: bytes) -> None:
        one, other = mp3(tone(), "VARIABLE", 0.3), mp3(tone(8_000), "CONSTANT", 0.2)
        np.testing.assert_array_equal(decoded(one + between + other), np.concatenate([decoded(one), decoded(other)]))

    @pytest.mark.parametrize("claim", [0, 1, N_FRAMES - 1])
    def test_a_header_that_claims_less_is_not_believed(self, claim: int) -> None:
        assert len(decoded(with_mp3_length(mp3(tone(), "CONSTANT", 0.3), claim))) == N_FRAMES * FRAME

    def test_a_header_may_count_its_own_frame(self) -> None:
        data = mp3(tone(), "CONSTANT", 0.3)
        np.testing.assert_array_equal(decoded(with_mp3_length(data, N_FRAMES + 1)), decoded(data))

    def test_the_first_header_may_count_the_frames_of_all(self) -> None:
        data = mp3(tone(), "CONSTANT", 0.3)
        assert len(decoded(with_mp3_length(data, 2 * N_FRAMES) + data)) >= 2 * N

    def test_fewer_frames_than_claimed_were_cut_off(self) -> None:
        data = mp3(tone(), "CONSTANT", 0.3)
        assert refused(data[: len(data) // 2], "14 frames of MPEG audio instead of 30") == "truncated"
        assert refused(data + data[: len(data) // 2], "14 frames of MPEG audio instead of 30") == "truncated"

    @pytest.mark.parametrize(
        ("layer", "n_samples", "sizes"), [(1, 384, {13: 416, 1: 32}), (2, 1_152, {13: 960, 1: 96})]
    )
    def test_frames_of_other_layers_are_counted(self, layer: int, n_samples: int, sizes: dict[int, int]) -> None:
        """Silent ones at 48 kHz, the first of a much higher bit rate than those that follow."""
        second = {1: 0xFF, 2: 0xFD}[layer]
        high, low = (bytes([0xFF, second, rate << 4 | 4, 0xC0]).ljust(size, b"\0") for rate, size in sizes.items())
        assert measure(3 * high + 57 * low, "sound").n_samples == 60 * n_samples

    def test_a_header_of_another_encoder_is_no_sound(self) -> None:
        frame = LOW[: LOW.index(LOW[:2], 2)]
        for claim in (0, 12, N_FRAMES):
            header = frame[:4] + bytes(32) + b"VBRI" + bytes(10) + struct.pack(">I", claim)
            np.testing.assert_array_equal(decoded(header.ljust(len(frame), b"\0") + LOW), decoded(LOW))
        header = frame[:4] + bytes(32) + b"VBRI" + bytes(10) + struct.pack(">I", 1_000)
        assert refused(header.ljust(len(frame), b"\0") + LOW, "30 frames of MPEG audio instead of 1000") == "truncated"

    def test_frames_of_free_format_are_not_guessed_at(self) -> None:
        free = LOW[:2] + bytes([LOW[2] & 0x0F]) + LOW[3:50]
        assert refused(free * 60, f"begins like MPEG audio, .* or of free format: {CONVERT}") == "not_audio"

    def test_damage_is_told(self) -> None:
        assert refused(LOW[:2_000] + NOISE + LOW[2_000:], "is damaged: .* bytes in it are no frames") == "truncated"

    def test_a_long_one_is_told_by_how_much(self) -> None:
        assert refused(HIGH * 35, r"lasts 37.6 s, 7.6 s more than 30 s") == "too_long"

    def test_no_frames_are_none(self) -> None:
        assert refused(riff(tag=0x55, data=NOISE), "no frame of it was found") == "not_audio"


FLAC = encoded(tone(), "FLAC")


class TestFlac:
    """The length in a FLAC's header is a claim; its frames are numbered."""

    @pytest.mark.parametrize("claim", [0, 1, 4_096, N // 2, N - 1])
    @pytest.mark.parametrize("behind", [b"", ID3V1, bytes(700), NOISE, NOISE[:9]])
    def test_all_frames_are_read(self, claim: int, behind: bytes) -> None:
        np.testing.assert_array_equal(decoded(with_flac_length(FLAC, claim) + behind), decoded(FLAC))

    @pytest.mark.parametrize("between", [b"", ID3V1, ID3V2])
    @pytest.mark.parametrize("claim", [0, N])
    def test_joined_ones_are_read_one_after_the_other(self, claim: int, between: bytes) -> None:
        data = with_flac_length(FLAC, claim)
        np.testing.assert_array_equal(decoded(data + between + FLAC), np.tile(decoded(FLAC), 2))

    @pytest.mark.parametrize("claim", [0, N // 2, N])
    def test_what_was_cut_short_is_told(self, claim: int) -> None:
        assert refused(with_flac_length(FLAC, claim)[:-3_000]) == "truncated"
        assert refused(with_flac_length(FLAC, claim)[:-3_000] + FLAC) == "truncated"

    def test_fewer_samples_than_claimed_were_cut_off(self) -> None:
        assert refused(with_flac_length(FLAC, 2 * N), f"{N} samples per channel instead of {2 * N}") == "truncated"

    @pytest.mark.parametrize("claim", [0, 10 * N])
    def test_a_missing_frame_is_told(self, claim: int) -> None:
        data = encoded(tone(10 * N), "FLAC")
        starts = [place for place in range(len(data) - 1) if data[place : place + 2] == b"\xff\xf8"]
        third, fourth = starts[2], starts[3]
        assert refused(with_flac_length(data[:third] + data[fourth:], claim)) == "truncated"


@pytest.mark.parametrize(("subtype", "rate_hz"), [("VORBIS", 16_000), ("OPUS", 16_000), ("OPUS", 48_000)])
class TestOgg:
    """The last page of an Ogg file says how long it is, and may say anything."""

    @pytest.mark.parametrize("n_samples", [12_000, 70_000])
    @pytest.mark.parametrize("granule", [-1, 0, 1, 6_000, 200_000, 2**40, 2**63 - 1, -(2**63), -2])
    def test_packets_are_counted(self, subtype: str, rate_hz: int, granule: int, n_samples: int) -> None:
        """The encoder's padding of the last packet comes with them."""
        samples = decoded(with_ogg_length(encoded(tone(n_samples), "OGG", subtype, rate_hz), granule))
        assert n_samples <= len(samples) <= n_samples + rate_hz // 20

    def test_chained_streams_are_read_one_after_the_other(self, subtype: str, rate_hz: int) -> None:
        one, other = (encoded(tone(n_samples), "OGG", subtype, rate_hz) for n_samples in (12_000, 50_000))
        expected = np.concatenate([decoded(one), decoded(other), decoded(one)])
        np.testing.assert_array_equal(decoded(one + other + one), expected)

    def test_the_sound_of_a_film_is_found(self, subtype: str, rate_hz: int) -> None:
        data = encoded(tone(50_000), "OGG", subtype, rate_hz)
        sound, film = pages(data), [page(b"\x80theora\3\2\1", 2, 0, 7, 0), page(NOISE, 0, 0, 7, 1)]
        mixed = [film[0], sound[0], film[1], *sound[1:3], page(NOISE, 4, 9, 7, 2), *sound[3:]]
        np.testing.assert_array_equal(decoded(b"".join(mixed)), decoded(data))

    @pytest.mark.parametrize("behind", [ID3V1, NOISE[:1_000], bytes(300)])
    def test_what_stands_behind_it_is_passed_over(self, subtype: str, rate_hz: int, behind: bytes) -> None:
        data = encoded(tone(50_000), "OGG", subtype, rate_hz)
        np.testing.assert_array_equal(decoded(data + behind), decoded(data))

    def test_pages_may_be_numbered_wrongly(self, subtype: str, rate_hz: int) -> None:
        data = encoded(tone(150_000), "OGG", subtype, rate_hz)
        numbered = [renumbered(one, 0 if place > 2 else place) for place, one in enumerate(pages(data))]
        assert len(decoded(b"".join(numbered))) == 150_000

    def test_two_sounds_at_once_are_told(self, subtype: str, rate_hz: int) -> None:
        one, other = (pages(encoded(tone(20_000), "OGG", kind, rate_hz)) for kind in ("VORBIS", "OPUS"))
        assert refused(one[0] + other[0] + b"".join(one[1:] + other[1:]), "holds 2 sounds at once") == "not_audio"

    def test_pages_that_are_cut_off_missing_or_damaged_are_told(self, subtype: str, rate_hz: int) -> None:
        found = pages(encoded(tone(150_000), "OGG", subtype, rate_hz))
        whole = b"".join(found)
        damaged = bytearray(found[3])
        damaged[-20] ^= 0xFF
        assert refused(whole[:-50], "its last page of Ogg is cut off") == "truncated"
        assert refused(whole[: len(whole) // 2], "its last page of Ogg is cut off") == "truncated"
        assert refused(b"".join(found[:3] + found[4:]), "page 3 of its Ogg stream is missing") == "truncated"
        assert refused(b"".join([*found[:3], bytes(damaged), *found[4:]])) == "truncated"
