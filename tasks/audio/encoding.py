"""Results as files: FLAC, WAV or Ogg Vorbis, with what they say of themselves. Equal sounds give equal bytes.

libsndfile writes them; the chunks of WAV that it has no words for are added here, and the serial number that it draws
for every Ogg stream is replaced.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import soundfile
from numpy.typing import NDArray

from tasks.audio.sound_files import pcm_of
from tasks.pair_state import Tags


class FileFormat(NamedTuple):
    """How libsndfile calls a format and its encoding, whether the very samples come back, and how small it is made.

    `compression` goes from 0, the best, to 1; 0.2 of Vorbis is about 128 kbit/s a channel.
    """

    container: str
    subtype: str
    is_lossless: bool = True
    compression: float | None = None


FORMATS = {
    "flac": FileFormat("FLAC", "PCM_24"),
    "wav": FileFormat("WAV", "PCM_24"),
    "wav-float": FileFormat("WAV", "FLOAT"),
    "ogg": FileFormat("OGG", "VORBIS", is_lossless=False, compression=0.2),
}

_BEXT = "<256s32s32s10s8sIIH64s10s180s"
"""EBU Tech 3285, version 2: description, originator, its reference, date, time, time reference in two halves, version,
UMID, loudness, reserved. No date: a file is the same whenever it is made."""
_NO_LOUDNESS = struct.pack("<5h", *[0x7FFF] * 5)

_OGG_HEADER = struct.Struct("<4sBBqIIIB")
_CRC = np.arange(256, dtype=np.uint64) << np.uint64(24)
for _ in range(8):
    _CRC = np.where(_CRC & np.uint64(1 << 31), (_CRC << np.uint64(1)) ^ np.uint64(0x04C11DB7), _CRC << np.uint64(1))
    _CRC &= np.uint64(0xFFFFFFFF)
_CRC_TABLE: list[int] = _CRC.tolist()


def encode(samples: NDArray[np.floating[Any]], sample_rate: int, name: str, tags: Tags) -> bytes:
    """Return a sound as a file.

    Parameters
    ----------
    samples : ndarray of float
        `[N]` or `[N, channels]`, in steps of 24 bits within full scale, -1 to 1.
    sample_rate : int
        In Hz.
    name : str
        Of one of `FORMATS`.
    tags : Tags
        What the file says of itself.

    Raises
    ------
    ValueError
        If a sample is not finite or exceeds full scale: clipping would be silent damage.
    """
    file = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    encode_into(file, [samples], sample_rate, channels, name, tags)
    return file.getvalue()


def encode_into(
    file: BinaryIO,
    blocks: Iterable[NDArray[np.floating[Any]]],
    sample_rate: int,
    channels: int,
    name: str,
    tags: Tags,
) -> None:
    """Do `encode`, block by block, into a file that is open for reading and writing; memory holds a block at a time."""
    form = FORMATS[name]
    with soundfile.SoundFile(
        file, "w", sample_rate, channels, form.subtype, format=form.container, compression_level=form.compression
    ) as sound:
        sound.title, sound.comment, sound.software = tags.title, tags.comment, tags.software
        if tags.licence:
            sound.copyright = tags.licence
        for samples in blocks:
            pcm = pcm_of(samples)
            # FLAC and WAV of 24 bits take what they are given; the others are encoded from numbers with full scale 1.
            sound.write(pcm if form.subtype == "PCM_24" else np.asarray(samples, dtype=np.float32))
    if form.container == "WAV":
        _add_chunks(file, {b"bext": _bext(tags), b"iXML": _ixml(tags)})
    if form.container == "OGG":
        _set_serial(file)


def decode(data: bytes) -> NDArray[np.float32]:
    """Return the samples of a file of `encode`, `[N]` or `[N, channels]`, as a player gives them; full scale is 1."""
    samples: NDArray[np.float32] = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    return samples


def _bext(tags: Tags) -> bytes:
    description, originator = tags.comment.encode("ascii", "replace")[:256], tags.software.encode("ascii", "replace")
    fixed = struct.pack(_BEXT, description, originator[:32], b"", b"", b"", 0, 0, 2, b"", _NO_LOUDNESS, b"")
    return fixed + b"A=PCM,T=" + originator + b"\r\n"


def _ixml(tags: Tags) -> bytes:
    fields = {"IXML_VERSION": "2.10", "PROJECT": "timbreflow", "NOTE": tags.title, "USER": tags.comment}
    if tags.licence:
        fields["USER"] += f"; {tags.licence}"
    body = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?><BWFXML>{body}</BWFXML>'.encode()


def _add_chunks(wav: BinaryIO, chunks: dict[bytes, bytes]) -> None:
    """Give a RIFF file more chunks at its end: the samples stay where they are."""
    wav.write(b"\0" * (wav.seek(0, os.SEEK_END) % 2))
    for name, data in chunks.items():
        wav.write(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2))
    n_bytes = wav.tell()
    wav.seek(4)
    wav.write(struct.pack("<I", n_bytes - 8))


def _set_serial(ogg: BinaryIO, serial: int = 1) -> None:
    """Give the one stream of an Ogg file this serial number, and its pages their checksums (RFC 3533)."""
    ogg.seek(0)
    while header := ogg.read(_OGG_HEADER.size):
        lacing = ogg.read(header[-1])
        page = bytearray(header + lacing + ogg.read(sum(lacing)))
        page[14:18], page[22:26] = struct.pack("<I", serial), bytes(4)
        page[22:26] = struct.pack("<I", _checksum(page))
        ogg.seek(-len(page), os.SEEK_CUR)
        ogg.write(page)


def _checksum(page: bytes | bytearray) -> int:
    crc = 0
    for byte in page:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ _CRC_TABLE[(crc >> 24) ^ byte]
    return crc
