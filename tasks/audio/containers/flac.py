"""FLAC: its frames are counted, since the length in its header is a claim, and several files may be joined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from tasks.audio.containers.part import Part
from tasks.audio.containers.pieces import found_in
from tasks.audio.containers.tags import before_trailing_tags
from tasks.audio.lengths import refuse_long
from tasks.audio.sound_errors import AudioError

_BEGIN = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""Magic and the head of the block that must come first: eight bytes that no sound has by chance."""

_BEGIN_BYTES = 8

_FIELDS, _LENGTH_BITS, _RATE_AT = slice(18, 26), 36, 44
"""Where rate, channels, bits and length stand in a file, as 64 bits, and which of them are the length and the rate."""

_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_MOST_HEADER = 16
_POLYNOMIAL = 0x07


class FlacFrame(NamedTuple):
    """What the header of a frame says: its number, or that of its first sample, and how many samples it has.

    Attributes
    ----------
    number : int
        Of the frame, or of its first sample.
    step : int
        How much larger the number of the next frame is.
    n_samples : int
        Per channel.
    """

    number: int
    step: int
    n_samples: int


def is_flac(data: memoryview) -> bool:
    """Return whether a file is a FLAC."""
    return bytes(data[:4]) == b"fLaC"


def flac_parts(data: memoryview, uri: str, longest_s: float) -> list[Part]:
    """Return the sounds of a FLAC file, one or as many as were joined, each with the length that its frames have.

    Raises
    ------
    AudioError
        Type `truncated` if there are fewer frames than the header says, or if some in the middle are missing, and
        `too_long`.
    """
    end = before_trailing_tags(data)
    starts = list(found_in(_BEGIN, _BEGIN_BYTES, data, 0, end))
    if not starts or starts[0] != 0:
        return [Part((data,))]
    return [_part(data[start:stop], uri, longest_s) for start, stop in zip(starts, [*starts[1:], end], strict=True)]


def _part(data: memoryview, uri: str, longest_s: float) -> Part:
    begin = _after_blocks(data)
    if begin is None:
        return Part((data,))
    fields = int.from_bytes(data[_FIELDS], "big")
    claimed = fields & ((1 << _LENGTH_BITS) - 1)
    n_samples = sum(frame.n_samples for frame in _in_order(list(_frames(data, begin)), uri))
    refuse_long(n_samples / max(1, fields >> _RATE_AT), f"'{uri}'", longest_s)
    if n_samples < claimed:
        message = f"'{uri}' ends early: {n_samples} samples per channel instead of {claimed}"
        raise AudioError("truncated", message)
    counted = (fields - claimed + n_samples).to_bytes(8, "big")
    return Part((data[: _FIELDS.start], counted, data[_FIELDS.stop :]), n_samples)


def _after_blocks(data: memoryview) -> int | None:
    """Return where the blocks with descriptions end and the frames begin; None if the file ends before."""
    place, is_last = 4, False
    while not is_last:
        if place + 4 > len(data):
            return None
        is_last = bool(data[place] & 0x80)
        place += 4 + int.from_bytes(data[place + 1 : place + 4], "big")
    return place if place <= len(data) else None


def _in_order(frames: Sequence[FlacFrame], uri: str) -> Iterator[FlacFrame]:
    """Give the frames that follow each other; others are bytes within one that look like a header.

    Raises
    ------
    AudioError
        Type `truncated` if two that follow each other stand behind a gap.
    """
    expected = frames[0].number if frames else 0
    strays = []
    for frame in frames:
        if frame.number == expected:
            expected += frame.step
            yield frame
        else:
            strays.append(frame)
    for one, other in pairwise(strays):
        if expected < one.number and other.number == one.number + one.step:
            raise AudioError("truncated", f"'{uri}' is damaged: frame {expected} of its FLAC is missing")


def _frames(data: memoryview, begin: int) -> Iterator[FlacFrame]:
    for place in found_in(_SYNC, 2, data, begin, len(data)):
        frame = _frame(bytes(data[place : place + _MOST_HEADER]))
        if frame is not None:
            yield frame


def _frame(header: bytes) -> FlacFrame | None:
    """Return what a header of a frame says, None if it is none: its last byte is a checksum."""
    if len(header) < 6 or header[3] & 1:
        return None
    size_code, rate_code = header[2] >> 4, header[2] & 15
    coded = _coded_number(header[4:])
    if coded is None or size_code == 0 or rate_code == 15:
        return None
    number, place = coded[0], 4 + coded[1]
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    extra = int.from_bytes(header[place : place + size_bytes], "big")
    place += size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if place >= len(header) or _checksum(header[:place]) != header[place]:
        return None
    n_samples = extra + 1 if size_bytes else 192 if size_code == 1 else _size(size_code)
    has_variable_size = header[1] & 1
    return FlacFrame(number, n_samples if has_variable_size else 1, n_samples)


def _size(code: int) -> int:
    return 576 << (code - 2) if code < 6 else 256 << (code - 8)


def _coded_number(data: bytes) -> tuple[int, int] | None:
    """Return a number that is coded as UTF-8 codes characters, and its bytes; None if it is not."""
    ones = 8 - (~data[0] & 0xFF).bit_length()
    if ones == 0:
        return data[0], 1
    rest = data[1:ones]
    if ones in (1, 8) or len(rest) < ones - 1 or any(byte >> 6 != 2 for byte in rest):
        return None
    number = data[0] & (0x7F >> ones)
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return number, ones


def _checksum(header: bytes) -> int:
    table, checksum = _table(), 0
    for byte in header:
        checksum = table[checksum ^ byte]
    return checksum


@cache
def _table() -> list[int]:
    table = []
    for checksum in range(256):
        for _ in range(8):
            checksum = (checksum << 1 ^ (_POLYNOMIAL if checksum & 0x80 else 0)) & 0xFF
        table.append(checksum)
    return table
