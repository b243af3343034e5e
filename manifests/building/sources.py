"""Find the sounds that a user names by folders, patterns and files, and keep account of what is left out."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from manifests.files import Files, absolute, is_s3
from manifests.reading.hints import path_hint
from manifests.reading.listing import all_below, is_hidden, is_pattern, suffix_counts
from manifests.reading.suffixes import EXTRA, audio_suffixes, pyav_suffixes
from manifests.schema import ManifestError

_SHOWN_NAMES = 3
_UNWRITABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
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
            shown = ", ".join(_printable(uri) for uri in sorted(self.unwritable)[:_SHOWN_NAMES])
            more = ", ..." if len(self.unwritable) > _SHOWN_NAMES else ""
            problem = "names that are not UTF-8 or have control characters"
            said.append(f"{_were(self.unwritable)} left out for {problem}: {shown}{more}. Rename to have them in")
        return said


def find_sounds(sources: Sequence[str], side: str, files: Files, left_out: LeftOut) -> list[str]:
    """Return the URIs of the sounds of all sources, in their order; a file named by itself is taken as it is.

    Parameters
    ----------
    sources : sequence of str
        Folders, glob patterns, s3:// prefixes or single files.
    side : str
        `content` or `style`, for messages.
    files : Files
        The file system.
    left_out : LeftOut
        Is told of the files that are no sounds.

    Raises
    ------
    ManifestError
        A source that is not there, or without sounds.
    """
    sounds = [sound for source in sources for sound in _source_sounds(source, side, files, left_out)]
    if not sounds:
        raise ManifestError(f"no {side} given. Name a folder, a pattern, an s3:// prefix or a file")
    return sounds


def source_uri(written: str) -> str:
    """Return the URI of a path as a user types it.

    Raises
    ------
    ManifestError
        If it names nothing that can be read or written.
    """
    try:
        return absolute(written)
    except ValueError as error:
        raise ManifestError(str(error)) from error


def _source_sounds(source: str, side: str, files: Files, left_out: LeftOut) -> list[str]:
    uri = source_uri(source)
    if is_s3(uri) and is_pattern(uri.split("/")[2]):
        raise ManifestError(f"{source}: the name of a bucket cannot be a pattern. Give one bucket after the other")
    if files.is_folder(uri):
        pattern = all_below(uri)
    elif files.exists(uri):
        return [_writable(uri)]
    elif is_pattern(uri):
        pattern = uri
    else:
        remedy = path_hint(source) or f"Correct the {side} path"
        raise ManifestError(f"{source}: no such file or folder. {remedy}")
    found, own = _matches(pattern, source, files), LeftOut()
    sounds = [path for path in found if _is_sound(path, pattern, own)]
    if not sounds:
        why = "".join(f"; {sentence}" for sentence in own.sentences())
        wanted = f"Give a {side} with files in {' '.join(audio_suffixes())}"
        if not found and "[" in source:
            wanted = "A [ is a wildcard there: write [[] for the character itself"
        raise ManifestError(f"{source}: no sound among its {len(found)} files{why}. {wanted}")
    left_out.hidden |= own.hidden
    left_out.others |= own.others
    left_out.by_pyav |= own.by_pyav
    left_out.unwritable |= own.unwritable
    return sounds


def _matches(pattern: str, source: str, files: Files) -> list[str]:
    try:
        return files.glob(pattern)
    except ValueError as error:
        raise ManifestError(f"{source}: {error}. Write ** between two slashes, as in voices/**/*.wav") from error


def _is_sound(path: str, pattern: str, left_out: LeftOut) -> bool:
    """Return whether a file is taken, and tell `left_out` if not."""
    suffix = posixpath.splitext(path)[1].lower()
    if is_hidden(path, pattern):
        left_out.hidden.add(path)
    elif suffix not in audio_suffixes():
        (left_out.by_pyav if suffix in pyav_suffixes() else left_out.others).add(path)
    elif _UNWRITABLE.search(path):
        left_out.unwritable.add(path)
    else:
        return True
    return False


def _writable(uri: str) -> str:
    if _UNWRITABLE.search(uri):
        raise ManifestError(f"{_printable(uri)}: the name is not UTF-8 or has control characters. Rename the file")
    return uri


def _printable(uri: str) -> str:
    return ascii(os.fsencode(uri))[1:]


def _were(uris: set[str]) -> str:
    return "1 file was" if len(uris) == 1 else f"{len(uris)} files were"
