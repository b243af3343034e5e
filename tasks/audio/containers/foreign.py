"""Whether a file of a format that libsndfile does not read was cut, where the format says how long it is.

FFmpeg reads Matroska, ASF and AVI to whatever end they have, and says nothing: a download that broke off would count as
a shorter sound.
"""

from __future__ import annotations

from tasks.audio.containers.chunks import SLACK_BYTES, STREAMED
from tasks.audio.sound_errors import AudioError

_SEGMENT = b"\x18\x53\x80\x67"
_ASF_GUID, _ASF_FIELDS = 16, 24
_ASF_DATA = b"\x36\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
_RIFF_HEADER = 8


def refuse_cut(data: memoryview, demuxer: str, uri: str) -> None:
    """Raise `truncated` for a file that is shorter than it says; nothing is known of one that does not say it.

    Parameters
    ----------
    data : memoryview
        The whole file.
    demuxer : str
        FFmpeg's name of its format.
    uri : str
        Its name, for the message.
    """
    size = _SIZES[demuxer](data) if demuxer in _SIZES else None
    if size is not None and size > len(data) + SLACK_BYTES:
        raise AudioError("truncated", f"'{uri}' ends early: {len(data)} bytes instead of {size}")


def _matroska_size(data: memoryview) -> int | None:
    """Return where the one element ends that all sound is in; its size is left open by who writes as it records."""
    header = _number(data, 4)
    if header is None:
        return None
    place, size = header
    start = place + size
    segment = _number(data, start + len(_SEGMENT))
    if bytes(data[start : start + len(_SEGMENT)]) != _SEGMENT or segment is None:
        return None
    place, size = segment
    width = place - start - len(_SEGMENT)
    return None if size == (1 << 7 * width) - 1 else place + size


def _number(data: memoryview, start: int) -> tuple[int, int] | None:
    """Return where a number of EBML ends, and its value: the zeros before its first one tell its bytes."""
    if start >= len(data) or data[start] == 0:
        return None
    width = 9 - data[start].bit_length()
    if start + width > len(data):
        return None
    value = int.from_bytes(data[start : start + width], "big") & ((1 << 7 * width) - 1)
    return start + width, value


def _asf_size(data: memoryview) -> int | None:
    """Return where the object ends that has the packets, which follows the header."""
    start = int.from_bytes(data[_ASF_GUID:_ASF_FIELDS], "little")
    if bytes(data[start : start + _ASF_GUID]) != _ASF_DATA:
        return None
    size = int.from_bytes(data[start + _ASF_GUID : start + _ASF_FIELDS], "little")
    return start + size if _ASF_FIELDS < size < STREAMED else None


def _avi_size(data: memoryview) -> int | None:
    size = int.from_bytes(data[4:_RIFF_HEADER], "little")
    return _RIFF_HEADER + size if 0 < size < STREAMED else None


_SIZES = {"matroska": _matroska_size, "asf": _asf_size, "avi": _avi_size}
