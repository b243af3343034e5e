"""What is allowed in a manifest and yet most likely not meant: paths of other systems, columns almost named right."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from manifests.schema import MANIFEST_COLUMNS, REQUIRED_COLUMNS

OPTIONAL_COLUMNS = tuple(name for name in MANIFEST_COLUMNS if name not in REQUIRED_COLUMNS)

LIKENESS = 0.75
"""Of two names, 0 to 1, from which on one may be the other misspelled: `alhpa` and `alpha` have 0.8."""

_HOME = re.compile(r"~[^/\\]*[/\\]")
_DRIVE = re.compile(r"/?([A-Za-z]):[\\/]*(.*)")
_ONE_SLASH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?!//)/?(.*)")
_SCHEMES = frozenset({"file", "s3", "s3a", "s3n", "gs", "http", "https"})
_VARIABLE = re.compile(r"\$\w|\$\{|%\w+%")


class PathHint(NamedTuple):
    """What is odd about a path, in the same words for all of its kind, and what to write instead."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}"


def path_hint(written: str) -> PathHint | None:
    r"""Return what to write instead of a path that is most likely not meant as it stands; None for any other.

    Examples
    --------
    >>> str(path_hint("snd\\a.wav"))
    'a backslash is part of a name here. Write / between folders: snd/a.wav'
    >>> path_hint("snd/a.wav") is None
    True
    """
    if _HOME.match(written):
        return PathHint("~ is not replaced here", f"Write the whole path: {os.path.expanduser(written)}")
    if drive := _DRIVE.fullmatch(written):
        path = f"/mnt/{drive[1].lower()}/{_slashed(drive[2])}"
        return PathHint("drives of Windows are unknown here", f"Write where the sound is here, in WSL {path}")
    if "\\" in written:
        return PathHint("a backslash is part of a name here", f"Write / between folders: {_slashed(written)}")
    if (scheme := _ONE_SLASH.fullmatch(written)) and scheme[1].lower() in _SCHEMES:
        meant = f"file:///{scheme[2].lstrip('/')}" if scheme[1].lower() == "file" else f"{scheme[1]}://{scheme[2]}"
        return PathHint("slashes are missing after the scheme", f"Write {meant}")
    if _VARIABLE.match(written):
        return PathHint("variables are not replaced here", "Write the whole path")
    if written != written.strip():
        return PathHint("a blank before or after a path is part of it", "Take it out")
    if len(written) > 1 and written[0] == written[-1] and written[0] in "\"'":
        return PathHint("quotes are part of a path", "Take them out")
    return None


class OddPaths:
    """Counts the paths that are most likely not meant, and keeps the first of each column and kind."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], str] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, column: str, hint: PathHint, sentence: str) -> None:
        """Count a path; `sentence` says where it is and what to write instead."""
        kind = column, hint.problem
        self._first.setdefault(kind, sentence)
        self._counts[kind] += 1

    def sentences(self) -> list[str]:
        """Return a sentence for each column and kind."""
        return [f"{first}{_and_more(self._counts[kind] - 1)}" for kind, first in self._first.items()]


def column_hints(names: Sequence[str]) -> Iterator[str]:
    """Give a sentence for each of the user's own columns that may be a setting, or pair_id, misspelled.

    Parameters
    ----------
    names : sequence of str
        All columns. What one of them says already no other is taken for.

    Examples
    --------
    >>> list(column_hints(["content", "style", "alhpa"]))
    ["column 'alhpa' is taken for one of your own, and sets nothing. Is it 'alpha'? Then rename it"]
    """
    free = [name for name in OPTIONAL_COLUMNS if name not in names]
    for name in names:
        meant = _nearest(_plain(name), free)
        if meant is not None and name not in MANIFEST_COLUMNS:
            remedy = f"Is it '{meant}'? Then rename it"
            yield f"column '{name}' is taken for one of your own, and sets nothing. {remedy}"


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that this one may be misspelled; `style_` in front of both makes no two names alike."""
    side = next((f"{sound}_" for sound in REQUIRED_COLUMNS if name.startswith(f"{sound}_")), "")
    rests = {one.removeprefix(side): one for one in known if one.startswith(side)}
    close = difflib.get_close_matches(name.removeprefix(side), rests, n=1, cutoff=LIKENESS)
    return rests[close[0]] if close else None


def _and_more(paths: int) -> str:
    return f" (and {paths} more such {'path' if paths == 1 else 'paths'})" if paths else ""


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def _slashed(path: str) -> str:
    return re.sub(r"\\+", "/", path)
