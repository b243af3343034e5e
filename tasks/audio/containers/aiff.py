"""AIFF and AIFC, with sizes that are true."""

from __future__ import annotations

import struct

from tasks.audio.containers.chunks import RIFX, Chunk, Container, chunks
from tasks.audio.containers.codecs import aifc_codec
from tasks.audio.containers.mpeg import mpeg_parts
from tasks.audio.containers.part import Part, joined_parts

_BEGINS, _COMPRESSION, _OFFSETS = 12, 18, 8
_MPEG = frozenset({b".mp1", b".mp2", b".mp3"})


def is_aiff(data: memoryview) -> bool:
    """Return whether a file is an AIFF or AIFC."""
    return bytes(data[:4]) == b"FORM" and bytes(data[8:12]) in (b"AIFF", b"AIFC")


def aiff_parts(data: memoryview, uri: str, longest_s: float) -> list[Part]:
    """Return the sounds of an AIFF file: one, or as many as were joined; raises as `wav_parts`."""
    return joined_parts(data, lambda rest: _first_parts(rest, uri, longest_s))


def _first_parts(data: memoryview, uri: str, longest_s: float) -> tuple[list[Part], int | None]:
    container = Container(data, RIFX, int.from_bytes(data[4:8], "big") + 8, (b"FORM",), uri)
    found: dict[bytes, Chunk] = {}
    for chunk in chunks(data, _BEGINS, RIFX):
        found.setdefault(chunk.name, chunk)
    common, sound = found.get(b"COMM"), found.get(b"SSND")
    if common is None or sound is None or sound.start + _OFFSETS > len(data):
        return [Part((data,))], None
    samples = Chunk(sound.name, sound.start + _OFFSETS, max(0, sound.size - _OFFSETS))
    extent = container.extent(samples)
    offset = int.from_bytes(data[sound.start : sound.start + 4], "big")
    content = data[samples.start : samples.start + extent.size][min(offset, extent.size) :]
    kind = bytes(data[common.start + _COMPRESSION : common.start + _COMPRESSION + 4])
    compression = kind if bytes(data[8:12]) == b"AIFC" else b"NONE"
    if compression in _MPEG:
        return mpeg_parts(content, uri, longest_s), extent.next_file
    return [_rewritten(data, common, content, aifc_codec(compression))], extent.next_file


def _rewritten(data: memoryview, common: Chunk, content: memoryview, codec: str) -> Part:
    size = struct.Struct(">I")
    fmt = bytes(data[common.start : common.start + common.size]) + bytes(common.size % 2)
    before = bytes(data[8:12]) + b"COMM" + size.pack(common.size) + fmt
    before += b"SSND" + size.pack(_OFFSETS + len(content)) + bytes(_OFFSETS)
    odd = bytes(len(content) % 2)
    return Part(
        (b"FORM" + size.pack(len(before) + len(content) + len(odd)) + before, content, odd), codec=codec, demuxer="aiff"
    )
