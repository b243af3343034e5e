"""One file of an export: a hard link where the file system has them, else a copy whose bytes are looked at.

A hard link takes no space, is a plain file to every program, and stays when its audio is collected or its output root
moved: a symbolic link would lead to nowhere then. What it shares with the audio are the bytes, so a program that
changes a file in place changes the result's audio as well: who has such programs asks for copies.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from tasks.storage.storage import Storage

_BLOCK_BYTES = 1 << 20


class ExportedFile(NamedTuple):
    """How a file has come to its place, and its size in bytes."""

    is_link: bool
    size: int


class _OtherBytes(Exception):
    """The audio is not what its row says."""


def linked_or_copied(source: str, target: str, sha256: str, files: Storage) -> ExportedFile | None:
    """Bring audio to a place as a hard link, or as a copy where there can be none; None if the audio is gone.

    The bytes of a link are not looked at.
    """
    try:
        size = files.stat(source).size
        if size and files.link(source, target):
            return ExportedFile(True, size)
    except FileNotFoundError:
        return None
    return copied(source, target, sha256, files)


def copied(source: str, target: str, sha256: str, files: Storage) -> ExportedFile | None:
    """Copy audio to a place, where it appears whole; None if the audio is gone, or has other bytes than it should.

    Parameters
    ----------
    source, target : str
        URIs, each local or on S3. What is at the target is replaced.
    sha256 : str
        Of the audio.
    files : Storage
        The file system.
    """
    try:
        with files.open(source) as original, files.writing(target) as copy:
            size, digest = 0, hashlib.sha256()
            while block := original.read(_BLOCK_BYTES):
                digest.update(block)
                size += copy.write(block)
            if digest.hexdigest() != sha256:
                raise _OtherBytes
    except (FileNotFoundError, _OtherBytes):
        return None
    return ExportedFile(False, size)


def sha256_of(uri: str, files: Storage) -> str | None:
    """Return the sha256 of a file's bytes; None if there is no such file."""
    digest = hashlib.sha256()
    try:
        with files.open(uri) as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except FileNotFoundError:
        return None
    return digest.hexdigest()
