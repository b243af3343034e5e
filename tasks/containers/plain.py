"""AU and CAF, whose headers say in one field how much sound follows, with a size that is true."""

from __future__ import annotations

import struct

from tasks.containers.chunks import CAF, Chunk, Container, Form, chunks
from tasks.containers.codecs import au_codec, caf_codec
from tasks.containers.mpeg import mpeg_parts
from tasks.containers.part import Part

_AU_FIELDS, _AU_SIZE = 24, slice(8, 12)
_CAF_BEGINS, _EDITS = 8, 4
_NO_CHUNKS = Form(struct.Struct(">4sI"), alignment=1)
_CONSTANT = frozenset({b"lpcm", b"ulaw", b"alaw", b"ima4"})
_MPEG = frozenset({b".mp1", b".mp2", b".mp3"})


def is_au(data: memoryview) -> bool:
    """Return whether a file is an AU (SND) file, of either byte order."""
    return bytes(data[:4]) in (b".snd", b"dns.") and len(data) >= _AU_FIELDS


def au_parts(data: memoryview, uri: str) -> list[Part]:
    """Return the sound of an AU file.

    Raises
    ------
    AudioError
        Type `truncated` if it was cut short.
    """
    order = ">" if bytes(data[:4]) == b".snd" else "<"
    start, size, encoding = struct.unpack(f"{order}III", data[4:16])
    if not _AU_FIELDS <= start <= len(data):
        return [Part((data,))]
    container = Container(data, _NO_CHUNKS, None, (), uri)
    extent = container.extent(Chunk(b"", start, size))
    header = bytes(data[: _AU_SIZE.start]) + struct.pack(f"{order}I", extent.size) + bytes(data[_AU_SIZE.stop : start])
    return [Part((header, data[start : start + extent.size]), codec=au_codec(encoding))]


def is_caf(data: memoryview) -> bool:
    """Return whether a file is a CAF."""
    return bytes(data[:4]) == b"caff"


def caf_parts(data: memoryview, uri: str) -> list[Part]:
    """Return the sound of a CAF file; raises as `mpeg_parts`, and `truncated` if it was cut short."""
    found: dict[bytes, Chunk] = {}
    for chunk in chunks(data, _CAF_BEGINS, CAF):
        found.setdefault(chunk.name, chunk)
    description, sound = found.get(b"desc"), found.get(b"data")
    if description is None or sound is None or sound.start + _EDITS > len(data):
        return [Part((data,))]
    kind = bytes(data[description.start + 8 : description.start + 12])
    samples = Chunk(sound.name, sound.start + _EDITS, sound.size if sound.size < 0 else max(0, sound.size - _EDITS))
    size = Container(data, CAF, None, (), uri).extent(samples).size
    content = data[samples.start : samples.start + size]
    if kind in _MPEG:
        return mpeg_parts(content, uri)
    if kind not in _CONSTANT:  # others need more than their description; libsndfile counts what it has of them
        return [Part((data,), codec=caf_codec(kind))]
    before = bytes(data[:_CAF_BEGINS]) + b"desc" + struct.pack(">q", description.size)
    before += bytes(data[description.start : description.start + description.size])
    return [Part((before + b"data" + struct.pack(">q", size + _EDITS) + bytes(_EDITS), content))]
