"""Which files of a folder or of a pattern are meant: one rule for local folders and S3, for folders and patterns."""

from __future__ import annotations

import glob
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from manifests.files import Files, join

_MAGIC = re.compile(r"[*?\[]")
_HIDDEN = (".", "_")
_SYSTEM = frozenset({"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Folders that network drives and operating systems keep for themselves, without a dot in front."""

_SHOWN_SUFFIXES = 8


def is_pattern(path: str) -> bool:
    """Return whether a path has wildcards: `*`, `?` or `[`."""
    return _MAGIC.search(path) is not None


def files_below(folder: str, files: Files) -> list[str]:
    """Return every file below a folder, sorted: what the pattern `folder/**/*` matches, links to folders included."""
    return files.glob(join(glob.escape(folder), "**", "*"))


def is_hidden(uri: str, named: str) -> bool:
    """Return whether a file is other programs' own: it, or a folder above it, begins with a dot or an underscore.

    Such are Spark's `_temporary`, Delta's `_delta_log`, Jupyter's `.ipynb_checkpoints`, a Mac's `__MACOSX` and `._a`.
    A partition folder such as `_x=1` is none. What the user has named is not looked at.

    Parameters
    ----------
    uri : str
        The file.
    named : str
        The folder or pattern that the user has named, and that led to it.

    Examples
    --------
    >>> is_hidden("/data/_delta_log/1.parquet", "/data"), is_hidden("/data/_fold=1/1.parquet", "/data")
    (True, False)
    >>> is_hidden("/data/_old/1.wav", "/data/_*/*.wav"), is_hidden("/data/_old/1.wav", "/data/*/*.wav")
    (False, True)
    """
    base, wildcards = _split_pattern(named)
    *folders, name = uri.removeprefix(base).strip("/").split("/")
    wanted = [part for part in wildcards if _begins_hidden(part)]
    parts = [name, *(folder for folder in folders if not (folder.startswith("_") and "=" in folder))]
    return any(_begins_hidden(part) and not any(fnmatchcase(part, one) for one in wanted) for part in parts)


def suffix_counts(uris: Iterable[str]) -> str:
    """Return how many files have which suffix, the most frequent first.

    >>> suffix_counts(["/a.txt", "/b.m4a", "/c.M4A", "/LICENSE"])
    '2 .m4a, 1 .txt, 1 without a suffix'
    """
    counts = Counter(posixpath.splitext(uri)[1].lower() or "without a suffix" for uri in uris)
    shown = [f"{count} {ascii(suffix)[1:-1]}" for suffix, count in counts.most_common(_SHOWN_SUFFIXES)]
    rest = counts.total() - sum(count for _, count in counts.most_common(_SHOWN_SUFFIXES))
    return ", ".join([*shown, *([f"{rest} others"] if rest else [])])


def _split_pattern(named: str) -> tuple[str, Sequence[str]]:
    """Return the folder in front of the first wildcard, and the parts from there on."""
    parts = named.split("/")
    first = next((index for index, part in enumerate(parts) if is_pattern(part)), len(parts))
    return "/".join(parts[:first]), parts[first:]


def _begins_hidden(name: str) -> bool:
    return name.startswith(_HIDDEN) or name in _SYSTEM
