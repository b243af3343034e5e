"""Files, local and on S3, behind one set of calls: `manifests.files.Files` for real.

A file appears whole or not at all. Locally that is a temporary file beside the target, synced and renamed; on S3 it is
one PUT or one multipart upload. What is only transient on S3 (a dropped connection, a server too busy, or gone for a
minute) is tried again below, so that no caller repeats device work for it. What remains is a `StorageError` that says
what failed and where.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from manifests.files import FileStat, is_s3
from tasks.storage.local_files import LocalFiles
from tasks.storage.s3_files import S3Files
from tasks.storage.storage_errors import CredentialsExpired, StorageConflict, StorageError, StorageUnreachable

__all__ = ["CredentialsExpired", "Storage", "StorageConflict", "StorageError", "StorageUnreachable"]

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Storage:
    """Local files and S3 by URI (`manifests.files.Files`).

    What a caller may expect keeps its own exception, FileNotFoundError, IsADirectoryError and FileExistsError;
    everything else that goes wrong is a `StorageError`. One instance may serve many threads.
    """

    def __init__(self) -> None:
        self._local = LocalFiles()
        self._s3 = S3Files()

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading, seekable, as a context manager."""
        with _naming("open", uri):
            return self._at(uri).open(uri)

    def read(self, uri: str) -> bytes:
        """Return the whole file."""
        with _naming("read", uri):
            return self._at(uri).read(uri)

    def stat(self, uri: str) -> FileStat:
        """Return size in bytes and version (mtime in ns, or ETag)."""
        with _naming("look up", uri):
            return self._at(uri).stat(uri)

    def exists(self, uri: str) -> bool:
        """Return whether a file or a folder is there."""
        with _naming("look up", uri):
            return self._at(uri).exists(uri)

    def is_folder(self, uri: str) -> bool:
        """Return whether the URI is a folder (on S3: a prefix with objects below)."""
        with _naming("look up", uri):
            return self._at(uri).is_folder(uri)

    def find(self, folder: str) -> list[str]:
        """Return every file below a folder, sorted; an empty list if it is absent."""
        with _naming("list", folder):
            return self._at(folder).find(folder)

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Give every file below a folder with its size in bytes, in any order; nothing if it is absent.

        A listing and no more: on S3 one request for a thousand files, of which memory holds no others.
        """
        with _naming("list", folder):
            yield from self._at(folder).sizes(folder)

    def entries(self, folder: str) -> Iterator[tuple[str, int]]:
        """Give what lies right in a folder, by name: the size of a file, -1 for what is none; nothing if it is absent.

        Keys that only begin like the folder's are no entries on S3.
        """
        with _naming("list", folder):
            yield from self._at(folder).entries(folder)

    def glob(self, pattern: str) -> list[str]:
        """Return the files that match a pattern, sorted."""
        with _naming("list", pattern):
            return self._at(pattern).glob(pattern)

    @contextmanager
    def writing(self, uri: str) -> Iterator[BinaryIO]:
        """Replace a file whole: it appears only at a clean exit of the block; else the old file stays.

        What the block raises passes unchanged, but for a plain OSError, which is taken for a fault of the writing.
        """
        with _naming("write", uri), self._at(uri).writing(uri) as stream:
            yield stream

    @contextmanager
    def replacing(self, uri: str, present: FileStat | None) -> Iterator[BinaryIO]:
        """Do `writing`, but only if the file still is what `stat` told (None: absent).

        Raises
        ------
        StorageConflict
            If another process has written or removed it: it stays as it is.
        """
        with _naming("write", uri), self._at(uri).replacing(uri, present) as stream:
            yield stream

    def create(self, uri: str, data: bytes | Path) -> None:
        """Write a file once, whole, from bytes or from a local file; raise FileExistsError if it is there."""
        with _naming("create", uri):
            self._at(uri).create(uri, data)

    def link(self, source: str, uri: str) -> bool:
        """Give a file a second name, a hard link in place of what is there; False where there can be none, as on S3."""
        if is_s3(source) or is_s3(uri):
            return False
        with _naming("link", uri):
            return self._local.link(source, uri)

    def presigned(self, uri: str, seconds: int) -> str:
        """Return an https address of an object on S3, there or not, that needs no credentials for so many seconds."""
        with _naming("sign an address of", uri):
            return self._s3.presigned(uri, seconds)

    def load(self, uri: str) -> tuple[bytes, str] | None:
        """Return a small file whole with its version for `swap`; None if it is absent."""
        with _naming("read", uri):
            return self._at(uri).load(uri)

    def swap(self, uri: str, data: bytes, version: str | None) -> str:
        """Replace a file if it still is the version that `load` returned (None: absent), and return its new version.

        Of many processes that try, one succeeds: on S3 by a conditional PUT, locally by a lock file beside the file.

        Raises
        ------
        StorageConflict
            If another process was faster.
        """
        with _naming("write", uri):
            return self._at(uri).swap(uri, data, version)

    def half_written(self, folder: str, older_than_s: float) -> list[str]:
        """Return unfinished files below a folder that nobody has written to for so many seconds."""
        with _naming("list", folder):
            return self._at(folder).half_written(folder, older_than_s)

    def delete(self, uri: str) -> None:
        """Remove a file; raise FileNotFoundError if there is none."""
        with _naming("delete", uri):
            self._at(uri).delete(uri)

    def _at(self, uri: str) -> LocalFiles | S3Files:
        return self._s3 if is_s3(uri) else self._local


@contextmanager
def _naming(action: str, uri: str) -> Iterator[None]:
    """Let every fault say what was tried and where, the unexpected ones as a StorageError."""
    try:
        yield
    except StorageUnreachable as error:
        if uri in str(error):
            raise
        raise type(error)(f"cannot {action} '{uri}': {error}") from error
    except StorageError:
        raise
    except (FileNotFoundError, IsADirectoryError, FileExistsError) as error:
        if uri in str(error):
            raise
        raise type(error)(f"cannot {action} '{uri}': {error}") from error
    except (OSError, BotoCoreError, ClientError) as error:
        raise StorageError(f"cannot {action} '{uri}': {type(error).__name__}: {error}{_mend(error, uri)}") from error


def _mend(error: Exception, uri: str) -> str:
    """Return what a user can do about a fault, as the end of its message; empty where nothing is known."""
    number = getattr(error, "errno", None)
    if number in NO_SPACE:
        return ". Free some space, and run the same command again"
    if number == errno.EROFS:
        return ". Choose another folder"
    if isinstance(error, PermissionError | NoCredentialsError) and is_s3(uri):
        return ". Check the credentials, and what they may do there: `timbreflow doctor` says which are used"
    return ""
