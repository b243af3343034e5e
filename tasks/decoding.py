"""Bytes to samples. Runs in a child process, see `tasks.decoder`: libsndfile parses what anybody may have made.

Whatever is wrong with a file becomes an `AudioError` with a type from `manifests.schema.ERROR_TYPES` and a message
with the path. Nothing is allocated on the word of a header before its claim was found to be within bounds, and a sound
whose header does not say how long it is is read in blocks, up to the length that is allowed.
"""

from __future__ import annotations

import io
import re
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

MIN_DURATION_S = 0.2
MAX_DURATION_S = 30.0

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
"""Sampling rates that are believed: from 1 kHz up to the highest that any recorder writes."""

MAX_VALUES = 1 << 26
"""Samples times channels that are decoded, 256 MiB: eight channels of 30 s at 192 kHz are 46 million."""

SILENCE_PEAK = 2.0**-14
"""Peak, -84 dBFS, up to which a sound counts as silence: the dither of 16-bit silence stays under it."""

CANCELLED_SHARE = 0.05
"""Energy of the mean of N channels, as a share of what N unrelated channels leave, below which they cancel out."""

_BLOCK_VALUES = 1 << 20
_UNKNOWN_LENGTH = 1 << 62
"""Libsndfile says something like 2^63 - 1 for a length that the header leaves open."""

_UNREADABLE = frozenset({1, 4, 18})
"""libsndfile's codes for an unknown format, encoding or combination; its others are about damage to a known one."""

_NO_MEMORY = 17

_ESTIMATE = 2 * 1_152
"""Samples by which an MP3 may be shorter than it seems, two of its frames: without a header the length is estimated."""

_CUT_CHUNK = re.compile(r"^\s*(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7FFFF000
"""Chunk sizes from here on are what programs write that stream to a pipe and do not know the length."""


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

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        return AudioError, (self.error_type, str(self))


class _Stream(soundfile.SoundFile):
    """A sound that is read from front to back: a seek to where a read ended fails at the end of an unknown length."""

    def seekable(self) -> bool:
        return False


class SoundInfo(NamedTuple):
    """What is known without decoding: length in s and in frames, sampling rate in Hz, channels."""

    duration_s: float
    n_samples: int
    sample_rate: int
    channels: int


def inspect(data: bytes | memoryview, uri: str) -> SoundInfo:
    """Read the header of a sound; where that leaves the length open, decode to find it out.

    Parameters
    ----------
    data : bytes
        The whole file.
    uri : str
        Its name, for messages.

    Raises
    ------
    AudioError
        Types `empty`, `truncated`, `not_audio`, `too_long` and `decode_limit`.
    MemoryError
        If it takes more memory than there is.
    """
    with _opened(data, uri) as sound:
        info = _checked(sound, uri)
        if info.n_samples < _UNKNOWN_LENGTH:
            return info
        return _with_length(info, len(_to_the_end(sound, info, uri)))


def decode(data: bytes | memoryview, uri: str, sample_rate: int) -> NDArray[np.float32]:
    """Return a sound as mono at one sampling rate, at its own level: `[N]`, full scale is 1.

    Parameters
    ----------
    data : bytes
        The whole file.
    uri : str
        Its name, for messages.
    sample_rate : int
        Of the result, in Hz.

    Raises
    ------
    AudioError
        As `inspect`, and `too_short`, `silent` and `not_finite`.
    MemoryError
        As `inspect`.
    """
    with _opened(data, uri) as sound:
        info = _checked(sound, uri)
        read = _whole if info.n_samples < _UNKNOWN_LENGTH else _to_the_end
        channels = read(sound, info, uri)
    if len(channels) / info.sample_rate < MIN_DURATION_S:
        duration_s = len(channels) / info.sample_rate
        raise AudioError("too_short", f"'{uri}' lasts {duration_s:.3g} s, less than {MIN_DURATION_S} s")
    if not np.isfinite(channels).all():
        raise AudioError("not_finite", f"'{uri}' holds NaN or Inf samples")
    samples: NDArray[np.float32] = soxr.resample(downmix(channels), info.sample_rate, sample_rate, quality="HQ").astype(
        np.float32
    )
    if not np.isfinite(samples).all():
        raise AudioError("not_finite", f"'{uri}' holds samples so large that their mean is not finite")
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
    # One channel at a time: all of them in float64 would be three times the sound.
    energies = np.array([_energy(channels[:, channel]) for channel in range(channels.shape[1])])
    unrelated = energies.mean() / len(energies)
    if _energy(mean) < CANCELLED_SHARE * unrelated:
        return channels[:, energies.argmax()]
    return mean


def _energy(samples: NDArray[np.floating]) -> float:
    return float(np.square(samples, dtype=np.float64).sum())


def _opened(data: bytes | memoryview, uri: str) -> _Stream:
    if not data:
        raise AudioError("empty", f"'{uri}' is empty")
    try:
        return _Stream(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise _understood(error, uri) from error


def _understood(error: soundfile.LibsndfileError, uri: str) -> AudioError | MemoryError:
    if error.code == _NO_MEMORY:
        return MemoryError()
    if error.code in _UNREADABLE:
        return AudioError("not_audio", f"'{uri}' is no sound file that libsndfile reads")
    return AudioError("truncated", f"'{uri}' is damaged or ends early (libsndfile's error {error.code})")


def _checked(sound: _Stream, uri: str) -> SoundInfo:
    """Return what the header says, if all of it can be believed; a length left open is `_UNKNOWN_LENGTH` or more."""
    cut = _CUT_CHUNK.search(sound.extra_info)
    if cut and int(cut[2]) < int(cut[1]) < _STREAMED:
        raise AudioError("truncated", f"'{uri}' ends early: {cut[2]} bytes of sound instead of {cut[1]}")
    if sound.frames <= 0:
        raise AudioError("empty", f"'{uri}' holds no samples")
    if not MIN_RATE_HZ <= sound.samplerate <= MAX_RATE_HZ:
        bounds = f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are read"
        raise AudioError("not_audio", f"'{uri}' claims a sampling rate of {sound.samplerate} Hz; {bounds}")
    info = SoundInfo(sound.frames / sound.samplerate, sound.frames, sound.samplerate, sound.channels)
    if info.n_samples < _UNKNOWN_LENGTH:
        if info.duration_s > MAX_DURATION_S:
            raise AudioError("too_long", f"'{uri}' lasts {info.duration_s:.1f} s, more than {MAX_DURATION_S:.0f} s")
        _refuse_large(info, uri)
    return info


def _refuse_large(info: SoundInfo, uri: str) -> None:
    if info.n_samples * info.channels > MAX_VALUES:
        size = f"{info.n_samples} samples in each of {info.channels} channels"
        raise AudioError("decode_limit", f"'{uri}' has {size}, more than {MAX_VALUES} together")


def _with_length(info: SoundInfo, n_samples: int) -> SoundInfo:
    return info._replace(n_samples=n_samples, duration_s=n_samples / info.sample_rate)


def _whole(sound: _Stream, info: SoundInfo, uri: str) -> NDArray[np.float32]:
    """Return all samples, `[N, channels]`: no fewer than the header says."""
    channels = _block(sound, info.n_samples, uri)
    if len(channels) < info.n_samples - (_ESTIMATE if sound.format == "MP3" else 0):
        message = f"'{uri}' ends early: {len(channels)} samples per channel instead of {info.n_samples}"
        raise AudioError("truncated", message)
    return channels


def _block(sound: _Stream, n_samples: int, uri: str) -> NDArray[np.float32]:
    """Return the next samples, `[N, channels]`: fewer than were asked for at the end."""
    try:
        block: NDArray[np.float32] = sound.read(n_samples, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise _understood(error, uri) from error
    return block


def _to_the_end(sound: _Stream, info: SoundInfo, uri: str) -> NDArray[np.float32]:
    """Return all samples of a sound that does not say how many they are, `[N, channels]`, or refuse it on the way."""
    blocks: list[NDArray[np.float32]] = []
    n_samples, size = 0, max(1, _BLOCK_VALUES // info.channels)
    while True:
        block = _block(sound, size, uri)
        n_samples += len(block)
        if n_samples > MAX_DURATION_S * info.sample_rate:
            raise AudioError("too_long", f"'{uri}' lasts more than {MAX_DURATION_S:.0f} s")
        _refuse_large(_with_length(info, n_samples), uri)
        blocks.append(block)
        if len(block) < size:
            break
    if n_samples == 0:
        raise AudioError("empty", f"'{uri}' holds no samples")
    return np.concatenate(blocks)
