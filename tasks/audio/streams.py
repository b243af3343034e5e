"""Samples out of bytes: every sound in a file is read to its end, whatever its header says.

Runs in a child process (`tasks.audio.sandbox_worker`). Nothing is allocated on the word of a header before its claim
was found to be within bounds. Where the size of the data does not settle the length, a sound is read in blocks, up to
the length that is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from manifests.reading import suffixes
from tasks.audio.containers import HINT, Part, parts
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.lengths import ANY_LENGTH_S, LONGEST_S, refuse_endless, refuse_long, refuse_short
from tasks.audio.pyav_sound import ForeignStream
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

_IN_BLOCKS = frozenset({"IMA_ADPCM", "MS_ADPCM", "ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32"})
"""Encodings in blocks that do not rest on each other. Of MPEG and Opus a frame rests on those before it, and of Vorbis
libsndfile finds the wrong place near the end: what lies before an excerpt is decoded there."""


class SoundInfo(NamedTuple):
    """Length in s and in samples per channel, sampling rate in Hz, channels."""

    duration_s: float
    n_samples: int
    sample_rate: int
    channels: int


class _Stream(soundfile.SoundFile):
    """A sound that is read from front to back: a seek to where a read ended fails at the end of an unknown length."""

    def seekable(self) -> bool:
        return False


Stream = _Stream | ForeignStream


def nothing() -> None:
    """Do nothing."""


def measure(
    data: bytes | memoryview, uri: str, longest_s: float = LONGEST_S, on_block: Callable[[], None] = nothing
) -> SoundInfo:
    """Return how long the sounds in a file are together; what is compressed is decoded to find out.

    Where it may be longer than is read of a sound, a count suffices for one that is: what is decoded is an excerpt.
    `on_block` is called before each block that is decoded.

    Raises
    ------
    AudioError
        Types `empty`, `truncated`, `not_audio`, `too_long` and `decode_limit`.
    MemoryError
        If it takes more memory than there is.
    """
    n_samples, sound = 0, None
    name = WHOLE.named(uri)
    for sound, part in _streams(data, uri, longest_s):
        counted = _counted(sound, part)
        if counted is not None and (_is_by_size(sound) or LONGEST_S < counted / sound.samplerate <= longest_s):
            n_samples += counted
            _refuse_large(n_samples, sound, name, longest_s)
            continue
        for block in _blocks(sound, part, uri):
            on_block()
            n_samples += len(block)
            _refuse_large(n_samples, sound, name, longest_s)
    if sound is None or n_samples == 0:
        raise AudioError("empty", f"'{uri}' holds no samples")
    return SoundInfo(n_samples / sound.samplerate, n_samples, sound.samplerate, sound.channels)


def samples_of(data: bytes | memoryview, uri: str, excerpt: Excerpt = WHOLE) -> tuple[NDArray[np.float32], int]:
    """Return the samples of the sounds in a file, one after the other, `[N, channels]`, and their rate in Hz.

    Raises
    ------
    AudioError
        As `blocks_of`.
    MemoryError
        As `measure`.
    """
    found = list(blocks_of(data, uri, excerpt))
    blocks = [block for block, _ in found]
    return (blocks[0] if len(blocks) == 1 else np.concatenate(blocks)), found[0][1]


def blocks_of(
    data: bytes | memoryview, uri: str, excerpt: Excerpt = WHOLE, longest_s: float = LONGEST_S
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Give the samples of the sounds in a file, one after the other, `[N, channels]` at a time, with their rate in Hz.

    Nothing is decoded behind an excerpt, nor before it where libsndfile goes to the very sample without.

    Parameters
    ----------
    data : bytes
        The whole file.
    uri : str
        Its name, for messages.
    excerpt : Excerpt
        Which part of the sound.
    longest_s : float
        How long it, or the sound, may be, s.

    Raises
    ------
    AudioError
        As `measure`, and `beyond_end` and `too_short` if the excerpt is not there.
    MemoryError
        As `measure`.
    """
    excerpt.refuse_long(uri, longest_s)
    place, n_samples, sample_rate = 0, 0, 0
    for sound, part in _streams(data, uri, longest_s if excerpt.is_whole else ANY_LENGTH_S):
        sample_rate = sound.samplerate
        first, last = excerpt.samples(sample_rate)
        end = None if last is None else last - place
        begin = _passed_over(sound, part, uri, max(0, first - place))
        _refuse_large(n_samples + _still_to_come(sound, part, begin, end), sound, excerpt.named(uri), longest_s)
        place += begin
        for block in _blocks(sound, part, uri, begin, end):
            place, n_samples = place + len(block), n_samples + len(block)
            _refuse_large(n_samples, sound, excerpt.named(uri), longest_s)
            yield block, sample_rate
        if last is not None and place >= last:
            break
    else:  # the sound has ended first, and `place` is where
        if place == 0:
            raise AudioError("empty", f"'{uri}' holds no samples")
        excerpt.refuse_beyond(place / sample_rate, uri)
    if n_samples == 0:
        refuse_short(0.0, excerpt.named(uri))


def _streams(data: bytes | memoryview, uri: str, longest_s: float) -> Iterator[tuple[Stream, Part]]:
    """Give the sounds in a file, opened and found to be of one kind."""
    if not data:
        raise AudioError("empty", f"'{uri}' is empty")
    kind = None
    for part in parts(data, uri, longest_s):
        with _opened(part, uri) as sound:
            _refuse_rate(sound, uri)
            if kind not in (None, (sound.samplerate, sound.channels)):
                one, other = f"{kind[0]} Hz, {kind[1]} channels", f"{sound.samplerate} Hz, {sound.channels} channels"
                raise AudioError("not_audio", f"'{uri}' was joined of sounds that differ ({one}; {other}){HINT}")
            kind = sound.samplerate, sound.channels
            if sound.frames > 0:
                yield sound, part


def _opened(part: Part, uri: str) -> Stream:
    """Open a sound by libsndfile, or by PyAV where that alone may read it."""
    could = bool(part.demuxer) and suffixes.has_pyav()
    if not part.is_foreign:
        try:
            return _Stream(part.file())
        except soundfile.LibsndfileError as error:
            if not (part.codec and could) or error.code == _NO_MEMORY:
                raise _understood(error, part, uri) from error
    elif not could:
        raise AudioError("not_audio", f"'{uri}' {part.unread}")
    return ForeignStream(part, uri)


def _passed_over(sound: Stream, part: Part, uri: str, wanted: int) -> int:
    """Go on to a sample of a sound, and return its number: that of the samples if there are no more."""
    counted = _counted(sound, part)
    if wanted == 0 or (counted is not None and counted <= wanted):
        return min(wanted, counted or 0)
    if _is_by_size(sound) or sound.format == "FLAC" or sound.subtype in _IN_BLOCKS:
        try:
            return int(sound.seek(wanted))
        except soundfile.LibsndfileError as error:
            raise _understood(error, part, uri) from error
    return sum(len(block) for block in _blocks(sound, part, uri, 0, wanted))


def _blocks(
    sound: Stream, part: Part, uri: str, begin: int = 0, end: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """Give the samples of a sound, `[N, channels]` at a time, or raise `truncated` if there are too few in the end.

    From the sample on to which it has gone already, up to one, or to the last.
    """
    expected = _counted(sound, part)
    stop = expected if end is None else end if expected is None else min(expected, end)
    in_one = _is_by_size(sound) and sound.frames <= min(LONGEST_S * sound.samplerate, MAX_VALUES / sound.channels)
    most = sound.frames if in_one else max(1, _BLOCK_VALUES // sound.channels)
    n_samples = begin
    while stop is None or n_samples < stop:
        wanted = most if stop is None else min(most, stop - n_samples)
        try:
            block: NDArray[np.float32] = sound.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise _understood(error, part, uri) from error
        n_samples += len(block)
        yield block
        if len(block) < wanted:
            break
    if expected is not None and stop is not None and n_samples < stop:
        message = f"'{uri}' ends early: {n_samples} samples per channel instead of {expected}"
        raise AudioError("truncated", message)


def _counted(sound: Stream, part: Part) -> int | None:
    """Return how many samples a sound should have, if anything tells."""
    known = sound.frames if sound.frames < _UNKNOWN_LENGTH else None
    return known if part.n_samples is None else part.n_samples


def _still_to_come(sound: Stream, part: Part, begin: int, end: int | None) -> int:
    """Return how many samples lie between two, as far as the bytes show it before they are decoded."""
    shown = sound.frames if _is_by_size(sound) else part.n_samples or 0
    return max(0, (shown if end is None else min(shown, end)) - begin)


def _is_by_size(sound: Stream) -> bool:
    return sound.subtype in _BY_SIZE and sound.frames < _UNKNOWN_LENGTH and sound.format != "FLAC"


def _understood(error: soundfile.LibsndfileError, part: Part, uri: str) -> AudioError | MemoryError:
    if error.code == _NO_MEMORY:
        return MemoryError()
    if part.codec:
        return AudioError("not_audio", f"'{uri}' {part.unread}")
    if error.code in _UNREADABLE:
        return AudioError("not_audio", f"'{uri}' is no sound file that libsndfile reads")
    return AudioError("truncated", f"'{uri}' is damaged or ends early (libsndfile's error {error.code})")


def _refuse_rate(sound: Stream, uri: str) -> None:
    if not MIN_RATE_HZ <= sound.samplerate <= MAX_RATE_HZ:
        bounds = f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are read"
        raise AudioError("not_audio", f"'{uri}' claims a sampling rate of {sound.samplerate} Hz; {bounds}")


def _refuse_large(n_samples: int, sound: Stream, name: str, longest_s: float = LONGEST_S) -> None:
    """Refuse a sound that is too long, or has too many values for one so long, so far."""
    if n_samples > longest_s * sound.samplerate:
        if _is_by_size(sound):
            refuse_long(n_samples / sound.samplerate, name, longest_s)
        refuse_endless(longest_s, name, longest_s)
    if n_samples * sound.channels > MAX_VALUES * longest_s / LONGEST_S:
        size = f"{n_samples} samples in each of {sound.channels} channels"
        raise AudioError("decode_limit", f"{name} has {size}, more than {MAX_VALUES} together")
