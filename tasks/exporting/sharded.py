"""Results as files of bounded size for programs that learn: what `hf` and `webdataset` have in common.

The table streams twice: once to know how many files there will be and what they have in common, once to fill them. A
file that was made of the same rows is not written again, and each appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import absolute
from tasks.exporting.audio_blocks import AudioLost, AudioSource
from tasks.exporting.export_errors import ExportError
from tasks.exporting.folder import Progress, refuse_folder
from tasks.exporting.row_json import json_text
from tasks.exporting.row_stream import Piece, RowStream, open_rows
from tasks.exporting.shard_record import ShardRecord, open_record
from tasks.exporting.shards_of_rows import ShardLimits, cut
from tasks.exporting.starred_pairs import read_starred
from tasks.ledger.gc import HALF_WRITTEN_S
from tasks.storage.storage import Storage


class ShardForm(Protocol):
    """A kind of files that shards are written to.

    Attributes
    ----------
    kind : str
        What a user calls it.
    limits : ShardLimits
        How much a file holds.
    looked_at : tuple of str
        Columns that it has to see of all pairs before the first file is written, if the table has them.
    """

    kind: str
    limits: ShardLimits
    looked_at: tuple[str, ...]

    def look(self, piece: Piece) -> None:
        """See some pairs in advance."""

    def common(self, schema: pa.Schema) -> str:
        """Return what every file depends on besides its rows; it is called after all pairs were seen."""

    def shard_name(self, number: int, total: int) -> str:
        """Return the name of a file below the folder, counted from 0."""

    def write(self, shard: Piece, audio: AudioSource, target: BinaryIO) -> None:
        """Write a file; raises `AudioLost` for a pair that has to be left out."""

    def papers(self) -> Mapping[str, str]:
        """Return further files, of text, by name."""


@dataclass
class ExportedShards:
    """What became of an export.

    Attributes
    ----------
    folder : str
        Where the files are.
    pairs : int
        Pairs that are in them.
    kept, written, removed : int
        Files that were there already, new ones, and those that are no longer wanted.
    missing : int
        Succeeded pairs whose audio is gone, or has other bytes than its row says.
    too_large : int
        Pairs whose audio is larger than the form can take.
    edited : tuple of str
        Files that somebody has changed since: they stay.
    """

    folder: str
    pairs: int = 0
    kept: int = 0
    written: int = 0
    removed: int = 0
    missing: int = 0
    too_large: int = 0
    edited: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return it in one line."""
        total = self.kept + self.written
        counted = [f"{count} {word}{'s' * (count != 1)}" for count, word in ((self.pairs, "pair"), (total, "file"))]
        text = f"{' in '.join(counted)} in {self.folder}"
        text += f" ({self.kept} there already)" if self.kept else ""
        text += f", {self.removed} removed" if self.removed else ""
        if self.missing:
            text += f"; {self.missing} have no audio any more: the next run computes them again"
        if self.too_large:
            text += f"; {self.too_large} left out, since their audio is too large for one row"
        if self.edited:
            text += f"; {', '.join(self.edited)} stays as somebody has changed it: delete it for a new one"
        return text


def export_shards(
    root: str,
    folder: str,
    form: ShardForm,
    progress: Progress = lambda done, total: None,
    starred: str | None = None,
) -> ExportedShards:
    """Bring the files of a folder to what the newest table of an output root says.

    Parameters
    ----------
    root : str
        Output root, or a snapshot of one; local or s3://.
    folder : str
        Where the files go, local or s3://: new, or that of an earlier export of the same root and kind.
    form : ShardForm
        Their kind.
    progress : callable, optional
        Is told how many files are done, and of how many.
    starred : str, optional
        A file of `read_starred`: only those pairs are exported.

    Raises
    ------
    ExportError
        If the folder is of something else, or the file of stars is not as it must be; no file has been changed.
    FileNotFoundError, ManifestError, StorageError
        If there are no results, or their table is damaged, or the storage fails; a second call goes on.
    """
    files, folder = Storage(), absolute(folder)
    wanted = None if starred is None else read_starred(starred, files)
    with open_rows(root, files, wanted) as stream:
        refuse_folder(folder, stream.root, files)
        record = open_record(folder, stream.root, form.kind, files)
        update = _ShardUpdate(stream, form, record, ExportedShards(folder))
        update.remove_half_written()
        names = update.look()
        if wanted is not None and not names:
            raise ExportError(f"starred='{starred}': none of its pairs has succeeded here. Are they of another root?")
        update.place(names, progress)
        papers = form.papers()
        update.remove_others({*names, *papers})
        update.place_papers(papers)
    return update.exported


class _ShardUpdate:
    """The files of an export while they are made."""

    def __init__(self, stream: RowStream, form: ShardForm, record: ShardRecord, exported: ExportedShards) -> None:
        self._stream, self._form, self._record, self.exported = stream, form, record, exported
        self._audio = AudioSource(stream.source, record.storage)

    def remove_half_written(self) -> None:
        """Remove the unfinished files that an export has left which was killed long ago."""
        for uri in self._record.storage.half_written(self._record.folder, HALF_WRITTEN_S):
            self._record.storage.delete(uri)

    def look(self) -> list[str]:
        """See all pairs once, and return the names of the files that they make."""
        known = [name for name in self._form.looked_at if name in self._stream.schema.names]

        def seen() -> Iterator[Piece]:
            for piece in self._fitting(known):
                self._form.look(piece)
                yield piece

        total = sum(1 for _ in cut(seen(), self._form.limits))
        self.exported.missing = self._stream.missing
        return [self._form.shard_name(number, total) for number in range(total)]

    def place(self, names: list[str], progress: Progress) -> None:
        """Write every file that is not there."""
        common = f"{self._form.kind}\n{self._form.common(self._stream.schema)}"
        shards = cut(self._fitting(self._stream.schema.names), self._form.limits)
        for number, (name, shard) in enumerate(zip(names, shards, strict=True), 1):
            digest = _digest(common, shard)
            if self._record.has(name, digest):
                self.exported.kept += 1
                self.exported.pairs += shard.rows.num_rows
            else:
                self._make(name, digest, shard)
            progress(number, len(names))

    def remove_others(self, wanted: set[str]) -> None:
        """Remove files that earlier exports have made and this one has not."""
        for name in [name for name in self._record.made if name not in wanted]:
            self._record.remove(name)
            self.exported.removed += 1

    def place_papers(self, papers: Mapping[str, str]) -> None:
        """Write the further files, but over none that somebody has changed."""
        for name, text in papers.items():
            if self._record.is_edited(name):
                self.exported.edited += (name,)
            else:
                self._record.write_text(name, text)

    def _fitting(self, columns: list[str]) -> Iterator[Piece]:
        """Give all pairs but those whose audio is larger than the form can take."""
        self.exported.too_large = 0
        for piece in self._stream.pieces(columns):
            fits = pc.less_equal(piece.audio["size"], self._form.limits.one_audio)
            fitting = Piece(piece.rows.filter(fits), piece.audio.filter(fits))
            self.exported.too_large += piece.audio.num_rows - fitting.audio.num_rows
            yield fitting

    def _make(self, name: str, digest: str, shard: Piece) -> None:
        """Make a file: of a link to one that was made of the same, else of its rows but those whose audio is lost."""
        storage, twin = self._record.storage, self._record.twin(digest)
        whole, lost = shard.rows.num_rows, True
        if twin is not None:
            with self._record.making(name, digest) as uri:
                lost = not storage.link(self._record.uri(twin), uri)
        while lost:
            complete = shard.rows.num_rows == whole
            try:
                with self._record.making(name, digest if complete else "") as uri, storage.writing(uri) as sink:
                    self._form.write(shard, self._audio, sink)
                lost = False
            except AudioLost as error:
                shard = _without(shard, error.row)
        self.exported.written += 1
        self.exported.pairs += shard.rows.num_rows
        self.exported.missing += whole - shard.rows.num_rows


def _digest(common: str, shard: Piece) -> str:
    digest = sha256(common.encode())
    for row in shard.rows.to_pylist():
        digest.update(f"\n{json_text(row)}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _without(shard: Piece, row: int) -> Piece:
    kept = pa.array([number for number in range(shard.rows.num_rows) if number != row], pa.int64())
    return Piece(shard.rows.take(kept), shard.audio.take(kept))
