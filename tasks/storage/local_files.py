"""Local files behind the calls of `Storage`: whole or not at all, and never half-written under their name."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import stat
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock
from fsspec.utils import glob_translate

from manifests.files import FileStat
from tasks.storage.storage_errors import StorageConflict, StorageError

OWN = ".timbreflow"
"""How the names of files begin that are no file to any reader."""

HALF_WRITTEN = f"{OWN}-"
"""How the names of unfinished files begin: what a kill leaves."""

_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})
"""What a system says where there can be no further link: another disk, FAT, a file that has too many."""

LOCK = f"{OWN}.lock"
LOCK_TIMEOUT_S = 60.0


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
        return sorted(str(path) for path in files if path.is_file() and not path.name.startswith(OWN))

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Give every whole file below a folder with its size; a folder that may not be read is an error, not empty."""
        if not self.is_folder(folder):
            return
        for parent, _, names in os.walk(folder, onerror=_raise):
            for name in names:
                path = f"{parent}/{name}"
                try:
                    status = os.stat(path)
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ELOOP):
                        raise
                    continue  # deleted meanwhile, or a link to nothing or to itself
                if stat.S_ISREG(status.st_mode) and not name.startswith(OWN):
                    yield path, status.st_size

    def entries(self, folder: str) -> Iterator[tuple[str, int]]:
        """Give what lies right in a folder: also folders, links to nothing, pipes and the like, with the size -1."""
        if not self.is_folder(folder):
            return
        with os.scandir(folder) as found:
            for entry in found:
                if not entry.name.startswith(OWN):
                    yield entry.name, entry.stat().st_size if entry.is_file() else -1

    def glob(self, pattern: str) -> list[str]:
        """Return the files that match, sorted, those with a dot in front too.

        `**` goes through folders, and through links to folders, but into none twice; one that may not be read is an
        error. It must stand between two slashes, else a ValueError is raised, as on S3.
        """
        matches = re.compile(glob_translate(pattern)).match
        root, deep, _ = pattern.partition("**")
        found = glob.glob(root, include_hidden=True)
        if deep:
            found = [path for folder in found for path in _linked_files(folder) if matches(path)]
        return sorted({path for path in found if Path(path).is_file()})

    @contextmanager
    def writing(self, uri: str) -> Iterator[BinaryIO]:
        """Replace a file whole at a clean exit."""
        with self._whole(uri) as (stream, half_written):
            yield stream
            _sync(stream)
            half_written.replace(uri)

    @contextmanager
    def replacing(self, uri: str, present: FileStat | None) -> Iterator[BinaryIO]:
        """Replace a file whole at a clean exit if it still is what it was, under a lock of its folder."""
        with self._whole(uri) as (stream, half_written):
            yield stream
            _sync(stream)
            with FileLock(Path(uri).parent / LOCK, timeout=LOCK_TIMEOUT_S, is_singleton=False):
                if (self.stat(uri) if self.exists(uri) else None) != present:
                    raise StorageConflict(f"'{uri}' was changed by another process")
                half_written.replace(uri)

    def create(self, uri: str, data: bytes | Path) -> None:
        """Write a file once. A hard link, unlike a rename, refuses a name that is taken."""
        with self._whole(uri) as (stream, half_written):
            if isinstance(data, bytes):
                stream.write(data)
            else:
                with data.open("rb") as source:
                    shutil.copyfileobj(source, stream, 1 << 20)
            _sync(stream)
            os.link(half_written, uri)

    def link(self, source: str, uri: str) -> bool:
        """Give a file a second name, in place of what is there; False where the file system has no hard links."""
        half_written = _made(Path(uri).parent) / f"{HALF_WRITTEN}{uuid.uuid4().hex}"
        try:
            os.link(source, half_written)
            half_written.replace(uri)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            return False
        finally:
            half_written.unlink(missing_ok=True)  # renaming a file to another name of itself does nothing
        return True

    def load(self, uri: str) -> tuple[bytes, str] | None:
        """Return a file's bytes and version for `swap`, None if it is absent."""
        try:
            data = Path(uri).read_bytes()
        except FileNotFoundError:
            return None
        return data, sha256(data).hexdigest()

    def swap(self, uri: str, data: bytes, version: str | None) -> str:
        """Replace a file if it still is that version (None: absent), under a lock of its folder."""
        folder = _made(Path(uri).parent)
        with FileLock(folder / LOCK, timeout=LOCK_TIMEOUT_S, is_singleton=False):
            present = self.load(uri)
            if (present and present[1]) != version:
                raise StorageConflict(f"'{uri}' was changed by another process")
            with self.writing(uri) as stream:
                stream.write(data)
        return sha256(data).hexdigest()

    def half_written(self, folder: str, older_than_s: float) -> list[str]:
        """Return unfinished files below a folder that nobody has written to for so many seconds."""
        before = time.time() - older_than_s
        found = (path for path in Path(folder).rglob(f"{HALF_WRITTEN}*") if path.is_file())
        return sorted(str(path) for path in found if path.stat().st_mtime < before)

    def delete(self, uri: str) -> None:
        """Remove a file."""
        Path(uri).unlink()

    @contextmanager
    def _whole(self, uri: str) -> Iterator[tuple[BinaryIO, Path]]:
        """Yield a temporary file beside the target and its path, and leave nothing of it behind."""
        half_written = _made(Path(uri).parent) / f"{HALF_WRITTEN}{uuid.uuid4().hex}"
        try:
            with half_written.open("xb") as stream:
                yield stream, half_written
        finally:
            half_written.unlink(missing_ok=True)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # which would read as if the file itself were there
        raise NotADirectoryError(f"'{folder}' is a file, not a folder") from error
    return folder


def _linked_files(folder: str) -> Iterator[str]:
    """Give every file below a folder, real folders first, then those that links lead to, each folder once.

    A link to a folder above it leads to no more than a loop, and is left alone.
    """
    seen, waiting = set(), deque([folder])
    while waiting:
        for parent, folders, names in os.walk(waiting.popleft(), onerror=_raise):
            status = os.stat(parent)
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders.sort()
            yield from (os.path.join(parent, name) for name in names)
            links = (Path(parent, name) for name in folders if Path(parent, name).is_symlink())
            waiting.extend(str(link) for link in links if not Path(folder).resolve().is_relative_to(link.resolve()))


def _raise(error: OSError) -> None:
    raise error


def _sync(stream: BinaryIO) -> None:
    """Bring the bytes to the disk before the name: after a power cut the file must not be there and empty."""
    stream.flush()
    os.fsync(stream.fileno())
