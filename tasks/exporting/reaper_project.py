"""The text of a Reaper project: tracks of items, each a stretch of an audio file, and markers above them.

A project is a tree of blocks, `<NAME ...` to `>`, with a line for each value. What is not written has Reaper's default.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_KINDS = {
    "FLAC": (".flac",),
    "WAVE": (".wav", ".wave", ".bwf", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".caf", ".au"),
    "VORBIS": (".ogg", ".oga"),
    "OPUS": (".opus",),
    "MP3": (".mp3", ".mp2"),
}
"""What Reaper calls the decoders, by the suffixes of the files that they read."""

_OTHER_KIND = "VIDEO"
"""The decoder for whatever FFmpeg or the system reads: m4a, wma and others."""


@dataclass(frozen=True)
class Item:
    """A stretch of an audio file on a track.

    Attributes
    ----------
    name : str
        What stands on it.
    path : str
        Of the file, relative to the project.
    position_s, length_s : float
        Where it begins on the track, and how long it is.
    offset_s : float
        Where in the file it begins.
    """

    name: str
    path: str
    position_s: float
    length_s: float
    offset_s: float = 0.0


@dataclass
class Project:
    """Tracks by their names, from top to bottom, and markers with their times in s."""

    sample_rate: int
    tracks: dict[str, list[Item]]
    markers: list[tuple[float, str]] = field(default_factory=list)


def project_text(project: Project) -> str:
    """Return a project as a file has it, in UTF-8."""
    return "\n".join(_project(project)) + "\n"


def quoted(text: str) -> str:
    r"""Return a text between quotes that it does not contain: the format has no way to escape one.

    >>> print(quoted("a b"), quoted('12" disc'), quoted('12" of "x\'s"'), quoted("a\nb"))
    "a b" '12" disc' `12" of "x's"` "a b"
    """
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    mark = next((mark for mark in "\"'" if mark not in line), "`")
    return f"{mark}{line.replace('`', chr(39)) if mark == '`' else line}{mark}"


def kind_of(path: str) -> str:
    """Return what Reaper calls the decoder of a file.

    >>> kind_of("a.FLAC"), kind_of("a.aiff"), kind_of("a.m4a")
    ('FLAC', 'WAVE', 'VIDEO')
    """
    suffix = posixpath.splitext(path)[1].lower()
    return next((kind for kind, suffixes in _KINDS.items() if suffix in suffixes), _OTHER_KIND)


def _project(project: Project) -> Iterator[str]:
    yield '<REAPER_PROJECT 0.1 "7.0" 0'
    yield f"  SAMPLERATE {project.sample_rate} 1 0"
    for number, (position_s, name) in enumerate(project.markers, 1):
        yield f"  MARKER {number} {position_s:.9f} {quoted(name)} 0"
    for name, items in project.tracks.items():
        yield from _track(name, items)
    yield ">"


def _track(name: str, items: Sequence[Item]) -> Iterator[str]:
    yield "  <TRACK"
    yield f"    NAME {quoted(name)}"
    for item in items:
        yield "    <ITEM"
        yield f"      POSITION {item.position_s:.9f}"
        yield f"      LENGTH {item.length_s:.9f}"
        yield "      LOOP 0"
        yield f"      NAME {quoted(item.name)}"
        yield f"      SOFFS {item.offset_s:.9f}"
        yield f"      <SOURCE {kind_of(item.path)}"
        yield f"        FILE {quoted(item.path)}"
        yield "      >"
        yield "    >"
    yield "  >"
