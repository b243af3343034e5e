"""Chunks, of which WAV, AIFF, CAF and their kin are made: where they are, and how much of the file is sound.

The size of the sound's chunk is what programs get wrong: it is filled in last, so a recorder that crashed has left 0 or
what it knew then, and one that writes to a pipe can only guess.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from tasks.audio.containers.tags import after_tags
from tasks.audio.sound_errors import AudioError

STREAMED = 0x7F000000
"""Sizes from here on, far beyond any file that is read, are what programs write that do not know the length."""

SLACK_BYTES = 64
"""Bytes by which a header may be wrong about a file that is whole."""

_DESCRIPTIVE = re.compile(
    rb"LIST|[iI][dD]3 |ID32|bext|iXML|axml|_PMX|umid|cue |smpl|inst|acid|strg|fact|PEAK|afsp|[jJ]UNK|junk|PAD |free|"
    rb"NAME|AUTH|ANNO|COMT|MARK|INST|APPL|\(c\) |CHAN|info"
)
"""Chunks that stand behind the sound, and are known for what they are if the file was cut within one."""


class Chunk(NamedTuple):
    """A chunk: its name, where its content begins, and the size that its header claims."""

    name: bytes
    start: int
    size: int


class Form(NamedTuple):
    """How the chunks of a format are written.

    Attributes
    ----------
    header : struct.Struct
        Name and size.
    own_size : bool
        Whether a size counts the header too.
    alignment : int
        Places where a chunk may begin: multiples of it.
    """

    header: struct.Struct
    own_size: bool = False
    alignment: int = 2


RIFF = Form(struct.Struct("<4sI"))
RIFX = Form(struct.Struct(">4sI"))
CAF = Form(struct.Struct(">4sq"), alignment=1)
W64 = Form(struct.Struct("<16sq"), own_size=True, alignment=8)


def chunks(data: memoryview, start: int, form: Form) -> Iterator[Chunk]:
    """Give the chunks that begin from a place on, as far as they follow each other.

    One that claims more than the file has, or less than its own header, is the last.
    """
    while start + form.header.size <= len(data):
        name, size = form.header.unpack_from(data, start)
        begin = start + form.header.size
        chunk = Chunk(name, begin, size - form.header.size if form.own_size else size)
        yield chunk
        end = begin + chunk.size
        if chunk.size < 0 or end > len(data):
            return
        start = end + -end % form.alignment
        if start != end and not _is_name(data, start) and _is_name(data, end):
            start = end  # some programs forget the byte that makes an odd size even


class Extent(NamedTuple):
    """How many bytes of sound there are, and where the next file begins if several were joined, else None."""

    size: int
    next_file: int | None = None


class Container(NamedTuple):
    """What tells how much of a file is sound.

    Attributes
    ----------
    data : memoryview
        The file.
    form : Form, optional
        How its chunks are written; None if it has none.
    end : int, optional
        Where the file ends, as its own header says.
    magics : tuple of bytes
        What such a file begins with: another may have been joined to it.
    uri : str
        Its name, for messages.
    """

    data: memoryview
    form: Form | None
    end: int | None
    magics: tuple[bytes, ...]
    uri: str

    def extent(self, sound: Chunk) -> Extent:
        """Return how much of the file is sound, whatever the header of the sound's chunk claims.

        Raises
        ------
        AudioError
            Type `truncated` if the file was cut short; `not_audio` if what follows the sound may be more of it.
        """
        present = len(self.data) - sound.start
        if sound.size < 0 or sound.size >= STREAMED:
            return Extent(present)
        if sound.size > present:
            self._refuse_cut(sound, present)
            return Extent(present)
        end = sound.start + sound.size
        described = self._described(end)
        if described is None:
            self._refuse_unknown(sound, present)
            return Extent(present)
        return Extent(sound.size, described if described < len(self.data) else None)

    def _refuse_cut(self, sound: Chunk, present: int) -> None:
        whole = self.end is not None and 0 <= len(self.data) - self.end <= 1
        missing = sound.size - present
        # The size of the file, or of what follows its first header, is easily taken for that of the sound.
        whole = whole or missing <= SLACK_BYTES or missing in (sound.start, sound.start - 8)
        if not whole:
            message = f"'{self.uri}' ends early: {present} bytes of sound instead of {sound.size}"
            raise AudioError("truncated", message)

    def _refuse_unknown(self, sound: Chunk, present: int) -> None:
        """Refuse what follows a sound whose size agrees with the file's: it may be sound or something else.

        Where more follows than is claimed, the header was never completed.
        """
        more = present - sound.size
        agreed = self.end is not None and 0 <= self.end - sound.start - sound.size <= 1
        if agreed and SLACK_BYTES < more < sound.size:
            what = f"has {sound.size} bytes of sound, says its header, and {more} unknown bytes behind them"
            hint = "if they are sound, have the header completed ('sox --ignore-length' does it), else cut them off"
            raise AudioError("not_audio", f"'{self.uri}' {what}: {hint}")

    def _described(self, end: int) -> int | None:
        """Return where that ends which may stand behind a sound: chunks, tags, zeros. None for anything else."""
        for start in sorted({end, end + -end % (self.form.alignment if self.form else 1)}):
            place = after_tags(self.data, start)
            if place == len(self.data) or self._is_file(place):
                return place
            if self.form is not None and self._is_chunk(place, self.form):
                headers = (chunk.start - self.form.header.size for chunk in chunks(self.data, place, self.form))
                return next((header for header in headers if self._is_file(header)), len(self.data))
        return None

    def _is_chunk(self, place: int, form: Form) -> bool:
        """Return whether a chunk begins at a place: one that fits in, or is known by its name and cut short."""
        chunk = next(chunks(self.data, place, form), None)
        if chunk is None or not _is_name(self.data, place):
            return False
        return 0 <= chunk.size <= len(self.data) - chunk.start or _DESCRIPTIVE.match(chunk.name) is not None

    def _is_file(self, place: int) -> bool:
        return bytes(self.data[place : place + 4]) in self.magics


def _is_name(data: memoryview, start: int) -> bool:
    name = bytes(data[start : start + 4])
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)
