"""Sounds that libsndfile does not read, by PyAV: whole, aligned, bounded, and in the sandbox.

PyAV is an extra (`pip install 'timbreflow[av]'`), so these tests are skipped where it is not installed. Its encoders
make the files.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.audio.decoding import decode
from tasks.audio.excerpts import Excerpt
from tasks.audio.sandbox import Decoders
from tasks.audio.sound_errors import AudioError
from tasks.audio.streams import measure, samples_of

av: Any = pytest.importorskip("av", reason="PyAV is not installed: pip install 'timbreflow[av]'")

N = 40_000
LOSSY_ERROR = 0.03
"""Largest share of the energy that a codec changes of a chirp at its bit rate here."""


def chirp(n_samples: int = N, rate: int = 44_100) -> NDArray[np.float32]:
    """Return a sound that is like itself at no other place, so that a delay shows."""
    time = np.arange(n_samples) / rate
    fade = np.minimum(1, np.minimum(time, time[::-1]) * 100)
    return (0.4 * fade * np.sin(2 * np.pi * (200 + 800 * time) * time)).astype(np.float32)


def file_of(
    samples: NDArray[np.float32],
    form: str,
    codec: str,
    rate: int = 44_100,
    channels: int = 1,
    path: Path | None = None,
    **options: str,
) -> bytes:
    """Return a file as FFmpeg's encoder and muxer write it; some options want a path, to read what was written."""
    layout, file = {1: "mono", 2: "stereo"}[channels], io.BytesIO()
    with av.open(str(path) if path else file, "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(np.tile(samples, (channels, 1)), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        size = stream.codec_context.frame_size or 1_024
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate, frame_size=size)
        for one in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(one))
    return path.read_bytes() if path else file.getvalue()


def decoded(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Return samples `[N, channels]` and their rate, of which planning counts as many."""
    samples, rate_hz = samples_of(data, "sound")
    assert measure(data, "sound") == (len(samples) / rate_hz, len(samples), rate_hz, samples.shape[1])
    assert samples.dtype == np.float32
    return samples, rate_hz


def refused(data: bytes) -> AudioError:
    """Return the error that both planning and reading give."""
    with pytest.raises(AudioError) as caught:
        samples_of(data, "sound")
    with pytest.raises(AudioError) as planned:
        measure(data, "sound")
    assert str(planned.value) == str(caught.value)
    assert str(caught.value).startswith("'sound' ")
    return caught.value


@pytest.mark.parametrize(
    ("form", "codec", "step"),
    [("ipod", "alac", 2**-15), ("mov", "pcm_s16le", 2**-15), ("wv", "wavpack", 2**-7), ("matroska", "flac", 2**-15)],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossless_sounds_come_back(form: str, codec: str, step: float, channels: int) -> None:
    samples, rate_hz = decoded(file_of(chirp(), form, codec, channels=channels))
    assert (samples.shape, rate_hz) == ((N, channels), 44_100)
    np.testing.assert_allclose(samples, np.tile(chirp()[:, None], (1, channels)), atol=step)


@pytest.mark.parametrize(
    ("form", "codec", "rate"),
    [("ipod", "aac", 44_100), ("mp4", "aac", 48_000), ("mov", "aac", 16_000), ("webm", "libopus", 48_000)],
)
def test_what_the_container_tells_of_delay_and_padding_is_taken_off(form: str, codec: str, rate: int) -> None:
    expected = chirp(N, rate)
    samples, rate_hz = decoded(file_of(expected, form, codec, rate))
    assert rate_hz == rate
    assert abs(len(samples) - N) <= rate // 1_000  # edit lists count milliseconds
    least = min(len(samples), N)
    error = np.square(samples[:least, 0] - expected[:least]).sum() / np.square(expected).sum()
    assert error < LOSSY_ERROR


@pytest.mark.parametrize(
    ("form", "codec", "rate"),
    [
        *[("adts", "aac", 44_100), ("matroska", "aac", 44_100), ("asf", "wmav2", 44_100), ("ac3", "ac3", 48_000)],
        *[("eac3", "eac3", 48_000), ("flv", "aac", 44_100), ("avi", "ac3", 48_000)],
        *[("wav", "adpcm_swf", 44_100), ("caf", "adpcm_ima_wav", 44_100)],
    ],
)
def test_where_it_tells_nothing_a_sound_is_read_to_its_end(form: str, codec: str, rate: int) -> None:
    samples, rate_hz = decoded(file_of(chirp(N, rate), form, codec, rate))
    assert rate_hz == rate
    assert N - 2_048 <= len(samples) <= N + 4_096
    assert np.square(samples).mean() == pytest.approx(np.square(chirp(N, rate)).mean(), rel=0.15)


def test_samples_that_an_encoder_of_apple_counts_are_kept_and_no_others() -> None:
    data = file_of(chirp(), "ipod", "aac")
    whole = len(decoded(data)[0])

    def tagged(n_samples: int) -> int:
        tag = f" 00000000 00000400 00000100 {n_samples:016X}"
        with av.open(io.BytesIO(data)) as source:
            stream = source.streams.audio[0]
            file = io.BytesIO()
            with av.open(file, "w", format="ipod", options={"movflags": "use_metadata_tags"}) as target:
                target.metadata["iTunSMPB"] = tag
                copied = target.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.dts is not None:
                        packet.stream = copied
                        target.mux(packet)
        return len(decoded(file.getvalue())[0])

    assert tagged(whole - 500) == whole - 500
    assert tagged(0) == pytest.approx(whole, abs=1_024)
    assert tagged(100) >= whole  # no padding is as long as that: it is wrong


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    ("form", "codec", "movflags"),
    [
        *[("ipod", "aac", ""), ("ipod", "aac", "faststart"), ("mov", "pcm_s16le", "faststart"), ("wv", "wavpack", "")],
        *[
            ("webm", "libopus", ""),
            ("matroska", "aac", ""),
            ("asf", "wmav2", ""),
            ("avi", "ac3", ""),
            ("tta", "tta", ""),
        ],
    ],
)
def test_a_file_that_was_cut_is_truncated(form: str, codec: str, movflags: str, share: float, tmp_path: Path) -> None:
    options, rate = {"movflags": movflags} if movflags else {}, 48_000
    data = file_of(chirp(3 * N, rate), form, codec, rate, path=tmp_path / "sound", **options)
    decoded(data)
    assert refused(data[: int(share * len(data))]).error_type == "truncated"


def test_what_is_written_while_it_is_recorded_has_no_length_and_is_read_to_its_end() -> None:
    data = file_of(chirp(3 * N, 48_000), "webm", "libopus", 48_000, live="1")
    whole = len(decoded(data)[0])
    assert whole >= 3 * N
    assert 0 < len(decoded(data[: len(data) // 2])[0]) < whole


def test_a_film_without_sound_and_a_file_that_only_begins_like_one_are_refused() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for one in [av.VideoFrame(32, 32, "yuv420p"), None]:
            container.mux(stream.encode(one))
    error = refused(file.getvalue())
    assert (error.error_type, "has no sound" in str(error)) == ("not_audio", True)
    for head in (b"\0\0\0\x20ftypM4A ", b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"wvpk", b"\xff\xf1"):
        noise = head + np.random.default_rng(1).bytes(5_000)
        assert refused(noise).error_type in ("truncated", "not_audio", "empty")


def test_a_long_sound_is_refused_without_being_decoded_to_its_end() -> None:
    data = file_of(chirp(8_000 * 32, 8_000), "ipod", "aac", 8_000)
    assert refused(data).error_type == "too_long"


def test_a_playlist_is_never_followed() -> None:
    listed = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n"
    for data in (listed, b"ffconcat version 1.0\nfile '/etc/hostname'\n", b"\0\0\0\x20ftypM4A " + listed):
        assert refused(data).error_type in ("not_audio", "truncated")


def test_the_sandbox_decodes_them_within_its_limits() -> None:
    data = file_of(chirp(), "ipod", "aac")
    decoders = Decoders()
    try:
        np.testing.assert_array_equal(decoders.decode(data, "sound", 16_000), decode(data, "sound", 16_000))
        assert decoders.inspect(data, "sound") == measure(data, "sound")
        with pytest.raises(AudioError) as caught:
            decoders.inspect(data[: len(data) // 2], "sound")
        assert caught.value.error_type == "truncated"
        assert decoders.started == 1
    finally:
        decoders.close()


def test_an_excerpt_is_a_part_of_the_whole() -> None:
    data = file_of(chirp(), "ipod", "aac")
    whole = decoded(data)[0]
    part, rate_hz = samples_of(data, "sound", Excerpt(0.25, 0.75))
    np.testing.assert_array_equal(part, whole[rate_hz // 4 : 3 * rate_hz // 4])
    with pytest.raises(AudioError) as caught:
        samples_of(data, "sound", Excerpt(2.0, 3.0))
    assert caught.value.error_type == "beyond_end"
