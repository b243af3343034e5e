"""FLAC: the number of samples in its header is a claim, and several files may be joined."""

from __future__ import annotations

import re

from tasks.containers.part import Part
from tasks.containers.tags import before_trailing_tags

_BEGIN = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""Magic and the head of the block that must come first: eight bytes that no sound has by chance."""

LENGTH = slice(18, 26)
"""Where rate, channels, bits and length stand in a file, as 64 bits."""

_LENGTH_BITS = 36


def is_flac(data: memoryview) -> bool:
    """Return whether a file is a FLAC."""
    return bytes(data[:4]) == b"fLaC"


def flac_parts(data: memoryview) -> list[Part]:
    """Return the sounds of a FLAC file, one or as many as were joined, each without a length, to be read to its end."""
    end = before_trailing_tags(data)
    starts = [found.start() for found in _BEGIN.finditer(data, 0, end)]
    if not starts or starts[0] != 0:
        return [Part((data,))]
    return [_part(data[start:stop]) for start, stop in zip(starts, [*starts[1:], end], strict=True)]


def without_length(fields: bytes) -> tuple[bytes, int]:
    """Return the 64 bits of `LENGTH` with the length left open, and the length that they claimed; 0 is none."""
    number = int.from_bytes(fields, "big")
    claimed = number & ((1 << _LENGTH_BITS) - 1)
    return (number - claimed).to_bytes(8, "big"), claimed


def _part(data: memoryview) -> Part:
    if len(data) < LENGTH.stop:
        return Part((data,))
    fields, claimed = without_length(bytes(data[LENGTH]))
    return Part((data[: LENGTH.start], fields, data[LENGTH.stop :]), claimed or None)
