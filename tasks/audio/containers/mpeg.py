"""MPEG audio (MP3, and layers I and II): its frames are counted, since a file without a header of its own says nothing.

libsndfile believes the length in a Xing header, or estimates it from the first frame: wrong for files of changing bit
rate, for joined ones and for edited ones. So each run of frames that belong together is handed to it alone: behind its
Xing header if that counts what is there (it also says where the padding of the encoder ends), else without, and with so
many zeros behind it that the estimate is long enough. A header that is made here would not do: libsndfile takes off
what it thinks is the padding of every file that has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tasks.audio.containers.part import Part
from tasks.audio.containers.tags import after_tags
from tasks.audio.lengths import refuse_endless, refuse_long
from tasks.audio.sound_errors import AudioError

_KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by version (1, or 2 for 2 and 2.5) and layer."""

_RATES_HZ = (44_100, 48_000, 32_000)
_VERSIONS = (3, 0, 2, 1)
"""Versions by the two bits that say so: 3 stands for MPEG 2.5, 0 for none. Each halves the sampling rates."""

_SIDE_BYTES = {(True, True): 32, (True, False): 17, (False, True): 17, (False, False): 9}
"""Where a Xing header stands in its frame, by whether this is of version 1 and whether of two channels."""

_VBRI = 36
"""Where the header of another encoder stands in its frame."""

_HEADER_BYTES = 64
_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_TRIMMED_S = 0.2
"""Padding at both ends of a sound that a decoder may leave out."""

_CHAIN = 3
"""Frames that must follow each other before they count as such: four random bytes look like a header too often."""

_CLAIM_SLACK = 2
"""Frames by which a Xing header may count too many: its own, or one that was lost at the end."""

_MOST_UNKNOWN = 2 * 1_441
"""Bytes among the frames that are neither frames nor tags, two frames at most: more is damage."""

_MOST_S = 600.0
"""Frames are counted up to this length, far beyond what is read, unless a sound may be longer."""


class MpegFrame(NamedTuple):
    """One frame: where it begins and ends, its length in samples, and what it shares with those it belongs to."""

    start: int
    end: int
    n_samples: int
    rate_hz: int
    layer: int
    version: int
    channels: int

    @property
    def kind(self) -> tuple[int, int, int]:
        """What all frames of one encoder share; the channels are not part of it."""
        return self.rate_hz, self.layer, self.version


@dataclass
class FrameRun:
    """Frames that belong together, and the frame before them that is their header, if any, with what it claims."""

    header: MpegFrame | None = None
    claim: int = 0
    frames: list[MpegFrame] = field(default_factory=list)


def find_mpeg(data: memoryview, start: int = 0) -> int | None:
    """Return where the first chain of frames begins, from a place on; None if there is none."""
    for sync in _SYNC.finditer(data, start):
        if _is_chain(data, sync.start()):
            return sync.start()
    return None


def is_like_mpeg(data: memoryview) -> bool:
    """Return whether a file begins as a frame does, whether or not others follow."""
    return _SYNC.match(data) is not None


def mpeg_parts(data: memoryview, uri: str, longest_s: float) -> list[Part]:
    """Return the runs of frames of MPEG audio, each as a file.

    Raises
    ------
    AudioError
        Type `truncated` if a header counts more frames than there are, or if many bytes among them are none;
        `too_long`; `empty` if there are headers alone, and `not_audio` if there is nothing.
    """
    most_s = max(_MOST_S, longest_s)
    frames, unknown = _frames(data, most_s)
    if not frames:
        raise AudioError("not_audio", f"'{uri}' should hold MPEG audio, but no frame of it was found")
    runs = _runs(data, frames)
    length_s = sum(_length_s(run) for run in runs) - _TRIMMED_S
    if length_s > most_s - 1:
        refuse_endless(most_s - 1, f"'{uri}'", longest_s)
    refuse_long(length_s, f"'{uri}'", longest_s)
    if not any(run.frames for run in runs):
        raise AudioError("empty", f"'{uri}' holds no samples")
    _refuse_cut(runs, uri)
    if unknown > _MOST_UNKNOWN and not all(_is_counted(run) for run in runs):
        raise AudioError("truncated", f"'{uri}' is damaged: {unknown} bytes in it are no frames of MPEG audio")
    return [_part(data, run) for run in runs if run.frames]


def _part(data: memoryview, run: FrameRun) -> Part:
    pieces = tuple(_joined(data, run.frames))
    header = _header_with_count(data, run.header, len(run.frames)) if run.header and _is_counted(run) else None
    if header is not None:
        return Part((header, *pieces))
    n_samples = len(run.frames) * run.frames[0].n_samples
    largest = max(frame.end - frame.start for frame in run.frames)
    return Part((*pieces, bytes((len(run.frames) + 1) * largest)), n_samples)


def _header_with_count(data: memoryview, header: MpegFrame, n_frames: int) -> bytes | None:
    """Return a Xing header with a number of frames; None for one of another kind, which libsndfile takes for sound."""
    content = bytearray(data[header.start : header.end])
    place = _xing(content, header)
    if place is None:
        return None
    content[place + 8 : place + 12] = n_frames.to_bytes(4, "big")
    return bytes(content)


def _is_counted(run: FrameRun) -> bool:
    """Return whether the header says how many frames there are."""
    return len(run.frames) <= run.claim <= len(run.frames) + _CLAIM_SLACK


def _length_s(run: FrameRun) -> float:
    return sum(frame.n_samples for frame in run.frames) / run.frames[0].rate_hz if run.frames else 0.0


def _joined(data: memoryview, frames: Sequence[MpegFrame]) -> Iterator[memoryview]:
    """Give the bytes of frames, in as few pieces as possible."""
    begin = end = frames[0].start
    for frame in frames:
        if frame.start != end:
            yield data[begin:end]
            begin = frame.start
        end = frame.end
    yield data[begin:end]


def _refuse_cut(runs: Sequence[FrameRun], uri: str) -> None:
    """Refuse a file of which a header counts more frames than follow; the first may count those of all runs."""
    there = 0
    for run in reversed(runs):
        there += len(run.frames)
        if run.claim > there + _CLAIM_SLACK:
            raise AudioError("truncated", f"'{uri}' ends early: {there} frames of MPEG audio instead of {run.claim}")
        there += run.header is not None


def _runs(data: memoryview, frames: Sequence[MpegFrame]) -> list[FrameRun]:
    runs: list[FrameRun] = []
    for frame in frames:
        claim = _claim(data, frame)
        if claim is not None:
            runs.append(FrameRun(frame, claim))
            continue
        if not runs or (runs[-1].frames and runs[-1].frames[-1][3:] != frame[3:]):
            runs.append(FrameRun())
        runs[-1].frames.append(frame)
    return runs


def _claim(data: memoryview, frame: MpegFrame) -> int | None:
    """Return how many frames a frame claims that is a header; 0 if it gives no number, None if it is none."""
    if frame.layer != 3:
        return None
    content = bytes(data[frame.start : min(frame.end, frame.start + _HEADER_BYTES)])
    place = _xing(content, frame)
    if place is None:
        is_vbri = content[_VBRI : _VBRI + 4] == b"VBRI"
        return int.from_bytes(content[_VBRI + 14 : _VBRI + 18], "big") if is_vbri else None
    has_count = len(content) >= place + 12 and content[place + 7] & 1
    return int.from_bytes(content[place + 8 : place + 12], "big") if has_count else 0


def _xing(content: bytes | bytearray, frame: MpegFrame) -> int | None:
    """Return where the Xing header stands in a frame, with a checksum before it or without; None if there is none."""
    side = 4 + _SIDE_BYTES[frame.version == 1, frame.channels == 2]
    return next((place for place in (side, side + 2) if content[place : place + 4] in (b"Xing", b"Info")), None)


def _frames(data: memoryview, most_s: float) -> tuple[list[MpegFrame], int]:
    """Return all frames, up to that length, and how many bytes behind the first are neither frames nor tags."""
    frames: list[MpegFrame] = []
    place = unknown = n_samples = 0
    while place < len(data):
        frame = _next_frame(data, place, frames[-1] if frames else None)
        if frame is not None:
            frames.append(frame)
            n_samples, place = n_samples + frame.n_samples, frame.end
            if n_samples > most_s * frame.rate_hz:
                break
            continue
        after = after_tags(data, place)
        if after == place or not (after == len(data) or _is_chain(data, after)):
            # Also within what seemed to be a tag: its size may be wrong.
            found = find_mpeg(data, place + 1)
            behind_tag, after = max(place, after), len(data) if found is None else found
            unknown += max(0, after - behind_tag) if frames else 0
        place = after
    return frames, unknown


def _next_frame(data: memoryview, place: int, before: MpegFrame | None) -> MpegFrame | None:
    """Return the whole frame at a place, if it continues the one before or begins a chain."""
    frame = _frame_at(data, place)
    if frame is None or frame.end > len(data):
        return None
    continues = before is not None and before.end == place and before.kind == frame.kind
    return frame if continues or _is_chain(data, place) else None


def _is_chain(data: memoryview, place: int) -> bool:
    """Return whether frames of one kind follow each other from a place on: three, or two at the end of the data."""
    kind = None
    for n_found in range(_CHAIN):
        frame = _frame_at(data, place)
        if frame is None or (kind is not None and frame.kind != kind):
            return n_found >= 2 and place + 4 > len(data)
        kind, place = frame.kind, frame.end
    return True


def _frame_at(data: memoryview, place: int) -> MpegFrame | None:
    """Return the frame whose header stands at a place, whole or not; None if there is none."""
    if place + 4 > len(data):
        return None
    header = int.from_bytes(data[place : place + 4], "big")
    version, layer = _VERSIONS[header >> 19 & 3], 4 - (header >> 17 & 3)
    bits, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 0 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    rate_hz = _RATES_HZ[rate] >> (version - 1)
    bits_per_s = 1_000 * _KBITS[min(version, 2), layer][bits - 1]
    n_samples = 384 if layer == 1 else 576 if layer == 3 and version > 1 else 1_152
    slot = 4 if layer == 1 else 1
    size = (n_samples // 8 * bits_per_s // (slot * rate_hz) + padding) * slot
    channels = 1 if header >> 6 & 3 == 3 else 2
    return MpegFrame(place, place + size, n_samples, rate_hz, layer, version, channels)
