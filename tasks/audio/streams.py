"""Samples out of bytes: every sound in a file is read to its end, whatever its header says.

Runs in a child process (`tasks.audio.sandbox_worker`). Nothing is allocated on the word of a header before its claim
was found to be within bounds. Where the size of the data does not settle the length, a sound is read in blocks, up to
the length that is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from manifests.reading import suffixes
from tasks.audio.containers import HINT, Part, parts
from tasks.audio.lengths import LONGEST_S, refuse_endless, refuse_long
from tasks.audio.pyav_sound import opened_by_pyav
from tasks.audio.sound_errors import AudioError

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
"""Sampling rates that are believed: from 1 kHz up to the highest that any recorder writes."""

MAX_VALUES = 1 << 26
"""Samples times channels that are decoded, 256 MiB: eight channels of 30 s at 192 kHz are 46 million."""

_BLOCK_VALUES = 1 << 20
_UNKNOWN_LENGTH = 1 << 62
"""Libsndfile says something like 2^63 - 1 for a length that the header leaves open."""

_UNREADABLE = frozenset({1, 4, 18})
"""libsndfile's codes for an unknown format, encoding or combination; its others are about damage to a known one."""

_NO_MEMORY = 17

_BY_SIZE = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})
"""Encodings in which so many bytes are so many samples."""


class SoundInfo(NamedTuple):
    """Length in s and in samples per channel, sampling rate in Hz, channels."""

    duration_s: float
    n_samples: int
    sample_rate: int
    channels: int


class _Sound(NamedTuple):
    """A sound that is open, whoever decodes it.

    Attributes
    ----------
    sample_rate, channels : int
        Rate in Hz, and number of channels.
    n_by_size : int, optional
        Samples per channel, where the size of the data settles that; None where only decoding tells.
    blocks : iterator
        The samples, `[N, channels]` at a time.
    """

    sample_rate: int
    channels: int
    n_by_size: int | None
    blocks: Iterator[NDArray[np.float32]]


class _Stream(soundfile.SoundFile):
    """A sound that is read from front to back: a seek to where a read ended fails at the end of an unknown length."""

    def seekable(self) -> bool:
        return False


def measure(data: bytes | memoryview, uri: str) -> SoundInfo:
    """Return how long the sounds in a file are together; what is compressed is decoded to find out.

    Raises
    ------
    AudioError
        Types `empty`, `truncated`, `not_audio`, `too_long` and `decode_limit`.
    MemoryError
        If it takes more memory than there is.
    """
    n_samples, sound = 0, None
    for sound in _sounds(data, uri):
        for n_more in [sound.n_by_size] if sound.n_by_size is not None else map(len, sound.blocks):
            n_samples += n_more
            _refuse_beyond(n_samples, sound, uri)
    if sound is None or n_samples == 0:
        raise AudioError("empty", f"'{uri}' holds no samples")
    return SoundInfo(n_samples / sound.sample_rate, n_samples, sound.sample_rate, sound.channels)


def samples_of(data: bytes | memoryview, uri: str) -> tuple[NDArray[np.float32], int]:
    """Return the samples of the sounds in a file, one after the other, `[N, channels]`, and their rate in Hz.

    Raises
    ------
    AudioError, MemoryError
        As `measure`.
    """
    blocks: list[NDArray[np.float32]] = []
    n_samples, sample_rate = 0, 0
    for sound in _sounds(data, uri):
        sample_rate = sound.sample_rate
        _refuse_beyond(n_samples + (sound.n_by_size or 0), sound, uri)
        for block in sound.blocks:
            n_samples += len(block)
            _refuse_beyond(n_samples, sound, uri)
            blocks.append(block)
    if n_samples == 0:
        raise AudioError("empty", f"'{uri}' holds no samples")
    return (blocks[0] if len(blocks) == 1 else np.concatenate(blocks)), sample_rate


def _sounds(data: bytes | memoryview, uri: str) -> Iterator[_Sound]:
    """Give the sounds in a file, opened and found to be of one kind."""
    if not data:
        raise AudioError("empty", f"'{uri}' is empty")
    kind = None
    for part in parts(data, uri):
        with _opened(part, uri) as sound:
            if sound is None:
                continue
            _refuse_rate(sound, uri)
            if kind not in (None, (sound.sample_rate, sound.channels)):
                one, other = f"{kind[0]} Hz, {kind[1]} channels", f"{sound.sample_rate} Hz, {sound.channels} channels"
                raise AudioError("not_audio", f"'{uri}' was joined of sounds that differ ({one}; {other}){HINT}")
            kind = sound.sample_rate, sound.channels
            yield sound


@contextmanager
def _opened(part: Part, uri: str) -> Iterator[_Sound | None]:
    """Open a sound by libsndfile, or by PyAV where that alone may read it; None for one without samples."""
    stream = None if part.is_foreign else _libsndfiles_stream(part, uri)
    if stream is not None:
        with stream:
            n_by_size = stream.frames if _is_by_size(stream) else None
            blocks = _blocks(stream, part, uri) if stream.frames else iter(())
            yield _Sound(stream.samplerate, stream.channels, n_by_size, blocks)
    elif part.demuxer and suffixes.has_pyav():
        with opened_by_pyav(part, uri) as found:
            yield found and _Sound(found.sample_rate, found.channels, None, found.blocks)
    else:
        raise AudioError("not_audio", f"'{uri}' {part.unread}")


def _libsndfiles_stream(part: Part, uri: str) -> _Stream | None:
    """Return a sound that libsndfile has opened; None if it does not know the codec, which has a name."""
    try:
        return _Stream(part.file())
    except soundfile.LibsndfileError as error:
        if part.codec and error.code != _NO_MEMORY:
            return None
        raise _understood(error, part, uri) from error


def _blocks(sound: _Stream, part: Part, uri: str) -> Iterator[NDArray[np.float32]]:
    """Give all samples of a sound, `[N, channels]` at a time, or raise `truncated` if there are too few in the end."""
    known = sound.frames if sound.frames < _UNKNOWN_LENGTH else None
    expected = known if part.n_samples is None else part.n_samples
    most = sound.frames if _is_by_size(sound) else max(1, _BLOCK_VALUES // sound.channels)
    n_samples = 0
    while expected is None or n_samples < expected:
        wanted = most if expected is None else min(most, expected - n_samples)
        try:
            block: NDArray[np.float32] = sound.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise _understood(error, part, uri) from error
        n_samples += len(block)
        yield block
        if len(block) < wanted:
            break
    if expected is not None and n_samples < expected:
        message = f"'{uri}' ends early: {n_samples} samples per channel instead of {expected}"
        raise AudioError("truncated", message)


def _is_by_size(sound: _Stream) -> bool:
    return sound.subtype in _BY_SIZE and sound.frames < _UNKNOWN_LENGTH and sound.format != "FLAC"


def _understood(error: soundfile.LibsndfileError, part: Part, uri: str) -> AudioError | MemoryError:
    if error.code == _NO_MEMORY:
        return MemoryError()
    if part.codec:
        return AudioError("not_audio", f"'{uri}' {part.unread}")
    if error.code in _UNREADABLE:
        return AudioError("not_audio", f"'{uri}' is no sound file that libsndfile reads")
    return AudioError("truncated", f"'{uri}' is damaged or ends early (libsndfile's error {error.code})")


def _refuse_rate(sound: _Sound, uri: str) -> None:
    if not MIN_RATE_HZ <= sound.sample_rate <= MAX_RATE_HZ:
        bounds = f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are read"
        raise AudioError("not_audio", f"'{uri}' claims a sampling rate of {sound.sample_rate} Hz; {bounds}")


def _refuse_beyond(n_samples: int, sound: _Sound, uri: str) -> None:
    """Refuse a sound that is too long, or too large, so far."""
    if n_samples > LONGEST_S * sound.sample_rate:
        if sound.n_by_size is not None:
            refuse_long(n_samples / sound.sample_rate, uri)
        refuse_endless(LONGEST_S, uri)
    if n_samples * sound.channels > MAX_VALUES:
        size = f"{n_samples} samples in each of {sound.channels} channels"
        raise AudioError("decode_limit", f"'{uri}' has {size}, more than {MAX_VALUES} together")
