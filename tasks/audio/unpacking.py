"""A long sound, decoded once into a file of plain samples: any part of it is then read without decoding the rest.

Whatever is wrong with the sound shows before anything is computed from it, and memory holds a block of it at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.audio.decoding import refuse_extremes
from tasks.audio.excerpts import Excerpt
from tasks.audio.lengths import LONGEST_CONTENT_S, refuse_short
from tasks.audio.streams import blocks_of, nothing


class UnpackedSound(NamedTuple):
    """A file of float32 samples, channel by channel within each, with its rate in Hz."""

    path: str
    sample_rate: int
    channels: int
    n_samples: int

    @property
    def duration_s(self) -> float:
        """Length, s."""
        return self.n_samples / self.sample_rate

    def samples(self, first: int, last: int) -> NDArray[np.float32]:
        """Return the samples from one up to another, `[N, channels]`."""
        count, at = (last - first) * self.channels, first * self.channels * np.dtype(np.float32).itemsize
        return np.fromfile(self.path, np.float32, count, offset=at).reshape(-1, self.channels)


def unpack(
    data: bytes | memoryview, uri: str, excerpt: Excerpt, path: str, on_block: Callable[[], None] = nothing
) -> UnpackedSound:
    """Write the samples of a sound, or of an excerpt of it, into a file that is there already.

    Parameters
    ----------
    data : bytes
        The whole file.
    uri : str
        Its name, for messages.
    excerpt : Excerpt
        Which part of it.
    path : str
        Of the file that is written.
    on_block : callable
        Called before each block that is written.

    Raises
    ------
    AudioError
        As `tasks.audio.decoding.decode`, but for `silent`: part of a long sound may be.
    OSError
        If the disk is full.
    MemoryError
        If it takes more memory than there is.
    """
    sound = UnpackedSound(path, 1, 0, 0)
    with Path(path).open("wb") as file:
        for block, sample_rate in blocks_of(data, uri, excerpt, LONGEST_CONTENT_S):
            on_block()
            if len(block):
                refuse_extremes(block, excerpt.named(uri))
            block.tofile(file)
            sound = UnpackedSound(path, sample_rate, block.shape[1], sound.n_samples + len(block))
    refuse_short(sound.duration_s, excerpt.named(uri))
    return sound
