"""Sound files as bytes, honest ones and such as no encoder writes."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 16_000
PCM = (2**14 * np.sin(np.arange(RATE_HZ) / 5)).astype("<i2").tobytes()
"""A second of a tone, 16 bits."""

_FLAC_LENGTH = slice(18, 26)
_FLAC_LENGTH_BITS = 36


def encoded(samples: NDArray[np.floating], form: str, subtype: str | None = None, rate_hz: int = RATE_HZ) -> bytes:
    """Return samples `[N]` or `[N, channels]` as a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=form, subtype=subtype)
    return file.getvalue()


def long_and_small(form: str, subtype: str, duration_s: int, level: float = 0.0, rate_hz: int = RATE_HZ) -> bytes:
    """Return a file of one and the same value for so many seconds, which compresses to next to nothing."""
    file = io.BytesIO()
    second = np.full(rate_hz, level, np.float32)
    with soundfile.SoundFile(file, "w", rate_hz, 1, format=form, subtype=subtype) as sound:
        for _ in range(duration_s):  # in one go libsndfile's Vorbis encoder overflows its stack
            sound.write(second)
    return file.getvalue()


def with_flac_length(data: bytes, n_samples: int) -> bytes:
    """Return a FLAC file that claims so many samples; 0 leaves them open."""
    field = int.from_bytes(data[_FLAC_LENGTH], "big") >> _FLAC_LENGTH_BITS << _FLAC_LENGTH_BITS | n_samples
    return data[: _FLAC_LENGTH.start] + field.to_bytes(8, "big") + data[_FLAC_LENGTH.stop :]


def with_ogg_length(data: bytes, granule: int) -> bytes:
    """Return an Ogg file whose last page claims to end there."""
    start = data.rindex(b"OggS")
    page = bytearray(data[start:])
    page[6:14] = struct.pack("<q", granule)
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", ogg_checksum(page))
    return data[:start] + bytes(page)


def with_mp3_length(data: bytes, n_frames: int) -> bytes:
    """Return an MP3 file whose header claims so many frames of 576 or 1,152 samples."""
    field = max(data.find(b"Xing"), data.find(b"Info")) + 8
    return data[:field] + struct.pack(">I", n_frames) + data[field + 4 :]


def wav(rate_hz: int = RATE_HZ, channels: int = 1, claimed_bytes: int | None = None, data: bytes = PCM) -> bytes:
    """Return a 16-bit WAV file with the fields of its header as they are given."""
    claimed = len(data) if claimed_bytes is None else claimed_bytes
    frame = 2 * channels & 0xFFFF
    fields = struct.pack("<IHHIIHH", 16, 1, channels, rate_hz, rate_hz * frame & 0xFFFFFFFF, frame, 16)
    size = min(36 + claimed, 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + fields + b"data" + struct.pack("<I", claimed) + data


def aiff(rate: bytes = bytes.fromhex("400cfa00000000000000"), n_samples: int = RATE_HZ) -> bytes:
    """Return a 16-bit AIFF file with a rate as an 80-bit number and so many samples claimed."""
    common = struct.pack(">hIh", 1, n_samples, 16) + rate
    sound = bytes(8) + np.frombuffer(PCM, "<i2").astype(">i2").tobytes()
    body = b"AIFFCOMM" + struct.pack(">I", len(common)) + common + b"SSND" + struct.pack(">I", len(sound)) + sound
    return b"FORM" + struct.pack(">I", len(body)) + body


def ogg_checksum(page: bytes | bytearray) -> int:
    """Return the checksum of a page whose own is 0."""
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    return checksum
