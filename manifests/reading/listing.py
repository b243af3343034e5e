"""Which files of a folder or of a pattern are meant: one rule for local folders and S3, for folders and patterns."""

from __future__ import annotations

import glob
import posixpath
import re
from collections import Counter
from collections.abc import Iterable

from manifests.files import join

_MAGIC = re.compile(r"[*?\[]")
_HIDDEN = (".", "_")
_SYSTEM = frozenset({"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Folders that network drives and operating systems keep for themselves, without a dot in front."""

_SHOWN_SUFFIXES = 8


def is_pattern(path: str) -> bool:
    """Return whether a path has wildcards: `*`, `?` or `[`."""
    return _MAGIC.search(path) is not None


def all_below(folder: str) -> str:
    """Return the pattern of every file below a folder: what a user names by a folder and by a pattern is found alike.

    >>> all_below("/data/take [1]")
    '/data/take [[]1]/**/*'
    """
    return join(glob.escape(folder), "**", "*")


def is_hidden(uri: str, pattern: str) -> bool:
    """Return whether a file is other programs' own: it, or a folder above it, begins with a dot or an underscore.

    Such are Spark's `_temporary`, Delta's `_delta_log`, Jupyter's `.ipynb_checkpoints`, a Mac's `__MACOSX` and `._a`.
    A partition folder such as `_x=1` is none, nor is what the pattern itself names so.

    Parameters
    ----------
    uri : str
        The file.
    pattern : str
        The pattern that has matched it.

    Examples
    --------
    >>> is_hidden("/data/_log/1.wav", "/data/**/*"), is_hidden("/data/_fold=1/1.wav", "/data/**/*")
    (True, False)
    >>> is_hidden("/data/_old/1.wav", "/data/_*/*.wav"), is_hidden("/data/_old/1.wav", "/data/*/*.wav")
    (False, True)
    """
    *folders, name = uri.split("/")
    parts = [*("" if folder.startswith("_") and "=" in folder else folder for folder in folders), name]
    asked = _aligned(pattern.split("/"), len(parts))
    return any(_begins_hidden(part) and not _begins_hidden(one) for part, one in zip(parts, asked, strict=True))


def suffix_counts(uris: Iterable[str]) -> str:
    """Return how many files have which suffix, the most frequent first.

    >>> suffix_counts(["/a.txt", "/b.m4a", "/c.M4A", "/LICENSE"])
    '2 .m4a, 1 .txt, 1 without a suffix'
    """
    counts = Counter(posixpath.splitext(uri)[1].lower() or "without a suffix" for uri in uris)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} {ascii(suffix)[1:-1]}" for suffix, count in ordered[:_SHOWN_SUFFIXES]]
    rest = sum(count for _, count in ordered[_SHOWN_SUFFIXES:])
    return ", ".join([*shown, *([f"{rest} others"] if rest else [])])


def _aligned(pattern: list[str], count: int) -> list[str]:
    """Return for each of so many parts of a path the part of the pattern that it matches; `**` matches any number."""
    if "**" not in pattern:
        return pattern
    first, last = pattern.index("**"), len(pattern) - 1 - pattern[::-1].index("**")
    head, tail = pattern[:first], pattern[last + 1 :]
    return [*head, *["**"] * (count - len(head) - len(tail)), *tail]


def _begins_hidden(name: str) -> bool:
    return name.startswith(_HIDDEN) or name in _SYSTEM
