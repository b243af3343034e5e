"""How long the packets of Vorbis and Opus are, as far as their first bytes tell: nothing is decoded for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

_VORBIS, _OPUS = b"\x01vorbis", b"OpusHead"
_OPUS_RATE_HZ = 48_000
_OPUS_FRAMES = (480, 960, 1_920, 2_880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
"""Length of a frame in samples, by the configuration in the first five bits of a packet."""

_MODE_BITS, _COUNT_BITS, _MOST_MODES = 41, 6, 64
_OTHERS = {b"\x7fFLAC": "FLAC", b"Speex  ": "Speex", b"\x80theora": "Theora", b"CELT   ": "CELT"}


class Codec(NamedTuple):
    """What tells the length of a stream's packets.

    Attributes
    ----------
    rate_hz : int
        Samples are counted at this rate.
    headers : int
        Packets at the beginning that hold no sound.
    lengths : callable
        Given the first two bytes of each packet with sound, returns their lengths in samples.
    """

    rate_hz: int
    headers: int
    lengths: Callable[[Sequence[bytes]], list[int]]


def is_sound(head: bytes) -> bool:
    """Return whether a stream that begins with such a packet is a sound that can be read."""
    return head.startswith((_VORBIS, _OPUS))


def ogg_codec(head: bytes) -> str:
    """Return the name of what is in a stream that begins with such a packet; empty if it can be read."""
    if is_sound(head):
        return ""
    name = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "an unknown codec")
    return f"{name} in Ogg"


def codec_of(headers: Sequence[bytes]) -> Codec | None:
    """Return how to count packets, by the first three of a stream; None if they do not tell."""
    if headers and headers[0].startswith(_OPUS):
        return Codec(_OPUS_RATE_HZ, 2, lambda packets: [_opus_length(packet) for packet in packets])
    if len(headers) < 3 or not headers[0].startswith(_VORBIS) or len(headers[0]) < 29:
        return None
    rate_hz = int.from_bytes(headers[0][12:16], "little")
    short, long = 1 << (headers[0][28] & 15), 1 << (headers[0][28] >> 4)
    modes = _vorbis_modes(headers[2])
    if not modes or not rate_hz or short > long:
        return None
    blocks = [long if is_long else short for is_long in modes]
    return Codec(rate_hz, 3, lambda packets: _vorbis_lengths(packets, blocks))


def _opus_length(packet: bytes) -> int:
    if not packet:
        return 0
    frame, code = _OPUS_FRAMES[packet[0] >> 3], packet[0] & 3
    if code == 3:
        return frame * (packet[1] & 0x3F) if len(packet) > 1 else 0
    return frame * (2 if code else 1)


def _vorbis_lengths(packets: Sequence[bytes], blocks: Sequence[int]) -> list[int]:
    """Return lengths by the blocks' sizes by mode: each block overlaps by half with the one before it."""
    mask = (1 << (len(blocks) - 1).bit_length()) - 1
    lengths, before = [], 0
    for packet in packets:
        mode = packet[0] >> 1 & mask if packet else len(blocks)
        if mode >= len(blocks) or packet[0] & 1:  # it is not decoded, and the blocks beside it overlap
            lengths.append(0)
            continue
        lengths.append((before + blocks[mode]) // 4 if before else 0)
        before = blocks[mode]
    return lengths


def _vorbis_modes(setup: bytes) -> list[bool]:
    """Return for each mode whether its blocks are long, from the packet with all tables; empty if they are not found.

    The modes stand at its end and can be found from there without all that is before them: each has one bit for its
    block, 32 that are 0, and 8 more; their number stands before them.
    """
    bits = int.from_bytes(setup, "little")
    end = bits.bit_length() - 1  # the last bit that is set only marks the end
    flags: list[bool] = []
    modes: list[bool] = []
    for number in range(1, _MOST_MODES + 1):
        start = end - number * _MODE_BITS
        if start < _COUNT_BITS:
            break
        mode = bits >> start & ((1 << _MODE_BITS) - 1)
        if mode >> 1 & 0xFFFFFFFF:
            break
        flags.insert(0, bool(mode & 1))
        if bits >> (start - _COUNT_BITS) & ((1 << _COUNT_BITS) - 1) == number - 1:
            modes = list(flags)
    return modes
