"""Names for people: a folder with the audio of all succeeded pairs, under names that a template makes of their rows.

A second export does only what is new: a file stays that has the bytes its row names, one whose pair is gone or was
computed again is removed or replaced, and no file is touched that an export has not made. The record of what was made
is written while the files are, now and then, and once more at the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.files import absolute, is_s3, join, parent
from manifests.reading.reader import user_schema
from manifests.schema import RESULT_SCHEMA
from tasks.exporting.export_errors import ExportError
from tasks.exporting.export_record import RECORD_SCHEMA, write_record
from tasks.exporting.file_names import unique_names
from tasks.exporting.folder_state import Digests, FolderState, Judged, judge, outdated, read_state
from tasks.exporting.in_threads import in_threads
from tasks.exporting.link_or_copy import ExportedFile, copied, linked_or_copied
from tasks.exporting.name_template import NameTemplate
from tasks.exporting.starred_pairs import read_starred
from tasks.exporting.succeeded_pairs import SucceededPairs, read_succeeded
from tasks.ledger.gc import HALF_WRITTEN_S
from tasks.storage.storage import Storage, StorageUnreachable

Progress = Callable[[int, int], None]
"""Is told how many files are done, and of how many."""

_RECORD_EVERY_S = 30.0
_RECORD_SHARE = 20
"""The record is written at most so often, and for a twentieth of the time: that of a million files takes seconds."""

_OWN_FOLDERS = ("audio", "results", "snapshots", "runs", "plans", "report")


@dataclass
class Exported:
    """What became of an export.

    Attributes
    ----------
    folder : str
        Where the files are.
    kept, linked, copied : int
        Files that were there already, and new ones.
    removed : int
        Files whose pair is gone, or has another name now.
    missing : int
        Succeeded pairs whose audio is gone, or has other bytes than its row says.
    taken : int
        Pairs whose name a file has that no export made, and every other name for them as well.
    """

    folder: str
    kept: int = 0
    linked: int = 0
    copied: int = 0
    removed: int = 0
    missing: int = 0
    taken: int = 0

    def sentence(self) -> str:
        """Return it in one line."""
        made = [(self.kept, "there already"), (self.linked, "linked"), (self.copied, "copied")]
        told = ", ".join(f"{count} {word}" for count, word in made if count)
        total = self.kept + self.linked + self.copied
        text = f"{total} {'file' if total == 1 else 'files'} in {self.folder}" + (f" ({told})" if told else "")
        if self.removed:
            text += f", {self.removed} removed"
        if self.missing:
            text += f"; {self.missing} have no audio any more: the next run computes them again"
        if self.taken:
            text += f"; {self.taken} left out, since files of others have their names"
        return text


def export_folder(
    root: str,
    folder: str,
    template: str,
    copies: bool = False,
    progress: Progress = lambda done, total: None,
    starred: str | None = None,
) -> Exported:
    """Bring a folder to what the newest table of an output root says.

    Parameters
    ----------
    root : str
        Output root, or a snapshot of one; local or s3://.
    folder : str
        Where the files go, local or s3://.
    template : str
        Their names, see `NameTemplate`.
    copies : bool
        Whether new files are copies where hard links would do.
    progress : callable, optional
        Is told how far it is.
    starred : str, optional
        A file of `read_starred`: only those pairs are exported, and what was exported of others is removed.

    Raises
    ------
    ExportError
        If the template, the file of stars, the folder or the record in it is not as it must be; nothing has changed.
    FileNotFoundError, ManifestError, StorageError
        If there are no results, or their table is damaged, or the storage fails; a second call goes on.
    """
    files, folder = Storage(), absolute(folder)
    pairs = read_succeeded(root, template, files, None if starred is None else read_starred(starred, files))
    refuse_folder(folder, pairs.root, files)
    return placed(pairs, folder, copies, files, progress).exported


class PlacedFiles(NamedTuple):
    """What became of an export, and for each of its N files the name, null where there is none."""

    exported: Exported
    names: pa.Array


def placed(pairs: SucceededPairs, folder: str, copies: bool, files: Storage, progress: Progress) -> PlacedFiles:
    """Bring a folder to some pairs whose names and audio are known; raises as `export_folder`."""
    state = read_state(folder, pairs.root, files)
    known: Digests = {}
    names, judged = _settled(pairs, state, known, files)
    update = _Update(pairs, state, names, judged, files)
    try:
        update.remove(outdated(state, names, known, files))
        update.remove_half_written()
        update.place(copied if copies else linked_or_copied, progress)
    except StorageUnreachable:
        raise  # the record would wait as long once more
    except BaseException:
        update.write()
        raise
    update.write()
    return PlacedFiles(update.exported, update.names())


def refuse_export(manifest: str, root: str, folder: str, template: str) -> None:
    """Refuse an export of a run's results before anything is computed.

    Raises
    ------
    ExportError
        As `export_folder`, as far as it can be known.
    ManifestError
        If the columns of the manifest are not as they must be.
    """
    files = Storage()
    NameTemplate(template, pa.schema([*RESULT_SCHEMA, *user_schema(absolute(manifest), files)]))
    refuse_folder(absolute(folder), absolute(root), files)


def refuse_folder(folder: str, root: str, files: Storage) -> None:
    """Refuse to export into what holds the results themselves, or into a file.

    Raises
    ------
    ExportError
        Saying which folder it is.
    """
    inside, base = (uri if is_s3(uri) else os.path.realpath(uri) for uri in (folder, root))
    if inside == base or any(f"{inside}/".startswith(f"{join(base, name)}/") for name in _OWN_FOLDERS):
        raise ExportError(f"export='{folder}': the results themselves are there. Choose another folder")
    if not is_s3(folder) and files.exists(folder) and not files.is_folder(folder):
        raise ExportError(f"export='{folder}': is a file. Name a folder")


def _settled(pairs: SucceededPairs, state: FolderState, known: Digests, files: Storage) -> tuple[pa.Array, Judged]:
    """Return a name for each pair, which is nobody else's where there is such a name, and what is there under it."""
    suffixes, ids = pairs.suffixes(), pairs.rows.column("pair_id").combine_chunks()
    sha256 = pairs.rows.column("sha256").combine_chunks()
    others, taken = state.others(), set[str]()
    while True:
        names = unique_names(pairs.stems, suffixes, ids, taken)
        judged = judge(state, names, sha256, known, files)
        wanted = set(names.to_pylist()) if others else set()
        more = {*names.filter(pa.array(judged.taken)).to_pylist(), *(name for name in others if name not in wanted)}
        if more <= taken:
            return names, judged
        taken |= more


class _Update:
    """The files of an export while they are made, and the record of them."""

    def __init__(
        self, pairs: SucceededPairs, state: FolderState, names: pa.Array, judged: Judged, files: Storage
    ) -> None:
        self._pairs, self._state, self._files, self._names = pairs, state, files, names
        self._done, self._taken = judged.done.copy(), judged.taken
        self._sizes = _sizes(state, names)
        self._removed: list[str] = []
        self._written = state.record
        self._recorded_at, self._pause_s = time.monotonic(), _RECORD_EVERY_S
        self.exported = Exported(state.folder, kept=int(judged.done.sum()), taken=int(judged.taken.sum()))

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; one that somebody else has removed counts as well."""

        def remove(name: str) -> None:
            with suppress(FileNotFoundError):
                self._files.delete(join(self._state.folder, name))

        for name, _ in in_threads(remove, names):
            self._removed.append(name)
            self.exported.removed += 1

    def remove_half_written(self) -> None:
        """Remove the unfinished files that an export has left which was killed long ago."""
        for uri in self._files.half_written(self._state.folder, HALF_WRITTEN_S):
            if parent(uri) == self._state.folder:
                with suppress(FileNotFoundError):
                    self._files.delete(uri)

    def place(self, put: Callable[[str, str, str, Storage], ExportedFile | None], progress: Progress) -> None:
        """Put every file in its place that is not there."""
        rows = np.flatnonzero(~self._done & ~self._taken).tolist()

        def one(row: int) -> ExportedFile | None:
            target = join(self._state.folder, self._names[row].as_py())
            return put(self._pairs.source(row), target, self._pairs.rows.column("sha256")[row].as_py(), self._files)

        for count, (row, placed) in enumerate(in_threads(one, rows), 1):
            self._count(row, placed)
            progress(count, len(rows))
            self._write_now_and_then()

    def _count(self, row: int, placed: ExportedFile | None) -> None:
        if placed is None:
            self.exported.missing += 1
            return
        self._done[row], self._sizes[row] = True, placed.size
        self.exported.linked += placed.is_link
        self.exported.copied += not placed.is_link

    def _write_now_and_then(self) -> None:
        if time.monotonic() - self._recorded_at < self._pause_s:
            return
        begun = time.monotonic()
        self.write()
        self._recorded_at = time.monotonic()
        self._pause_s = max(_RECORD_EVERY_S, _RECORD_SHARE * (self._recorded_at - begun))

    def write(self) -> None:
        """Replace the record, unless it says so already."""
        record = self._record()
        if not record.equals(self._written):
            write_record(self._state.folder, self._pairs.root, record, self._files)
            self._written = record

    def names(self) -> pa.Array:
        """Return the name of each file, null where there is none."""
        return pc.if_else(pa.array(self._done), self._names, pa.scalar(None, pa.string()))

    def _record(self) -> pa.Table:
        """Return what exports have made that is there now: of before this one too, until it is replaced."""
        told = self._pairs.rows
        columns = [self._names, told.column("pair_id"), told.column("sha256"), pa.array(self._sizes)]
        made = pa.table(columns, schema=RECORD_SCHEMA).filter(pa.array(self._done))
        before = self._state.record
        there = pc.is_valid(self._state.sizes_of(before.column("name").combine_chunks()))
        for gone in (made.column("name").combine_chunks(), pa.array(self._removed, pa.string())):
            there = pc.and_(there, pc.invert(pc.is_in(before.column("name"), value_set=gone)))
        return pa.concat_tables([made, before.filter(there)]).combine_chunks()


def _sizes(state: FolderState, names: pa.Array) -> NDArray[np.int64]:
    sizes: NDArray[np.int64] = state.sizes_of(names).fill_null(0).to_numpy().copy()
    return sizes
