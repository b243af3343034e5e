"""One sound in a file, as libsndfile can read it to its end."""

from __future__ import annotations

import io
from dataclasses import dataclass

Bytes = bytes | memoryview


@dataclass(frozen=True)
class Part:
    """Bytes that make one file for libsndfile.

    Attributes
    ----------
    pieces : tuple of bytes
        One after the other they are the file.
    claimed : int, optional
        Samples per channel that there must be: fewer mean that the file was cut short, more are read all the same. None
        for as many as libsndfile sees.
    is_counted : bool
        Whether that many were counted in the bytes: no more are read then.
    codec : str
        What to call the encoding if libsndfile does not know it; empty if it should.
    """

    pieces: tuple[Bytes, ...]
    claimed: int | None = None
    is_counted: bool = False
    codec: str = ""

    def file(self) -> io.BytesIO:
        """Return the bytes as a file: the one copy that is made of them."""
        file = io.BytesIO()
        for piece in self.pieces:
            file.write(piece)
        file.seek(0)
        return file
