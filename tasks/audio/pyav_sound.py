"""Sounds that libsndfile does not read, decoded by FFmpeg through PyAV: m4a, aac, wma, webm and others.

PyAV is an extra of its own, and is imported with the first such sound. Which demuxer is to be used is known from the
first bytes of the file and never left to FFmpeg to guess: some of its demuxers open what a file names, as playlists do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tasks.audio.containers import HINT, Part
from tasks.audio.containers.foreign import refuse_cut
from tasks.audio.sound_errors import AudioError

MOST_PADDING = 4_096
"""Samples by which an encoder may fill up its last frame, or a decoder lag: two frames of HE-AAC."""

_ENDS_EXACTLY = frozenset({"mov", "wv", "tta", "ape", "tak"})
"""Formats that count the samples of a sound, without what its encoder has added."""

_GAPLESS = "iTunSMPB"
"""The tag of iTunes with the same: four hexadecimal numbers, the third and the fourth padding and samples."""

_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63, "flt": 1.0, "dbl": 1.0}


class ForeignStream:
    """A sound that is read from front to back, as `soundfile.SoundFile` reads one whose length is not known.

    What an encoder has added is taken off where the container tells.

    Parameters
    ----------
    part : Part
        The sound, of a format or a codec that libsndfile does not read.
    uri : str
        Its name, for messages.

    Raises
    ------
    AudioError
        Types `empty`, `not_audio` and `truncated`, here or while it is read.
    MemoryError
        If it takes more memory than there is.
    """

    frames = 1 << 62
    subtype = format = ""

    def __init__(self, part: Part, uri: str) -> None:
        import av

        if part.is_foreign:
            refuse_cut(memoryview(part.pieces[0]), part.demuxer, uri)
        with _understood(part, uri):
            self._container = av.open(part.file(), "r", format=part.demuxer, metadata_errors="replace")
        frames = _frames(self._container, part, uri)
        first = next(frames, None)
        if first is None:
            _refuse_fewer(0, _promised(self._container, part, self._container.streams.audio[0].rate or 0), uri)
            raise AudioError("empty", f"'{uri}' holds no samples")
        self.samplerate, self.channels = kind = int(first.sample_rate), int(first.layout.nb_channels)
        blocks = (_samples(frame, kind, uri) for frame in chain([first], frames))
        self._blocks = _trimmed(blocks, _promised(self._container, part, self.samplerate), uri)
        self._left = np.zeros((0, self.channels), np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> NDArray[np.float32]:
        """Return the next samples, `[N, channels]`, full scale 1: fewer than asked for at the end only."""
        found, n_samples = [self._left], len(self._left)
        while n_samples < frames and (block := next(self._blocks, None)) is not None:
            found.append(block)
            n_samples += len(block)
        whole = np.concatenate(found)
        self._left = whole[frames:]
        return whole[:frames]

    def seek(self, frames: int) -> int:
        """Refuse: FFmpeg goes to a packet, and not to a sample."""
        raise NotImplementedError


def _frames(container: Any, part: Part, uri: str) -> Iterator[Any]:
    """Give the decoded frames of the first sound in a container."""
    with _understood(part, uri):
        sounds = container.streams.audio
        if not sounds:
            raise AudioError("not_audio", f"'{uri}' is {part.codec}, and has no sound")
        if sounds[0].codec_context is None:
            raise AudioError("not_audio", f"'{uri}' is {part.codec} of a codec that PyAV does not know{HINT}")
        sounds[0].codec_context.thread_count = 1  # threads would take address space, of which there is little
        frames = container.decode(sounds[0])
    while True:
        with _understood(part, uri):
            frame = next(frames, None)
        if frame is None:
            return
        if frame.is_corrupt:
            raise AudioError("truncated", f"'{uri}' is damaged: FFmpeg finds a frame that it cannot decode")
        yield frame


def _samples(frame: Any, kind: tuple[int, int], uri: str) -> NDArray[np.float32]:
    """Return the samples of a frame, `[N, channels]`."""
    if (frame.sample_rate, frame.layout.nb_channels) != kind:
        one, other = (f"{rate} Hz, {n} channels" for rate, n in (kind, (frame.sample_rate, frame.layout.nb_channels)))
        raise AudioError("not_audio", f"'{uri}' was joined of sounds that differ ({one}; {other}){HINT}")
    name = frame.format.name.removesuffix("p")
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, kind[1])
    samples: NDArray[np.float32] = (values / np.float32(_FULL_SCALE[name])).astype(np.float32)
    return samples - np.float32(1) if name == "u8" else samples


def _promised(container: Any, part: Part, sample_rate: int) -> int | None:
    """Return how many samples per channel the container says there are; None if it does not say it exactly."""
    stream = container.streams.audio[0]
    tag = {**container.metadata, **stream.metadata}.get(_GAPLESS, "").split()
    try:
        if len(tag) > 3 and (n_samples := int(tag[3], 16)):
            return n_samples
    except ValueError:
        pass
    if part.demuxer in _ENDS_EXACTLY and stream.duration:
        return round(stream.duration * stream.time_base * sample_rate)
    return None


def _trimmed(blocks: Iterator[NDArray[np.float32]], promised: int | None, uri: str) -> Iterator[NDArray[np.float32]]:
    """Give blocks without the padding behind the samples that are promised.

    What is more than any padding is no padding, but a length that is wrong: it is read to its end.

    Raises
    ------
    AudioError
        Type `truncated`, if there are fewer by more than a decoder may lag.
    """
    n_samples, beyond = 0, list[NDArray[np.float32]]()
    for block in blocks:
        n_samples += len(block)
        end = len(block) if promised is None else max(0, promised - n_samples + len(block))
        yield block[:end]
        beyond += [block[end:]] if end < len(block) else []
        if promised is not None and n_samples - promised > MOST_PADDING:
            yield from beyond
            beyond, promised = [], None
    _refuse_fewer(n_samples, promised, uri)


def _refuse_fewer(n_samples: int, promised: int | None, uri: str) -> None:
    if promised is not None and n_samples < promised - MOST_PADDING:
        message = f"'{uri}' ends early: {n_samples} samples per channel instead of {promised}"
        raise AudioError("truncated", message)


@contextmanager
def _understood(part: Part, uri: str) -> Iterator[None]:
    """Turn what FFmpeg says of a file into what is said of a sound."""
    import av

    try:
        yield
    except MemoryError:
        raise MemoryError from None  # PyAV's own class is not known to who waits for the answer
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise AudioError("truncated", f"'{uri}' is {part.codec} that is damaged or ends early ({error})") from error
    except (av.error.FFmpegError, ValueError, NotImplementedError) as error:
        reason = f"which PyAV does not decode ({error})"
        raise AudioError("not_audio", f"'{uri}' is {part.codec}, {reason}{HINT}") from error
