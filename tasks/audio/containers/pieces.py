"""Bytes that are read as a file without being copied, and searched without all of them staying in memory.

A large file is mapped into memory and not read: its pages come when they are looked at, and are let go of again here.
"""

from __future__ import annotations

import io
import mmap
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

Bytes = bytes | memoryview

WINDOW_BYTES = 16 << 20
"""Of a mapped file so many bytes are looked through before their pages are let go of."""


class PiecedFile(io.RawIOBase):
    """Pieces of bytes, one after the other, as a file for reading.

    >>> PiecedFile([b"ab", b"", b"cde"]).read()
    b'abcde'
    """

    def __init__(self, pieces: Sequence[Bytes]) -> None:
        super().__init__()
        self._pieces = [memoryview(piece) for piece in pieces if len(piece)]
        self._starts = list(accumulate((len(piece) for piece in self._pieces), initial=0))
        self._place = 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that one can go to any place."""
        return True

    def tell(self) -> int:
        """Return the place that is read next."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._starts[-1]}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer, or as much of it as one piece does; 0 at the end."""
        if self._place >= self._starts[-1]:
            return 0
        number = bisect_right(self._starts, self._place) - 1
        begin = self._place - self._starts[number]
        found = self._pieces[number][begin : begin + len(buffer)]
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)


def found_in(pattern: re.Pattern[bytes], longest: int, data: memoryview, begin: int, end: int) -> Iterator[int]:
    """Give where a pattern, which matches no more than so many bytes, begins in a part of some bytes.

    >>> list(found_in(re.compile(b"ab"), 2, memoryview(b"abcab"), 1, 5))
    [3]
    """
    for start in range(begin, end, WINDOW_BYTES):
        stop = min(end, start + WINDOW_BYTES)
        for found in pattern.finditer(data, start, min(end, stop + longest - 1)):
            if found.start() < stop:
                yield found.start()
        release(data)


def release(data: Bytes) -> None:
    """Let go of the pages of a mapped file that have been looked at; they come again when they are needed."""
    if isinstance(data, memoryview) and isinstance(data.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        data.obj.madvise(mmap.MADV_DONTNEED)
