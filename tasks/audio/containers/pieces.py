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
from typing import Any

WINDOW_BYTES = 16 << 20
"""Of a mapped file so many bytes are looked through before their pages are let go of."""


class PiecesFile(io.RawIOBase):
    """A file that is read, out of pieces of bytes.

    >>> file = PiecesFile([b"abc", b"", b"defg"])
    >>> file.seek(2), file.read(3), file.tell(), file.seek(-1, os.SEEK_END), file.read()
    (2, b'cde', 5, 6, b'g')
    """

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        super().__init__()
        self._pieces = [memoryview(piece) for piece in pieces if len(piece)]
        self._ends = list(accumulate(len(piece) for piece in self._pieces))
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; one before the first byte is an error."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        if begin + offset < 0:
            raise OSError(f"{begin + offset} is before the first byte")
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there are bytes, and return how far."""
        target, filled = memoryview(buffer).cast("B"), 0
        number = bisect_right(self._ends, self._at)
        while filled < len(target) and number < len(self._pieces):
            begin = self._at - (self._ends[number] - len(self._pieces[number]))
            some = self._pieces[number][begin : begin + len(target) - filled]
            target[filled : filled + len(some)] = some
            self._at, filled, number = self._at + len(some), filled + len(some), number + 1
        return filled


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


def release(data: bytes | memoryview) -> None:
    """Let go of the pages of a mapped file that have been looked at; they come again when they are needed."""
    if isinstance(data, memoryview) and isinstance(data.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        data.obj.madvise(mmap.MADV_DONTNEED)
