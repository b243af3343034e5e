"""What lies in the folder of an export: its own files, which may be replaced and removed, and all others, which stay.

Its own are those that its record names, as long as they have the bytes that it made: what somebody has changed since is
somebody's. Also a file that is exactly what is wanted under its name is taken for its own: a killed export has left it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.files import join
from tasks.exporting.export_record import RECORD_NAME, read_record
from tasks.exporting.in_threads import in_threads
from tasks.exporting.link_or_copy import sha256_of
from tasks.storage.storage import Storage

Digests = dict[str, str | None]
"""Names of files that were looked at, and the sha256 of their bytes; None for what has gone meanwhile."""

_LISTED = pa.schema([("name", pa.string()), ("size", pa.int64())])
_PIECE = 65_536
_NO_FILE, _ABSENT = -1, -2


class FolderState(NamedTuple):
    """Names and sizes of what is there, -1 for what is no file, and the record of what exports have made."""

    folder: str
    record: pa.Table
    listed: pa.Table

    def others(self) -> list[str]:
        """Return the names of the files that no record names."""
        names = self.listed.column("name")
        return names.filter(pc.invert(pc.is_in(names, value_set=_values(self.record)))).to_pylist()

    def sizes_of(self, names: pa.Array) -> pa.ChunkedArray:
        """Return the size of each name; null where there is no such file."""
        return self.listed.column("size").take(pc.index_in(names, value_set=_values(self.listed)))

    def recorded_sha256(self, names: pa.Array) -> pa.ChunkedArray:
        """Return which bytes the record says a name has; null where it names none, or the file has another size."""
        at = pc.index_in(names, value_set=_values(self.record))
        same_size = pc.equal(self.record.column("size").take(at), self.sizes_of(names))
        return pc.if_else(same_size, self.record.column("sha256").take(at), pa.scalar(None, pa.string()))


class Judged(NamedTuple):
    """What is to be done about N names: which files are there as they should be, and which names are not ours."""

    done: NDArray[np.bool_]
    taken: NDArray[np.bool_]


def read_state(folder: str, root: str, files: Storage) -> FolderState:
    """List a folder, and read what exports of an output root have made there; raises as `read_record`."""
    record = read_record(folder, root, files)
    return FolderState(folder, record, _table(one for one in files.entries(folder) if one[0] != RECORD_NAME))


def judge(state: FolderState, names: pa.Array, sha256: pa.Array, known: Digests, files: Storage) -> Judged:
    """Look at what is there under the names that are wanted.

    Parameters
    ----------
    state : FolderState
        The folder.
    names, sha256 : pyarrow.Array of str
        Of the N files that are wanted there.
    known : Digests
        Bytes of files that were looked at; is added to. Only files are that the record does not tell enough of.
    files : Storage
        The file system.
    """
    recorded = state.recorded_sha256(names)
    done = pc.equal(recorded, sha256).fill_null(False).to_numpy().copy()
    sizes = state.sizes_of(names).fill_null(_ABSENT).to_numpy()
    taken = sizes == _NO_FILE
    open_rows = np.flatnonzero((sizes >= 0) & ~done)
    look_at([names[row].as_py() for row in open_rows], state.folder, known, files)
    for row in open_rows:
        found = known[names[row].as_py()]
        done[row] = found == sha256[row].as_py()
        taken[row] = found not in (None, sha256[row].as_py(), recorded[row].as_py())
    return Judged(done, taken)


def outdated(state: FolderState, names: pa.Array, known: Digests, files: Storage) -> list[str]:
    """Return the names of files that an export has made, that are as it made them, and that are no longer wanted."""
    recorded = state.record.column("name")
    unwanted = recorded.filter(pc.invert(pc.is_in(recorded, value_set=names))).combine_chunks()
    expected = state.recorded_sha256(unwanted)
    there = unwanted.filter(pc.is_valid(expected).combine_chunks())
    look_at(there.to_pylist(), state.folder, known, files)
    pairs = zip(there.to_pylist(), expected.drop_null().to_pylist(), strict=True)
    return [name for name, digest in pairs if known[name] == digest]


def look_at(names: Iterable[str], folder: str, known: Digests, files: Storage) -> None:
    """Find out the bytes of files that are not known yet, several at a time."""
    unknown = (name for name in names if name not in known)
    known.update(in_threads(lambda name: sha256_of(join(folder, name), files), unknown))


def _table(found: Iterable[tuple[str, int]]) -> pa.Table:
    pieces, names, sizes = [_LISTED.empty_table()], list[str](), list[int]()
    for name, size in found:
        names.append(name)
        sizes.append(size)
        if len(names) == _PIECE:
            pieces.append(pa.table([names, sizes], schema=_LISTED))
            names, sizes = [], []
    return pa.concat_tables([*pieces, pa.table([names, sizes], schema=_LISTED)])


def _values(table: pa.Table) -> pa.Array:
    return table.column("name").combine_chunks()
