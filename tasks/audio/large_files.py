"""Files that are too large for memory: they lie on the local disk while they are read, and are hashed in blocks."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, cast

from manifests.files import Files, FileStat, is_s3

_BLOCK_BYTES = 1 << 20
_KNOWN = 1_000
"""Digests that are remembered: a long content is hashed once, however many pairs name it."""

_digests: dict[tuple[str, FileStat], str] = {}
_lock = threading.Lock()


class LargeFile(NamedTuple):
    """Where a file lies on the local disk, its size, and the sha256 of its bytes."""

    path: str
    size: int
    sha256: str


SoundData = bytes | LargeFile
"""A whole sound file."""


def sha256_of(data: SoundData) -> str:
    """Return the sha256 of a file's bytes."""
    return data.sha256 if isinstance(data, LargeFile) else hashlib.sha256(data).hexdigest()


@contextmanager
def on_disk(uri: str, files: Files, stat: FileStat) -> Iterator[LargeFile]:
    """Give a file that is on the local disk, a copy if need be, as long as the block lasts.

    Raises
    ------
    OSError
        If it cannot be read, or there is no room for a copy.
    """
    if not is_s3(uri):
        yield LargeFile(uri, stat.size, _known_digest(uri, files, stat))
        return
    with tempfile.NamedTemporaryFile(prefix=".timbreflow-") as copy:
        with files.open(uri) as source:
            digest = _digest(source, cast(BinaryIO, copy))
        copy.flush()
        yield LargeFile(copy.name, stat.size, digest)


def _known_digest(uri: str, files: Files, stat: FileStat) -> str:
    with _lock:
        known = _digests.get((uri, stat))
    if known is None:
        with files.open(uri) as source:
            known = _digest(source)
        with _lock:
            if len(_digests) >= _KNOWN:
                _digests.clear()
            _digests[uri, stat] = known
    return known


def _digest(source: BinaryIO, copy: BinaryIO | None = None) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK_BYTES):
        digest.update(block)
        if copy is not None:
            copy.write(block)
    return digest.hexdigest()
