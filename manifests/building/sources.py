"""Find the sounds that a user names by folders, patterns and files, and keep account of what is left out."""

from __future__ import annotations

from collections.abc import Sequence

from manifests.files import Files, absolute, is_s3
from manifests.reading.hints import path_hint
from manifests.reading.listing import all_below, is_pattern
from manifests.reading.sound_listing import UNWRITABLE, LeftOut, is_sound, printable
from manifests.reading.suffixes import audio_suffixes
from manifests.schema import ManifestError


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
    sounds = [path for path in found if is_sound(path, pattern, own)]
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


def _writable(uri: str) -> str:
    if UNWRITABLE.search(uri):
        raise ManifestError(f"{printable(uri)}: the name is not UTF-8 or has control characters. Rename the file")
    return uri
