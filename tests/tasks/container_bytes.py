"""Sound files whose headers say what the test wants, part by part, and MPEG and Ogg files taken to pieces."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.tasks.sound_bytes import PCM, RATE_HZ, ogg_checksum

N = RATE_HZ
"""Samples of a file below, if it is whole."""

N_BYTES = len(PCM)
UNKNOWN_32, UNKNOWN_64 = 0xFFFFFFFF, -1
INFO = b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0e\0\0\0Lavf62.12.102\0"
ID3V1 = b"TAG" + bytes(125)
ID3V2 = b"ID3\4\0\0\0\0\1\0" + bytes(range(128))
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 40, 1, 0) + bytes(16)

_FLOAT_RATE = bytes.fromhex("400cfa00000000000000")


def tone(n_samples: int = N) -> NDArray[np.float64]:
    """Return a tone with noise, which no encoder takes for silence or for a constant."""
    noise = np.random.default_rng(0).normal(size=n_samples)
    return 0.5 * np.sin(np.arange(n_samples) / 5) + 0.1 * noise


def riff(
    riff_size: int | None = None,
    data_size: int | None = None,
    *,
    tag: int = 1,
    before: bytes = b"",
    data: bytes = PCM,
    inside: bytes = b"",
) -> bytes:
    """Return a WAV with the sizes given, the true ones by default, and other chunks before and behind the sound."""
    fmt = b"WAVEfmt " + struct.pack("<IHHIIHHH", 18, tag, 1, RATE_HZ, 2 * RATE_HZ, 2, 16, 0)
    data_size = len(data) if data_size is None else data_size
    body = fmt + before + b"data" + struct.pack("<I", data_size) + data + inside
    return b"RIFF" + struct.pack("<I", len(body) if riff_size is None else riff_size) + body


def rf64(magic: bytes = b"RF64", riff_size: int = N_BYTES + 72, data_size: int = N_BYTES) -> bytes:
    """Return an RF64 or BW64 with the sizes in its ds64 chunk given."""
    sizes = b"ds64" + struct.pack("<IQQQI", 28, riff_size % 2**64, data_size % 2**64, N, 0)
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    unknown = struct.pack("<I", UNKNOWN_32)
    return magic + unknown + b"WAVE" + sizes + fmt + b"data" + unknown + PCM


def wave64(data_size: int) -> bytes:
    """Return a Wave64 whose chunk of sound claims a size, which counts its header of 24 bytes."""
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(PCM, "<i2"), RATE_HZ, format="W64")
    data = bytearray(file.getvalue())
    place = data.index(b"data\xf3\xac") + 16
    data[place : place + 8] = struct.pack("<q", data_size)
    return bytes(data)


def aiff(
    form_size: int | None = None,
    n_samples: int = N,
    sound_size: int | None = None,
    *,
    compression: bytes = b"",
    data: bytes = b"",
    inside: bytes = b"",
) -> bytes:
    """Return an AIFF, or an AIFC with a compression, with the sizes given."""
    sound = data or np.frombuffer(PCM, "<i2").astype(">i2").tobytes()
    common = struct.pack(">hIh", 1, n_samples, 16) + _FLOAT_RATE + (compression + b"\0\0" if compression else b"")
    body = (b"AIFC" if compression else b"AIFF") + b"COMM" + struct.pack(">I", len(common)) + common
    sound_size = 8 + len(sound) if sound_size is None else sound_size
    body += b"SSND" + struct.pack(">I", sound_size) + bytes(8) + sound + inside
    return b"FORM" + struct.pack(">I", len(body) if form_size is None else form_size) + body


def au(data_size: int = N_BYTES, *, order: str = ">", encoding: int = 3) -> bytes:
    """Return an AU of either byte order."""
    sound = np.frombuffer(PCM, "<i2").astype(f"{order}i2").tobytes()
    magic = b".snd" if order == ">" else b"dns."
    return magic + struct.pack(f"{order}6I", 28, data_size, encoding, RATE_HZ, 1, 0) + sound


def caf(data_size: int | None, subtype: str = "PCM_16") -> bytes:
    """Return a CAF whose chunk of sound claims a size, which counts the number of edits in 4 bytes."""
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(PCM, "<i2"), RATE_HZ, format="CAF", subtype=subtype)
    data = bytearray(file.getvalue())
    place = data.index(b"data") + 4
    if data_size is not None:
        data[place : place + 8] = struct.pack(">q", data_size)
    return bytes(data)


def mp3(samples: NDArray[np.floating], bitrate_mode: str, level: float, rate_hz: int = RATE_HZ) -> bytes:
    """Return an MP3; level 0 is the highest bit rate."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="MP3", bitrate_mode=bitrate_mode, compression_level=level)
    return file.getvalue()


def without_header(data: bytes) -> bytes:
    """Return an MP3 of MPEG 2 without its first frame, which holds nothing but the number of frames."""
    return data[data.index(data[:2], max(data.find(b"Xing"), data.find(b"Info"))) :]


def pages(data: bytes) -> list[bytes]:
    """Return the pages of an Ogg file."""
    found, place = [], 0
    while place < len(data):
        n_segments = data[place + 26]
        end = place + 27 + n_segments + sum(data[place + 27 : place + 27 + n_segments])
        found.append(data[place:end])
        place = end
    return found


def page(content: bytes, flags: int, granule: int, serial: int, number: int) -> bytes:
    """Return a page of Ogg with one packet."""
    segments = bytes([255] * (len(content) // 255) + [len(content) % 255])
    fields = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, number, 0, len(segments))
    made = bytearray(fields + segments + content)
    made[22:26] = struct.pack("<I", ogg_checksum(made))
    return bytes(made)


def renumbered(one: bytes, number: int) -> bytes:
    """Return a page of Ogg with another number."""
    changed = bytearray(one)
    changed[18:22] = struct.pack("<I", number)
    changed[22:26] = bytes(4)
    changed[22:26] = struct.pack("<I", ogg_checksum(changed))
    return bytes(changed)
