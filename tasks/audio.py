"""Sounds in and out: any file that libsndfile reads becomes 16 kHz mono, results become FLAC.

Whatever is wrong with a file becomes an `AudioError` with a type from `manifests.schema.ERROR_TYPES` and a message
with the path: the pair's row shows both, and no other pair is harmed.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from manifests.files import Files

SAMPLE_RATE = 16_000
MIN_DURATION_S = 0.2
MAX_DURATION_S = 30.0

SILENCE_PEAK = 2.0**-14
"""Peak, -84 dBFS, up to which a sound counts as silence: the dither of 16-bit silence stays under it."""

CANCELLED_SHARE = 0.05
"""Energy of the mean of N channels, as a share of what N unrelated channels leave, below which they cancel out."""

_UNREADABLE = frozenset({1, 4, 18})
"""libsndfile's codes for an unknown format, encoding or combination; its others are about damage to a known one."""

_CUT_CHUNK = re.compile(r"^\s*(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7FFFF000
"""Chunk sizes from here on are what programs write that stream to a pipe and do not know the length."""

_PCM_24 = 2**23
_PCM_24_IN_32 = 2**8


class AudioError(Exception):
    """A sound cannot be used.

    Attributes
    ----------
    error_type : str
        One of `manifests.schema.ERROR_TYPES`.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class SoundInfo(NamedTuple):
    """What a file's header says: length in s and in frames, sampling rate in Hz, channels."""

    duration_s: float
    n_samples: int
    sample_rate: int
    channels: int


def probe(uri: str, files: Files) -> SoundInfo:
    """Read the header of a sound.

    Parameters
    ----------
    uri : str
        Local path or S3 URI.
    files : Files
        Where to read it.

    Raises
    ------
    AudioError
        Types `missing`, `is_folder`, `empty`, `truncated`, `not_audio`, `too_long` and `storage`. A compressed file
        that ends early, and one that is too short, shows itself only to `read_sound`.
    """
    with _opened(uri, files) as sound:
        return _info(sound)


def read_sound(uri: str, files: Files, sample_rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """Read a sound as mono at one sampling rate, at its own level.

    Parameters
    ----------
    uri : str
        Local path or S3 URI of a wav, flac, ogg, mp3 or aiff file, of any sampling rate and number of channels,
        0.2 s to 30 s long.
    files : Files
        Where to read it.
    sample_rate : int
        Of the result, in Hz.

    Returns
    -------
    ndarray of float32
        `[N]`; full scale is 1.

    Raises
    ------
    AudioError
        Types `missing`, `is_folder`, `empty` (no bytes or no samples), `truncated` (fewer samples than the header
        says), `not_audio`, `too_short`, `too_long`, `silent`, `not_finite` and `storage`.
    """
    with _opened(uri, files) as sound:
        info = _info(sound)
        channels = _decoded(sound, info, uri)
    if info.duration_s < MIN_DURATION_S:
        raise AudioError("too_short", f"'{uri}' lasts {info.duration_s:.3g} s, less than {MIN_DURATION_S} s")
    if not np.isfinite(channels).all():
        raise AudioError("not_finite", f"'{uri}' holds NaN or Inf samples")
    samples: NDArray[np.float32] = soxr.resample(downmix(channels), info.sample_rate, sample_rate, quality="HQ").astype(
        np.float32
    )
    # After resampling: a sound wholly above the new band is silent too.
    if np.abs(samples).max(initial=0) <= SILENCE_PEAK:
        raise AudioError("silent", f"'{uri}' is silent (peak at most {20 * np.log10(SILENCE_PEAK):.0f} dBFS)")
    return samples


def downmix(channels: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean of the channels, or the loudest channel where the mean cancels them out.

    Stereo in anti-phase has a silent mean. Unrelated channels keep `1 / N` of their energy in the mean, and so does a
    lone channel among silent ones; less than a twentieth of that is cancellation.

    Parameters
    ----------
    channels : ndarray of float
        `[N, channels]`.

    Returns
    -------
    ndarray of float
        `[N]`.

    Examples
    --------
    >>> downmix(np.array([[1.0, 0.5], [0.0, 1.0]]))
    array([0.75, 0.5 ])
    >>> downmix(np.array([[1.0, -1.0], [0.5, -0.5]]))
    array([1. , 0.5])
    """
    mean: NDArray[np.floating] = channels.mean(axis=1)
    energies = np.square(channels, dtype=np.float64).sum(axis=0)
    unrelated = energies.mean() / len(energies)
    if np.square(mean, dtype=np.float64).sum() < CANCELLED_SHARE * unrelated:
        return channels[:, energies.argmax()]
    return mean


def encode_flac(samples: NDArray[np.floating], sample_rate: int) -> bytes:
    """Return a mono sound as a 24-bit FLAC file; equal samples give equal bytes with the same libsndfile.

    Parameters
    ----------
    samples : ndarray of float
        `[N]`, within full scale, -1 to 1.
    sample_rate : int
        In Hz.

    Raises
    ------
    ValueError
        If a sample is not finite or exceeds full scale: clipping would be silent damage.
    """
    peak = float(np.abs(samples).max(initial=0))
    if not peak <= 1:
        raise ValueError(f"peak={peak} is not within full scale, 1")
    # Rounded here and not by libsndfile, so that every version of it writes the same samples.
    steps = np.rint(np.asarray(samples, dtype=np.float64) * _PCM_24)
    pcm = np.clip(steps, -_PCM_24, _PCM_24 - 1).astype(np.int32) * np.int32(_PCM_24_IN_32)
    file = io.BytesIO()
    soundfile.write(file, pcm, sample_rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()


def decode_flac(data: bytes) -> NDArray[np.int32]:
    """Return the samples of a file of `encode_flac`, exactly as written: `[N]`, full scale is 2^31."""
    pcm: NDArray[np.int32] = soundfile.read(io.BytesIO(data), dtype="int32")[0]
    return pcm


def pcm_to_float(pcm: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return decoded samples `[N]` with full scale 1; exact, since 24 bits fit a float32."""
    return (pcm / 2.0**31).astype(np.float32)


def samples_sha256(pcm: NDArray[np.int32]) -> str:
    """Return the sha256 of decoded samples `[N]` as little-endian int32: the sound's, whatever the encoder did."""
    return hashlib.sha256(pcm.astype("<i4").tobytes()).hexdigest()


class _Reader:
    """A stream that remembers its fault: exceptions do not pass through libsndfile, which sees only an early end.

    Without it a broken connection would look like a file that is not audio, and never be tried again.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.fault: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as fault:
            self.fault = fault
            return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


@contextmanager
def _opened(uri: str, files: Files) -> Iterator[soundfile.SoundFile]:
    """Open a sound whose header is whole and whose length is allowed."""
    with _typed(uri), files.open(uri) as stream:
        reader = _Reader(stream)
        try:
            if not stream.read(1):
                raise AudioError("empty", f"'{uri}' is empty")
            stream.seek(0)
            with soundfile.SoundFile(reader) as sound:
                _check_header(sound, uri)
                yield sound
        except (soundfile.LibsndfileError, AudioError):
            if reader.fault is not None:
                raise AudioError("storage", f"reading '{uri}' failed: {reader.fault}") from reader.fault
            raise


@contextmanager
def _typed(uri: str) -> Iterator[None]:
    """Turn what opening a file can raise into an AudioError."""
    try:
        yield
    except FileNotFoundError as error:
        raise AudioError("missing", f"'{uri}' does not exist") from error
    except IsADirectoryError as error:
        raise AudioError("is_folder", f"'{uri}' is a folder, not a sound") from error
    except OSError as error:
        raise AudioError("storage", str(error)) from error
    except soundfile.LibsndfileError as error:
        if error.code in _UNREADABLE:
            raise AudioError("not_audio", f"'{uri}' is no sound file that libsndfile reads") from error
        raise AudioError("truncated", f"'{uri}' is damaged or ends early (libsndfile's error {error.code})") from error


def _check_header(sound: soundfile.SoundFile, uri: str) -> None:
    cut = _CUT_CHUNK.search(sound.extra_info)
    if cut and int(cut[2]) < int(cut[1]) < _STREAMED:
        raise AudioError("truncated", f"'{uri}' ends early: {cut[2]} bytes of sound instead of {cut[1]}")
    if sound.frames == 0:
        raise AudioError("empty", f"'{uri}' holds no samples")
    duration_s = _info(sound).duration_s
    if duration_s > MAX_DURATION_S:
        raise AudioError("too_long", f"'{uri}' lasts {duration_s:.1f} s, more than {MAX_DURATION_S:.0f} s")


def _info(sound: soundfile.SoundFile) -> SoundInfo:
    return SoundInfo(sound.frames / sound.samplerate, sound.frames, sound.samplerate, sound.channels)


def _decoded(sound: soundfile.SoundFile, info: SoundInfo, uri: str) -> NDArray[np.float32]:
    """Return all samples, `[N, channels]`, as many as the header says."""
    channels: NDArray[np.float32] = sound.read(dtype="float32", always_2d=True)
    if len(channels) < info.n_samples:
        message = f"'{uri}' ends early: {len(channels)} samples per channel instead of {info.n_samples}"
        raise AudioError("truncated", message)
    return channels
