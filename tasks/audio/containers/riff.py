"""WAV in all its forms (RIFF, RIFX, RF64, BW64 and Wave64), written anew with sizes that are true."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tasks.audio.containers.chunks import RIFF, RIFX, W64, Chunk, Container, Form, chunks
from tasks.audio.containers.codecs import wav_codec
from tasks.audio.containers.mpeg import mpeg_parts
from tasks.audio.containers.part import Part, joined_parts

_RIFF_BEGINS, _W64_BEGINS = 12, 40
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_DS64_SIZES = struct.Struct("<QQ")
_NOT_HERE = 0xFFFFFFFF
_MPEG_TAGS = frozenset({0x0050, 0x0055})
_EXTENSIBLE, _SUB_FORMAT = 0xFFFE, 24

MAGICS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff")


def is_wav(data: memoryview) -> bool:
    """Return whether a file is a WAV of some form."""
    head = bytes(data[:_W64_BEGINS])
    return (head[:4] in MAGICS[:4] and head[8:12] == b"WAVE") or (head[:16] == _W64_RIFF and head[24:28] == b"wave")


def wav_parts(data: memoryview, uri: str, longest_s: float) -> list[Part]:
    """Return the sounds of a WAV file: one, or as many as were joined.

    Raises
    ------
    AudioError
        As `Container.extent` and `mpeg_parts`.
    """
    return joined_parts(data, lambda rest: _first_parts(rest, uri, longest_s))


def _first_parts(data: memoryview, uri: str, longest_s: float) -> tuple[list[Part], int | None]:
    magic = bytes(data[:4])
    form = W64 if magic == b"riff" else RIFX if magic == b"RIFX" else RIFF
    container = Container(data, form, _end(data, form), MAGICS, uri)
    fmt, sounds = _found(data, form)
    if fmt is None or not sounds:
        return [Part((data,))], None
    extent = container.extent(sounds[-1])
    sounds[-1] = sounds[-1]._replace(size=extent.size)
    content = [data[sound.start : sound.start + sound.size] for sound in sounds]
    return _sound_parts(data[fmt.start : fmt.start + fmt.size], content, form, uri, longest_s), extent.next_file


def _sound_parts(fmt: memoryview, content: Sequence[memoryview], form: Form, uri: str, longest_s: float) -> list[Part]:
    order = ">" if form is RIFX else "<"
    tag = struct.unpack(f"{order}H", fmt[:2])[0]
    if tag == _EXTENSIBLE and len(fmt) >= _SUB_FORMAT + 2:
        tag = struct.unpack(f"{order}H", fmt[_SUB_FORMAT : _SUB_FORMAT + 2])[0]
    n_bytes = sum(len(piece) for piece in content)
    if tag in _MPEG_TAGS and n_bytes:
        return mpeg_parts(memoryview(b"".join(content)), uri, longest_s)
    size = struct.Struct(f"{order}I")
    before = b"WAVEfmt " + size.pack(len(fmt)) + bytes(fmt) + bytes(len(fmt) % 2) + b"data" + size.pack(n_bytes)
    magic, odd = b"RIFX" if form is RIFX else b"RIFF", bytes(n_bytes % 2)
    header = magic + size.pack(len(before) + n_bytes + len(odd)) + before
    return [Part((header, *content, odd), codec=wav_codec(tag), demuxer="wav")]


def _end(data: memoryview, form: Form) -> int | None:
    """Return where the file ends, as its header says; None if that says nothing."""
    if form is W64:
        return int.from_bytes(data[16:24], "little")
    size = int.from_bytes(data[4:8], "big" if form is RIFX else "little")
    return None if size == _NOT_HERE else size + 8


def _found(data: memoryview, form: Form) -> tuple[Chunk | None, list[Chunk]]:
    """Return the chunk with the format, if there is one, and those with sound: some programs write several."""
    fmt: Chunk | None = None
    sounds: list[Chunk] = []
    long_size = -1
    start = _W64_BEGINS if form is W64 else _RIFF_BEGINS
    for chunk in chunks(data, start, form):
        name = chunk.name[:4]
        if name in MAGICS:
            break
        if name == b"ds64" and 0 <= chunk.start <= len(data) - _DS64_SIZES.size:
            long_size = _DS64_SIZES.unpack_from(data, chunk.start)[1]
        elif name == b"fmt " and 2 <= chunk.size <= len(data) - chunk.start:
            fmt = fmt or chunk
        elif name == b"data":
            is_long = long_size >= 0 and chunk.size == _NOT_HERE
            sounds.append(Chunk(chunk.name, chunk.start, long_size) if is_long else chunk)
    return fmt, sounds
