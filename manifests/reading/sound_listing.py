"""Which files of a folder or of a pattern are sounds, and an account of those that are left out."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, field

from manifests.reading.listing import is_hidden, suffix_counts
from manifests.reading.suffixes import EXTRA, audio_suffixes, pyav_suffixes

_SHOWN_NAMES = 3
UNWRITABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
"""Control characters, and the lone surrogates that stand for bytes that are not UTF-8."""


@dataclass
class LeftOut:
    """Files of folders and patterns that become no pair.

    They are hidden, no sounds, sounds that only PyAV reads, which is not installed, or of names that no manifest can
    hold.
    """

    hidden: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    by_pyav: set[str] = field(default_factory=set)
    unwritable: set[str] = field(default_factory=set)

    def sentences(self) -> list[str]:
        """Return what a user should know of them; nothing if there are none."""
        said = []
        if self.others:
            said.append(f"{_were(self.others)} left out, by suffix no sounds: {suffix_counts(self.others)}")
        if self.by_pyav:
            remedy = f"PyAV reads them: pip install '{EXTRA}'"
            said.append(
                f"{_were(self.by_pyav)} left out that libsndfile does not read: {suffix_counts(self.by_pyav)}. {remedy}"
            )
        if self.hidden:
            said.append(f"{_were(self.hidden)} left out as hidden: a name begins with '.' or '_', or is a system's")
        if self.unwritable:
            shown = ", ".join(printable(uri) for uri in sorted(self.unwritable)[:_SHOWN_NAMES])
            more = ", ..." if len(self.unwritable) > _SHOWN_NAMES else ""
            problem = "names that are not UTF-8 or have control characters"
            said.append(f"{_were(self.unwritable)} left out for {problem}: {shown}{more}. Rename to have them in")
        return said


def is_sound(path: str, pattern: str, left_out: LeftOut) -> bool:
    """Return whether a file is taken, and tell `left_out` if not."""
    suffix = posixpath.splitext(path)[1].lower()
    if is_hidden(path, pattern):
        left_out.hidden.add(path)
    elif suffix not in audio_suffixes():
        (left_out.by_pyav if suffix in pyav_suffixes() else left_out.others).add(path)
    elif UNWRITABLE.search(path):
        left_out.unwritable.add(path)
    else:
        return True
    return False


def printable(uri: str) -> str:
    """Return a name as it can be shown on any terminal."""
    return ascii(os.fsencode(uri))[1:]


def _were(uris: set[str]) -> str:
    return "1 file was" if len(uris) == 1 else f"{len(uris)} files were"
