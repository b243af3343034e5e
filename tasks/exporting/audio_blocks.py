"""The audio of pairs, read in blocks, and found to have the bytes that its row names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from tasks.exporting.row_stream import Piece
from tasks.storage.storage import Storage


class AudioLost(Exception):
    """The audio of a pair is gone, or is not what its row says; `row` is its number in the shard."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row}: no audio")
        self.row = row


class AudioStream:
    """The audio of a pair, read once from its beginning to its end, and digested meanwhile."""

    def __init__(self, stream: BinaryIO, row: int, size: int) -> None:
        self._stream, self._row, self._left, self._digest = stream, row, size, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; raises `AudioLost` if the file ends before it should."""
        wanted = self._left if size < 0 else min(size, self._left)
        block = self._stream.read(wanted)
        if len(block) < wanted:
            raise AudioLost(self._row)
        self._left -= wanted
        self._digest.update(block)
        return block

    def check(self, sha256: str) -> None:
        """Raise `AudioLost` unless all was read, and is what it should be."""
        if self._left or self._stream.read(1) or self._digest.hexdigest() != sha256:
            raise AudioLost(self._row)


class AudioSource:
    """Opens the audio of pairs.

    Parameters
    ----------
    place : callable
        Returns the URI of audio by what stands in the column `source`.
    files : Storage
        The file system.
    """

    def __init__(self, place: Callable[[str], str], files: Storage) -> None:
        self._place, self._files = place, files

    @contextmanager
    def opened(self, shard: Piece, row: int) -> Iterator[AudioStream]:
        """Open the audio of a pair; the block reads all of it.

        Raises
        ------
        AudioLost
            If it is gone, or has other bytes than the shard says: at once, while it is read, or at the end.
        """
        told = shard.audio.slice(row, 1).to_pylist()[0]
        try:
            stream = self._files.open(self._place(told["source"]))
        except FileNotFoundError as error:
            raise AudioLost(row) from error
        with stream:
            sound = AudioStream(stream, row, told["size"])
            yield sound
            sound.check(told["sha256"])
