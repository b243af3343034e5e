"""Tags that programs put before, behind and between sounds, whatever the format: ID3, APE and Lyrics3, and padding."""

from __future__ import annotations

import re

_ID3V2_HEADER, _ID3V1, _APE_HEADER = 10, 128, 32
_ZEROS = re.compile(rb"\0*")
_LYRICS = re.compile(rb"LYRICSBEGIN.*?(?:LYRICS200|LYRICSEND)", re.DOTALL)
_MOST_LYRICS = 1 << 20


def after_tags(data: memoryview, start: int) -> int:
    """Return where the tags and zeros end that stand at a place; the place itself if there are none."""
    while True:
        end = start + _tag_size(data, start)
        if end == start:
            return _after_zeros(data, start)
        start = min(end, len(data))


def after_leading_tags(data: memoryview) -> int:
    """Return where the ID3v2 tags end with which a file begins, and the zeros behind them."""
    start = 0
    while bytes(data[start : start + 3]) == b"ID3" and (size := _tag_size(data, start)):
        start = _after_zeros(data, min(start + size, len(data)))
    return start


def before_trailing_tags(data: memoryview) -> int:
    """Return where the tags begin with which a file ends; its length if there are none."""
    end = len(data)
    if end >= _ID3V1 and bytes(data[end - _ID3V1 : end - _ID3V1 + 3]) == b"TAG":
        end -= _ID3V1
    if end >= _APE_HEADER and bytes(data[end - _APE_HEADER : end - _APE_HEADER + 8]) == b"APETAGEX":
        footer = data[end - _APE_HEADER : end]
        size = int.from_bytes(footer[12:16], "little")
        has_header = footer[23] & 0x80
        end = max(0, end - size - (_APE_HEADER if has_header else 0))
    return end


def _tag_size(data: memoryview, start: int) -> int:
    head = bytes(data[start : start + _APE_HEADER])
    if head.startswith(b"ID3") and len(head) >= _ID3V2_HEADER and not any(byte & 0x80 for byte in head[6:10]):
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        has_footer = head[5] & 0x10
        size += _ID3V2_HEADER * (2 if has_footer else 1)
        return size if start + size <= len(data) else 0
    if head.startswith(b"TAG") and not head.startswith(b"TAG+"):
        return _ID3V1
    if head.startswith(b"APETAGEX") and len(head) == _APE_HEADER:
        is_header = head[23] & 0x20
        return _APE_HEADER + (int.from_bytes(head[12:16], "little") if is_header else 0)
    if head.startswith(b"LYRICSBEGIN"):
        found = _LYRICS.match(data[start : start + _MOST_LYRICS])
        return found.end() if found else 0
    return 0


def _after_zeros(data: memoryview, start: int) -> int:
    found = _ZEROS.match(data, start)
    assert found is not None  # it matches nothing, too
    return found.end()
