"""What an export in shards has made: a JSON file in its folder, by which the next one knows what is there already.

For each file it has the size and a digest of what went into it. It is replaced before and after each file, so that a
killed export has left no file that the record does not name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, ValidationError

from manifests.files import join
from tasks.exporting.export_errors import ExportError
from tasks.storage.storage import Storage

SHARD_RECORD_NAME = "timbreflow-export.json"


class MadeFile(BaseModel):
    """A file that an export has made.

    Attributes
    ----------
    digest : str
        sha256 of what it was made of, not of its bytes; empty while it is made.
    size : int
        Bytes.
    version : str
        Of the file system, changed with the file: mtime or ETag.
    """

    model_config = ConfigDict(extra="forbid")

    digest: str = ""
    size: int = -1
    version: str = ""


class _Recorded(BaseModel):
    model_config = ConfigDict(extra="forbid")

    root: str
    form: str
    files: dict[str, MadeFile]


@dataclass
class ShardRecord:
    """The record of a folder while its files are made."""

    folder: str
    root: str
    form: str
    storage: Storage
    made: dict[str, MadeFile] = field(default_factory=dict)

    def uri(self, name: str) -> str:
        """Return where a file of the folder is."""
        return join(self.folder, name)

    def has(self, name: str, digest: str) -> bool:
        """Return whether a file is there that was made of the same, and that nobody has changed since."""
        told = self.made.get(name)
        return told is not None and told.digest == digest and self.is_untouched(name)

    def is_untouched(self, name: str) -> bool:
        """Return whether a file that the record names is there as it was made."""
        try:
            found = self.storage.stat(self.uri(name))
        except FileNotFoundError:
            return False
        told = self.made[name]
        return (found.size, found.version) == (told.size, told.version)

    def is_edited(self, name: str) -> bool:
        """Return whether somebody has changed a text that `write_text` made."""
        told, uri = self.made.get(name), self.uri(name)
        if told is None or not told.digest or not self.storage.exists(uri):
            return False
        return sha256(self.storage.read(uri)).hexdigest() != told.digest

    def write_text(self, name: str, text: str) -> None:
        """Write a text, unless it is there; the digest is that of its bytes."""
        data = text.encode(errors="replace")
        digest = sha256(data).hexdigest()
        if not self.has(name, digest):
            with self.making(name, digest) as uri, self.storage.writing(uri) as sink:
                sink.write(data)

    def twin(self, digest: str) -> str | None:
        """Return the name of a file that was made of the same and is there as it was made; None if there is none."""
        return next((name for name in self.made if self.has(name, digest)), None)

    @contextmanager
    def making(self, name: str, digest: str) -> Iterator[str]:
        """Give the URI of a file that the block makes; an empty digest says that it is to be made again next time.

        Raises
        ------
        ExportError
            If there is a file that no export has made.
        """
        if name not in self.made and self.storage.exists(self.uri(name)):
            raise ExportError(f"'{self.uri(name)}': no export has made this file. Move it away")
        self.made[name] = MadeFile()
        self.write()
        yield self.uri(name)
        found = self.storage.stat(self.uri(name))
        self.made[name] = MadeFile(digest=digest, size=found.size, version=found.version)
        self.write()

    def remove(self, name: str) -> None:
        """Remove a file that an export has made, and forget it."""
        with suppress(FileNotFoundError):
            self.storage.delete(self.uri(name))
        del self.made[name]
        self.write()

    def write(self) -> None:
        """Replace the record."""
        told = _Recorded(root=self.root, form=self.form, files=self.made)
        with self.storage.writing(join(self.folder, SHARD_RECORD_NAME)) as sink:
            sink.write(told.model_dump_json(indent=1).encode())


def open_record(folder: str, root: str, form: str, files: Storage) -> ShardRecord:
    """Return the record of a folder; a new one is written at once.

    Raises
    ------
    ExportError
        If the record is damaged, is of another output root or another kind of export, or if there is none and the
        folder has files already, hidden ones aside: an export would mix its own with them.
    """
    uri = join(folder, SHARD_RECORD_NAME)
    found = files.load(uri)
    if found is None:
        other = next((name for name, _ in files.entries(folder) if not name.startswith(".")), None)
        if other is not None:
            problem = f"has '{other}' and no '{SHARD_RECORD_NAME}': no export has made what is there"
            raise ExportError(f"'{folder}' {problem}. Choose a new folder")
        record = ShardRecord(folder, root, form, files)
        record.write()
        return record
    try:
        told = _Recorded.model_validate_json(found[0])
    except ValidationError as error:
        raise ExportError(f"'{uri}' is no record of an export, or damaged. Choose a new folder") from error
    if told.form != form:
        raise ExportError(f"'{folder}' has an export of the kind '{told.form}', not '{form}'. Choose another folder")
    if told.root != root:
        raise ExportError(f"'{folder}' has the results of another output root, '{told.root}'. Choose another folder")
    if any(name.startswith("/") or ".." in name.split("/") for name in told.files):
        raise ExportError(f"'{uri}' names files outside of its folder: it is damaged. Choose a new folder")
    return ShardRecord(folder, root, form, files, told.files)
