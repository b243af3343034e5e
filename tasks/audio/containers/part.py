"""One sound in a file, as libsndfile, or PyAV in its place, can read it to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from manifests.reading import suffixes
from tasks.audio.containers.codecs import HINT
from tasks.audio.containers.pieces import PiecesFile

Bytes = bytes | memoryview


@dataclass(frozen=True)
class Part:
    """Bytes that make one file for libsndfile or PyAV.

    Attributes
    ----------
    pieces : tuple of bytes
        One after the other they are the file.
    n_samples : int, optional
        Samples per channel that were counted in the bytes: so many are decoded, and fewer mean damage. None for as many
        as libsndfile sees.
    codec : str
        What to call the encoding if libsndfile does not know it; empty if it should.
    demuxer : str
        FFmpeg's name of the format; empty if there is none, or PyAV is not needed.
    is_foreign : bool
        Whether the format as a whole is none of libsndfile's; `codec` names it then.
    """

    pieces: tuple[Bytes, ...]
    n_samples: int | None = None
    codec: str = ""
    demuxer: str = ""
    is_foreign: bool = False

    @property
    def unread(self) -> str:
        """What is said of a sound that nothing reads."""
        could = self.demuxer and not suffixes.has_pyav()
        hint = f", or install PyAV, which may read it: pip install '{suffixes.EXTRA}'" if could else ""
        return f"is {'' if self.is_foreign else 'encoded as '}{self.codec}, which is not read{HINT}{hint}"

    def file(self) -> PiecesFile:
        """Return the bytes as a file; no copy is made of them."""
        return PiecesFile(self.pieces)


def joined_parts(data: memoryview, first: Callable[[memoryview], tuple[list[Part], int | None]]) -> list[Part]:
    """Return the sounds of all files that were joined.

    Parameters
    ----------
    data : memoryview
        The files, one after the other.
    first : callable
        Given such bytes, returns the sounds of the first file in them, and where the next one begins, if there is one.
    """
    parts: list[Part] = []
    start: int | None = 0
    while start is not None:
        data = data[start:]
        found, start = first(data)
        parts += found
    return parts
