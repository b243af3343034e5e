"""AU and CAF, whose headers say in one field how much sound follows, with a size that is true."""

from __future__ import annotations

import struct

from tasks.audio.containers.chunks import CAF, Chunk, Container, chunks
from tasks.audio.containers.codecs import au_codec, caf_codec
from tasks.audio.containers.mpeg import mpeg_parts
from tasks.audio.containers.part import Part, joined_parts

_AU_MAGICS, _AU_FIELDS, _AU_SIZE = (b".snd", b"dns."), 24, slice(8, 12)
_CAF_MAGICS, _CAF_BEGINS, _EDITS = (b"caff",), 8, 4
_SIZE = struct.Struct(">q")
_MPEG = frozenset({b".mp1", b".mp2", b".mp3"})


def is_au(data: memoryview) -> bool:
    """Return whether a file is an AU (SND) file, of either byte order."""
    return bytes(data[:4]) in _AU_MAGICS and len(data) >= _AU_FIELDS


def au_parts(data: memoryview, uri: str) -> list[Part]:
    """Return the sounds of an AU file: one, or as many as were joined.

    Raises
    ------
    AudioError
        As `Container.extent`.
    """
    return joined_parts(data, lambda rest: _first_au(rest, uri))


def _first_au(data: memoryview, uri: str) -> tuple[list[Part], int | None]:
    if len(data) < _AU_FIELDS:
        return [Part((data,))], None
    order = ">" if bytes(data[:4]) == b".snd" else "<"
    start, size, encoding = struct.unpack(f"{order}III", data[4:16])
    if not _AU_FIELDS <= start <= len(data):
        return [Part((data,))], None
    extent = Container(data, None, None, _AU_MAGICS, uri).extent(Chunk(b"", start, size))
    header = bytes(data[: _AU_SIZE.start]) + struct.pack(f"{order}I", extent.size) + bytes(data[_AU_SIZE.stop : start])
    return [Part((header, data[start : start + extent.size]), codec=au_codec(encoding), demuxer="au")], extent.next_file


def is_caf(data: memoryview) -> bool:
    """Return whether a file is a CAF."""
    return bytes(data[:4]) in _CAF_MAGICS


def caf_parts(data: memoryview, uri: str, longest_s: float) -> list[Part]:
    """Return the sounds of a CAF file: one, or as many as were joined.

    Raises
    ------
    AudioError
        As `Container.extent` and `mpeg_parts`.
    """
    return joined_parts(data, lambda rest: _first_caf(rest, uri, longest_s))


def _first_caf(data: memoryview, uri: str, longest_s: float) -> tuple[list[Part], int | None]:
    found: dict[bytes, Chunk] = {}
    for chunk in chunks(data, _CAF_BEGINS, CAF):
        found.setdefault(chunk.name, chunk)
    description, sound = found.get(b"desc"), found.get(b"data")
    if description is None or sound is None or sound.start + _EDITS > len(data):
        return [Part((data,))], None
    start = sound.start + _EDITS
    samples = Chunk(sound.name, start, sound.size if sound.size < 0 else max(0, sound.size - _EDITS))
    extent = Container(data, CAF, None, _CAF_MAGICS, uri).extent(samples)
    kind = bytes(data[description.start + 8 : description.start + 12])
    if kind in _MPEG:
        return mpeg_parts(data[start : start + extent.size], uri, longest_s), extent.next_file
    before, size = data[: sound.start - _SIZE.size], _SIZE.pack(_EDITS + extent.size)
    return [
        Part((before, size, data[sound.start : extent.next_file]), codec=caf_codec(kind), demuxer="caf")
    ], extent.next_file
