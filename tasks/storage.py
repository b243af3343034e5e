"""Files, local and on S3, behind one set of calls: `manifests.files.Files` for real.

A file appears whole or not at all. Locally that is a temporary file beside the target, synced and renamed; on S3 it is
one PUT or one multipart upload. What is only passing on S3 (a dropped connection, a server too busy) is tried again
here, with growing pauses, so that no caller repeats device work for it. What remains is a `StorageError` that says
what failed and where.

Credentials, region and endpoint come from the environment or the profile of the AWS tools (`AWS_ACCESS_KEY_ID`,
`AWS_PROFILE`, `AWS_ENDPOINT_URL`, ...) and are never arguments.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import tempfile
import uuid
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError
from s3fs import S3FileSystem

from manifests.files import FileStat, is_s3

ATTEMPTS = 6
"""How often botocore sends one S3 request; the pauses between add up to 16 s on average."""

ROUNDS = 2
"""How often s3fs starts a request over that failed so, or whose answer broke off: then its fault counts as lasting."""

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
READ_BLOCK_BYTES = 1 << 20
PART_BYTES = 8 << 20

_HALF_WRITTEN = ".timbreflow-"
_WRITER = "timbreflow-writer"


class StorageError(OSError):
    """Something could not be read or written: the message says what, where and why."""


class LocalFiles:
    """Files below absolute local paths."""

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading."""
        return Path(uri).open("rb")

    def read(self, uri: str) -> bytes:
        """Return the whole file."""
        return Path(uri).read_bytes()

    def stat(self, uri: str) -> FileStat:
        """Return size and mtime in ns."""
        status = Path(uri).stat()
        if Path(uri).is_dir():
            raise IsADirectoryError(f"'{uri}' is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(f"'{uri}' is no ordinary file: a pipe or a device could be read for ever")
        return FileStat(status.st_size, str(status.st_mtime_ns))

    def exists(self, uri: str) -> bool:
        """Return whether a file or a folder is there."""
        return Path(uri).exists()

    def is_folder(self, uri: str) -> bool:
        """Return whether the path is a folder."""
        return Path(uri).is_dir()

    def find(self, folder: str) -> list[str]:
        """Return every whole file below a folder, sorted; a folder that may not be read is an error, not empty."""
        if not self.is_folder(folder):
            return []
        walk = os.walk(folder, onerror=_raise)
        files = (Path(parent, name) for parent, _, names in walk for name in names)
        return sorted(str(path) for path in files if path.is_file() and not path.name.startswith(_HALF_WRITTEN))

    def glob(self, pattern: str) -> list[str]:
        """Return the files that match, sorted; `**` goes through folders."""
        return sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())

    @contextmanager
    def writing(self, uri: str) -> Iterator[BinaryIO]:
        """Replace a file whole at a clean exit."""
        with self._whole(uri) as (stream, half_written):
            yield stream
            _sync(stream)
            half_written.replace(uri)

    def create(self, uri: str, data: bytes) -> None:
        """Write a file once. A hard link, unlike a rename, refuses a name that is taken."""
        with self._whole(uri) as (stream, half_written):
            stream.write(data)
            _sync(stream)
            os.link(half_written, uri)

    def delete(self, uri: str) -> None:
        """Remove a file."""
        Path(uri).unlink()

    @contextmanager
    def _whole(self, uri: str) -> Iterator[tuple[BinaryIO, Path]]:
        """Yield a temporary file beside the target and its path, and leave nothing of it behind."""
        target = Path(uri)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:  # which would read as if the target were there
            raise NotADirectoryError(f"'{target.parent}' is a file, not a folder") from error
        half_written = target.parent / f"{_HALF_WRITTEN}{uuid.uuid4().hex}"
        try:
            with half_written.open("xb") as stream:
                yield stream, half_written
        finally:
            half_written.unlink(missing_ok=True)


class S3Files:
    """Objects below `s3://bucket/`."""

    @cached_property
    def _s3(self) -> S3FileSystem:
        """The client, made at first use: planning on local files needs no S3, and it reads the environment then.

        Listings are not cached, other processes write too. Faults are retried by botocore (throttling, 5xx, broken
        connections; exponential with jitter) and bodies that break off by s3fs.
        """
        client = S3FileSystem(
            skip_instance_cache=True,
            use_listings_cache=False,
            config_kwargs={
                "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
                "connect_timeout": CONNECT_TIMEOUT_S,
                "read_timeout": READ_TIMEOUT_S,
            },
        )
        client.retries = ROUNDS
        return client

    def open(self, uri: str) -> BinaryIO:
        """Open an object for reading, in blocks, so that a header costs one request."""
        self.stat(uri)
        return cast(BinaryIO, self._s3.open(uri, "rb", block_size=READ_BLOCK_BYTES))

    def read(self, uri: str) -> bytes:
        """Return the whole object."""
        self.stat(uri)
        return cast(bytes, self._s3.cat_file(uri))

    def stat(self, uri: str) -> FileStat:
        """Return size and ETag."""
        info = self._s3.info(uri)
        if info["type"] == "directory":
            if self.is_folder(uri):
                raise IsADirectoryError(f"'{uri}' is a folder")
            # Some servers still list a prefix whose last object is gone.
            raise FileNotFoundError(f"'{uri}' does not exist")
        return FileStat(info["size"], info.get("ETag", "").strip('"'))

    def exists(self, uri: str) -> bool:
        """Return whether an object is there, or any below."""
        try:
            self.stat(uri)
        except FileNotFoundError:
            return False
        except IsADirectoryError:
            return True
        return True

    def is_folder(self, uri: str) -> bool:
        """Return whether any object lies below; a folder marker, a key that ends with a slash, is none."""
        bucket, key, _ = self._s3.split_path(uri)
        prefix = f"{key.rstrip('/')}/" if key else ""
        try:
            page = self._s3.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=2)
        except FileNotFoundError:
            return False
        return any(not item["Key"].endswith("/") for item in page.get("Contents", ()))

    def find(self, folder: str) -> list[str]:
        """Return every object below a prefix, sorted."""
        below = f"s3://{self._s3._strip_protocol(folder)}/"
        try:
            found = [f"s3://{key}" for key in self._s3.find(folder)]
        except FileNotFoundError:
            return []
        return sorted(uri for uri in found if uri.startswith(below) and not uri.endswith("/"))

    def glob(self, pattern: str) -> list[str]:
        """Return the objects that match, sorted; `**` goes through folders."""
        matches = self._s3.glob(pattern, detail=True)
        return sorted(f"s3://{key}" for key, info in matches.items() if info["type"] == "file")

    @contextmanager
    def writing(self, uri: str) -> Iterator[BinaryIO]:
        """Replace an object whole at a clean exit: written to a local file first, then uploaded in one go."""
        with tempfile.NamedTemporaryFile(prefix=_HALF_WRITTEN) as stream:
            yield cast(BinaryIO, stream)
            stream.flush()
            self._s3.put_file(stream.name, uri, chunksize=PART_BYTES)

    def create(self, uri: str, data: bytes) -> None:
        """Write an object once, by a conditional PUT.

        If the answer to a PUT that succeeded is lost, its repetition meets its own object: the writer's mark on it
        tells that from another writer's.
        """
        writer = uuid.uuid4().hex
        try:
            self._s3.pipe_file(uri, data, mode="create", chunksize=PART_BYTES, Metadata={_WRITER: writer})
        except OSError:
            if not self.exists(uri):
                raise
            if self._s3.metadata(uri).get(_WRITER) != writer:
                raise FileExistsError(f"'{uri}' exists already") from None

    def delete(self, uri: str) -> None:
        """Remove an object."""
        self.stat(uri)
        self._s3.rm_file(uri)


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

    def create(self, uri: str, data: bytes) -> None:
        """Write a file once, whole; raise FileExistsError if it is there."""
        with _naming("create", uri):
            self._at(uri).create(uri, data)

    def delete(self, uri: str) -> None:
        """Remove a file; raise FileNotFoundError if there is none."""
        with _naming("delete", uri):
            self._at(uri).delete(uri)

    def identity(self, uri: str, memo: MutableMapping[tuple[str, int, str], str]) -> str:
        """Return the identity of a file: the sha256 of its bytes, 64 hex digits.

        Parameters
        ----------
        uri : str
            Local path or S3 URI.
        memo : mutable mapping
            Identities known before, by URI, size and version; what is computed is added. A file without a version
            is always read.

        Raises
        ------
        FileNotFoundError, IsADirectoryError, StorageError
            As `stat` and `read`.
        """
        size, version = self.stat(uri)
        key = (uri, size, version)
        if version and key in memo:
            return memo[key]
        with self.open(uri) as stream, _naming("read", uri):
            memo[key] = hashlib.file_digest(cast(BufferedReader, stream), "sha256").hexdigest()
        return memo[key]

    def _at(self, uri: str) -> LocalFiles | S3Files:
        return self._s3 if is_s3(uri) else self._local


@contextmanager
def _naming(action: str, uri: str) -> Iterator[None]:
    """Let every fault say what was tried and where, the unexpected ones as a StorageError."""
    try:
        yield
    except StorageError:
        raise
    except (FileNotFoundError, IsADirectoryError, FileExistsError) as error:
        if uri in str(error):
            raise
        raise type(error)(f"cannot {action} '{uri}': {error}") from error
    except (OSError, BotoCoreError, ClientError) as error:
        raise StorageError(f"cannot {action} '{uri}': {type(error).__name__}: {error}") from error


def _raise(error: OSError) -> None:
    raise error


def _sync(stream: BinaryIO) -> None:
    """Bring the bytes to the disk before the name: after a power cut the file must not be there and empty."""
    stream.flush()
    os.fsync(stream.fileno())
