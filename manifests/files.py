"""What the manifests need of a file system, and the string work on URIs.

A URI is a plain string: an absolute local path (`file://` is accepted on input and taken off) or `s3://bucket/key`.
The file system itself is handed in, see `Files`; nothing in this module touches a disk or a network.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol
from urllib.parse import unquote

S3 = "s3://"
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)


class UriError(ValueError):
    """A path or URI that names nothing timbreflow can read or write; the message says what to write instead."""


class FileStat(NamedTuple):
    """Size in bytes and version of a file: mtime in ns (local), ETag (S3), empty where there is none."""

    size: int
    version: str


class Files(Protocol):
    """The file system that callers hand in: local paths and S3 behind one set of calls."""

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading, seekable, as a context manager."""

    def read(self, uri: str) -> bytes:
        """Return the whole file."""

    def stat(self, uri: str) -> FileStat:
        """Return size and version; raise FileNotFoundError or IsADirectoryError."""

    def exists(self, uri: str) -> bool:
        """Return whether a file or a folder is there."""

    def is_folder(self, uri: str) -> bool:
        """Return whether the URI is a folder (on S3: a prefix with keys below)."""

    def find(self, folder: str) -> list[str]:
        """Return every file below a folder, sorted; an empty list if it is absent."""

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Give every file below a folder with its size in bytes, in any order; nothing if it is absent."""

    def glob(self, pattern: str) -> list[str]:
        """Return the files that match a pattern, sorted."""

    def writing(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """Replace a file whole: it appears only at a clean exit of the block."""

    def replacing(self, uri: str, present: FileStat | None) -> AbstractContextManager[BinaryIO]:
        """As `writing`, but only if the file still is what `stat` told (None: absent); an OSError otherwise."""

    def create(self, uri: str, data: bytes | Path) -> None:
        """Write a file once; raise FileExistsError if it is there."""

    def load(self, uri: str) -> tuple[bytes, str] | None:
        """Return a small file whole with its version for `swap`; None if it is absent."""

    def swap(self, uri: str, data: bytes, version: str | None) -> str:
        """Replace a file if it still is that version (None: absent), and return its new version."""

    def delete(self, uri: str) -> None:
        """Remove a file."""


def is_s3(uri: str) -> bool:
    """Return whether a resolved URI lies on S3."""
    return uri.startswith(S3)


def join(root: str, *parts: str) -> str:
    """Append path parts to a URI.

    >>> join("s3://bucket/out", "runs", "7.json")
    's3://bucket/out/runs/7.json'
    """
    return "/".join([root.rstrip("/"), *(part.strip("/") for part in parts)])


def parent(uri: str) -> str:
    """Return the folder that holds a URI; a bucket and the root hold themselves.

    >>> parent("s3://bucket/pairs.parquet"), parent("/data/pairs.parquet")
    ('s3://bucket', '/data')
    """
    if not is_s3(uri):
        return posixpath.dirname(uri.rstrip("/")) or "/"
    bucket, key = _split_s3(uri)
    return _s3_uri(bucket, posixpath.dirname(key.rstrip("/")))


def resolve(written: str, base: str) -> str:
    """Return the URI that a written path means.

    Parameters
    ----------
    written : str
        Absolute local path, `file://` or `s3://` URI, or a path relative to `base`.
    base : str
        URI of the folder that relative paths start from.

    Raises
    ------
    UriError
        Another scheme, a `file://` of another host, no bucket, or a relative path that leaves its bucket.

    Examples
    --------
    >>> resolve("../sounds/harp.flac", "/data/manifests")
    '/data/sounds/harp.flac'
    >>> resolve("harp.flac", "s3://bucket/sounds")
    's3://bucket/sounds/harp.flac'
    """
    scheme = _SCHEME.match(written)
    if scheme is not None:
        return _resolve_scheme(scheme[1].lower(), scheme[2], written)
    if is_s3(base) and not written.startswith("/"):
        return _resolve_in_bucket(written, base)
    return _normalise_local(posixpath.join(base, written))


def absolute(written: str) -> str:
    """Return the URI of a path as a user types it: relative to the working directory. Raises as `resolve`."""
    return resolve(written, str(Path.cwd()))


def relative_to(uri: str, base: str) -> str:
    """Write a URI relative to a folder, so that both can be moved together.

    The URI comes back unchanged where only the root (or nothing) is shared, or where its normalised relative form
    would name something else.

    >>> relative_to("/data/sounds/harp.flac", "/data/manifests")
    '../sounds/harp.flac'
    >>> relative_to("/media/harp.flac", "/data/manifests")
    '/media/harp.flac'
    """
    if is_s3(uri) != is_s3(base):
        return uri
    if is_s3(uri):
        (bucket, key), (base_bucket, base_key) = _split_s3(uri), _split_s3(base)
        if bucket != base_bucket:
            return uri
        relative = posixpath.relpath("/" + key, "/" + base_key)
    else:
        if posixpath.commonpath([uri, base]) == "/" and base != "/":
            return uri
        relative = posixpath.relpath(uri, base)
    return relative if resolve(relative, base) == uri else uri


def _resolve_scheme(scheme: str, rest: str, written: str) -> str:
    if scheme == "s3":
        if not rest.split("/", 1)[0]:
            raise UriError(f"'{written}' names no bucket. Write s3://bucket/key")
        return S3 + rest.rstrip("/")
    if scheme == "file":
        host, slash, path = rest.partition("/")
        if host not in ("", "localhost") or not slash:
            raise UriError(f"'{written}' is not a file of this machine. Write file:///folder/name or a plain path")
        return _normalise_local("/" + unquote(path))
    raise UriError(f"'{written}' has the scheme '{scheme}'. Use a local path, file:// or s3://")


def _resolve_in_bucket(written: str, base: str) -> str:
    bucket, folder = _split_s3(base)
    key = posixpath.normpath(posixpath.join(folder, written))
    if key == ".." or key.startswith("../"):
        raise UriError(f"'{written}' leaves the bucket of '{base}'. Write the whole s3:// URI")
    return _s3_uri(bucket, "" if key == "." else key)


def _normalise_local(path: str) -> str:
    # POSIX keeps a leading double slash; here it would make one file two URIs.
    return "/" + posixpath.normpath(path).lstrip("/")


def _split_s3(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(S3).partition("/")
    return bucket, key


def _s3_uri(bucket: str, key: str) -> str:
    return f"{S3}{bucket}/{key}" if key else f"{S3}{bucket}"
