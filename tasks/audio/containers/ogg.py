"""Ogg: its packets are counted, since the last page's word for the length may be wrong, missing or that of one link.

Streams may be chained (one file joined to another) and multiplexed (the sound of a film beside its log-spectrograms):
each link's sound is handed to libsndfile alone. Its last page may count a little less than the packets have, since
encoders cut off padding so; where it counts much less, or more, it is written anew.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from tasks.audio.containers.packets import codec_of, is_sound, ogg_codec
from tasks.audio.containers.part import Part
from tasks.audio.lengths import refuse_long
from tasks.audio.sound_errors import AudioError

_PAGE = struct.Struct("<4sBBqIIIB")
_FIRST = 2
_GRANULE, _NUMBER, _CHECKSUM = slice(6, 14), slice(18, 22), slice(22, 26)
_MAGIC = re.compile(rb"OggS\x00")
_POLYNOMIAL = 0x04C11DB7
_HEADERS = 3
_TRIMMED_S = 0.2
"""Padding at both ends that a decoder may leave out."""


class Page(NamedTuple):
    """A page; its granule counts the samples up to its end, and is -1 if no packet ends there."""

    flags: int
    granule: int
    serial: int
    number: int
    segments: bytes
    content: memoryview
    whole: memoryview


def is_ogg(data: memoryview) -> bool:
    """Return whether a file is an Ogg."""
    return bytes(data[:4]) == b"OggS"


def ogg_parts(data: memoryview, uri: str, longest_s: float) -> list[Part]:
    """Return the sound of each link of an Ogg file, as a file.

    Raises
    ------
    AudioError
        Type `truncated` if pages are cut off or missing, `too_long`, and `not_audio` for several sounds at once.
    """
    links: list[list[Page]] = []
    before = None
    for page in _pages(data, uri):
        if page.flags & _FIRST and (before is None or not before.flags & _FIRST):
            links.append([])
        if links:
            links[-1].append(page)
        before = page
    if not links:
        return [Part((data,))]
    return [_part(_sound(link, uri), uri, longest_s) for link in links]


def _pages(data: memoryview, uri: str) -> Iterator[Page]:
    """Give the pages of a file, whatever stands between them."""
    place = 0
    while (place := _next_page(data, place)) >= 0:
        _, _, flags, granule, serial, number, _, n_segments = _PAGE.unpack_from(data, place)
        begin = place + _PAGE.size + n_segments
        segments = bytes(data[place + _PAGE.size : begin])
        end = begin + sum(segments)
        if len(segments) < n_segments or end > len(data):
            raise AudioError("truncated", f"'{uri}' ends early: its last page of Ogg is cut off")
        yield Page(flags, granule, serial, number, segments, data[begin:end], data[place:end])
        place = end


def _next_page(data: memoryview, place: int) -> int:
    """Return where the next page begins, -1 if there is none."""
    found = _MAGIC.search(data, place)
    return found.start() if found and found.start() + _PAGE.size <= len(data) else -1


def _sound(link: Sequence[Page], uri: str) -> list[Page]:
    """Return the pages of the one sound in a link; of its first stream if none is a sound that is known."""
    heads = {page.serial: bytes(page.content[:8]) for page in link if page.flags & _FIRST}
    sounds = [serial for serial, head in heads.items() if is_sound(head)]
    if len(sounds) > 1:
        raise AudioError("not_audio", f"'{uri}' holds {len(sounds)} sounds at once: keep one of them")
    serial = (sounds or list(heads))[0]
    return [page for page in link if page.serial == serial]


def _part(pages: Sequence[Page], uri: str, longest_s: float) -> Part:
    """Return the pages of one sound, the last with a length that is so."""
    name = ogg_codec(bytes(pages[0].content[:8]))
    packets = [(page, packet if n < _HEADERS else packet[:2]) for n, (page, packet) in enumerate(_packets(pages))]
    codec = codec_of([packet for _, packet in packets[:_HEADERS]])
    sounding = packets[codec.headers :] if codec else []
    if codec is None or not sounding:
        return Part(tuple(page.whole for page in pages), codec=name, demuxer="ogg")
    lengths = codec.lengths([packet for _, packet in sounding])
    end = _end([page for page, _ in sounding], lengths, pages)
    refuse_long(sum(lengths) / codec.rate_hz - _TRIMMED_S, f"'{uri}'", longest_s)
    last = sounding[-1][0]
    _refuse_gap(pages, end, uri)
    pages = pages[: last + 1]
    granules = [page.granule for page in pages]
    if not end - 2 * max(lengths) <= granules[-1] <= end:
        granules[-1] = end
    numbers = range(pages[0].number, pages[0].number + len(pages))
    return Part(tuple(_as_it_should_be(*page) for page in zip(pages, granules, numbers, strict=True)))


def _refuse_gap(pages: Sequence[Page], end: int, uri: str) -> None:
    """Refuse a stream that lacks a page, if it also lacks samples: some programs number their pages wrongly."""
    for before, after in pairwise(pages):
        if after.number != before.number + 1 and max(page.granule for page in pages) > end:
            message = f"'{uri}' is damaged: page {before.number + 1} of its Ogg stream is missing"
            raise AudioError("truncated", message)


def _end(places: Sequence[int], lengths: Sequence[int], pages: Sequence[Page]) -> int:
    """Return what the last page should count: streams that were recorded midway do not begin at 0.

    The first page with sound tells by how much, unless it is the last, which may cut off padding.
    """
    first, last = places[0], places[-1]
    before = sum(length for place, length in zip(places, lengths, strict=True) if place == first)
    start = pages[first].granule - before if first != last and pages[first].granule >= 0 else 0
    return start + sum(lengths)


def _packets(pages: Sequence[Page]) -> Iterator[tuple[int, bytes]]:
    """Give the packets of a stream, each with the number of the page that it ends on; one that is cut off is none."""
    packet = b""
    for number, page in enumerate(pages):
        start = end = 0
        for segment in page.segments:
            end += segment
            if segment < 255:
                yield number, packet + bytes(page.content[start:end])
                packet, start = b"", end
        packet += bytes(page.content[start:end])


def _as_it_should_be(page: Page, granule: int, number: int) -> bytes | memoryview:
    """Return a page with its true granule and number; libsndfile leaves out a packet where a number is missing."""
    if page.granule == granule and page.number == number:
        return page.whole
    changed = bytearray(page.whole)
    changed[_GRANULE] = struct.pack("<q", granule)
    changed[_NUMBER] = struct.pack("<I", number)
    changed[_CHECKSUM] = bytes(4)
    changed[_CHECKSUM] = struct.pack("<I", _checksum(changed))
    return bytes(changed)


def _checksum(page: bytearray) -> int:
    table, checksum = _table(), 0
    for byte in page:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ table[checksum >> 24 ^ byte]
    return checksum


@cache
def _table() -> list[int]:
    table = []
    for byte in range(256):
        checksum = byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (_POLYNOMIAL if checksum >> 31 else 0)) & 0xFFFFFFFF
        table.append(checksum)
    return table
