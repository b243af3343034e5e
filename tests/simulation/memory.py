"""A storage in memory with the promises of the real ones: whole files or none, created once, compared and swapped.

Every call is a step before and a step after its effect: what it does is done, but the caller need not learn of it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from manifests.files import FileStat, join
from tasks.storage.storage_errors import StorageConflict

Step = Callable[[str, float], None]
CHANGING = 8.0
"""Weight of a step before a change: there a process that stands still, and goes on as if nothing were, does harm."""

_ANSWER = 4
"""Names in an answer of a listing."""

Effect = Callable[[str, bytes | None], None]


class MemoryFiles:
    """Files by URI, behind the calls of `tasks.storage.storage`.

    Parameters
    ----------
    step : callable
        Called around every effect, with what is done.
    effect : callable
        Told of every change as it happens: the file, and its bytes; None where it was deleted.
    """

    def __init__(self, step: Step = lambda *_: None, effect: Effect = lambda *_: None) -> None:
        self.bodies: dict[str, bytes] = {}
        self._step, self._effect = step, effect

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading."""
        return cast(BinaryIO, pa.BufferReader(self.read(uri)))  # which Arrow reads without asking Python

    def read(self, uri: str) -> bytes:
        """Return the whole file."""
        with self._call("read", uri):
            return self._body(uri)

    def stat(self, uri: str) -> FileStat:
        """Return size and version."""
        with self._call("stat", uri):
            return FileStat(len(self._body(uri)), _version(self._body(uri)))

    def exists(self, uri: str) -> bool:
        """Return whether a file or a folder is there."""
        with self._call("exists", uri):
            return uri in self.bodies or self._is_folder(uri)

    def is_folder(self, uri: str) -> bool:
        """Return whether any file lies below."""
        with self._call("is_folder", uri):
            return self._is_folder(uri)

    def find(self, folder: str) -> list[str]:
        """Return every file below a folder, sorted; as on S3 in answers of some names each, and each is of its time."""
        found: list[str] = []
        while True:
            with self._call("find", folder):
                after = found[-1] if found else ""
                answer = sorted(uri for uri in self.bodies if uri.startswith(join(folder, "")) and uri > after)
            found += answer[:_ANSWER]
            if len(answer) <= _ANSWER:
                return found

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Give every file below a folder with its size."""
        with self._call("sizes", folder):
            found = [(uri, len(body)) for uri, body in self.bodies.items() if uri.startswith(join(folder, ""))]
        yield from found

    def glob(self, pattern: str) -> list[str]:
        """Return the files that match, sorted; `**` goes through folders."""
        parts = re.split(r"(\*\*/|\*|\?)", pattern)
        means = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
        whole = re.compile("".join(means.get(part, re.escape(part)) for part in parts))
        with self._call("glob", pattern):
            return sorted(uri for uri in self.bodies if whole.fullmatch(uri))

    @contextmanager
    def writing(self, uri: str) -> Iterator[BinaryIO]:
        """Replace a file whole at a clean exit."""
        stream = io.BytesIO()
        yield stream
        with self._call("write", uri):
            self._put(uri, stream.getvalue())

    @contextmanager
    def replacing(self, uri: str, present: FileStat | None) -> Iterator[BinaryIO]:
        """Replace a file whole at a clean exit if it still is what it was."""
        stream = io.BytesIO()
        yield stream
        with self._call("write", uri):
            self._refuse_changed(uri, present and present.version)
            self._put(uri, stream.getvalue())

    def create(self, uri: str, data: bytes | Path) -> None:
        """Write a file once."""
        with self._call("create", uri):
            if uri in self.bodies:
                raise FileExistsError(f"'{uri}' exists already")
            self._put(uri, data if isinstance(data, bytes) else data.read_bytes())

    def load(self, uri: str) -> tuple[bytes, str] | None:
        """Return a file's bytes and version for `swap`, None if it is absent."""
        with self._call("load", uri):
            data = self.bodies.get(uri)
            return None if data is None else (data, _version(data))

    def swap(self, uri: str, data: bytes, version: str | None) -> str:
        """Replace a file if it still is that version (None: absent)."""
        with self._call("swap", uri):
            self._refuse_changed(uri, version)
            self._put(uri, data)
            return _version(data)

    def half_written(self, folder: str, older_than_s: float) -> list[str]:
        """Return nothing: what is not whole is no file."""
        return []

    def delete(self, uri: str) -> None:
        """Remove a file."""
        with self._call("delete", uri):
            self._body(uri)
            del self.bodies[uri]
            self._effect(uri, None)

    def _refuse_changed(self, uri: str, version: str | None) -> None:
        present = self.bodies.get(uri)
        if (None if present is None else _version(present)) != version:
            raise StorageConflict(f"'{uri}' was changed by another process")

    def _put(self, uri: str, data: bytes) -> None:
        self.bodies[uri] = data
        self._effect(uri, data)

    def _body(self, uri: str) -> bytes:
        if uri in self.bodies:
            return self.bodies[uri]
        if self._is_folder(uri):
            raise IsADirectoryError(f"'{uri}' is a folder")
        raise FileNotFoundError(f"'{uri}' does not exist")

    def _is_folder(self, uri: str) -> bool:
        return any(other.startswith(join(uri, "")) for other in self.bodies)

    @contextmanager
    def _call(self, name: str, uri: str) -> Iterator[None]:
        self._step(f"{name} {uri}", CHANGING if name in ("write", "create", "swap", "delete") else 1.0)
        try:
            yield
        finally:
            self._step(f"  {name} has answered", 1.0)


def _version(data: bytes) -> str:
    """Return a version that only the bytes decide, as an ETag is, or what local files are compared by."""
    return sha256(data).hexdigest()
