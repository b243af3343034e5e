"""Folding: the small files of the history become one, again and again, so that there are never many of them.

Whoever holds a lease folds, also several slices at the same time. A compaction has the number after all that its writer
has seen, and is created once: of two that rest on the same files one is there first, and the other comes to nothing.
So is that of who was paused and taken over, since it was announced (`tasks.ledger.fencing`). What was folded is removed
only once the compaction is seen to count; a reader that misses it there looks again (`manifests.results.history`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from manifests.files import Files, absolute, join
from manifests.parquet import FileGone
from manifests.results.compaction import compact, compacted_uri, next_number
from manifests.results.history import current_parts, listed_parts, names_replaced, part_name, part_uris
from manifests.results.layout import sealed_parts
from tasks.ledger.fencing import announce
from tasks.ledger.holders import holders_of
from tasks.storage.storage_errors import StorageConflict

MANY = 256
"""Small files from which on they are folded."""

SMALL_BYTES = 1 << 20
"""A row takes half a kilobyte: a million pairs fill some hundred files that are not small.

To fold a file of this size once takes as long as to read what planning wants of it some twenty times.
"""

_THREADS = 16
_AT_A_TIME = 256


def fold(files: Files, root: str, owner: str, go_on: Callable[[], None] = lambda: None) -> None:
    """Fold the small files of the history of an output root, if they are many; whoever is faster is let go ahead.

    Parameters
    ----------
    files : Files
        Local and S3 storage.
    root : str
        Output root.
    owner : str
        Run that holds a lease there.
    go_on : callable, optional
        Called every few thousand rows and files; what it raises ends the folding, which is safe at every moment.

    Raises
    ------
    LeaseLost
        If another run has taken over.
    ManifestError, StorageError
        A file is damaged, or the storage fails.
    """
    with suppress(FileGone, FileNotFoundError):  # another slice has folded that file
        listed = listed_parts(files, root)
        current = current_parts(files, root, listed)
        number = next_number({part_name(root, uri) for uri in listed} | names_replaced(files, listed))
        delete(files, sorted(set(listed) - set(current)), go_on)  # of who was killed before it could
        small = _small(files, root, current)
        if len(small) >= MANY:
            _fold(files, root, owner, small, number, go_on)


def delete(files: Files, uris: Sequence[str], go_on: Callable[[], None]) -> None:
    """Delete files, some hundred between two calls of `go_on`; others may have deleted them before."""

    def delete_one(uri: str) -> None:
        with suppress(FileNotFoundError):
            files.delete(uri)

    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(uris), _AT_A_TIME):
            go_on()
            list(pool.map(delete_one, uris[start : start + _AT_A_TIME]))


def _fold(files: Files, root: str, owner: str, small: Sequence[str], number: str, go_on: Callable[[], None]) -> None:
    uri = compacted_uri(root, number)
    announce(files, root, owner, uri)
    with suppress(StorageConflict):  # another slice was faster, or who has taken over sealed it
        compact(files, root, number, small, go_on=go_on)
        # While this process was paused, the number may have been given, folded into another one and removed.
        if uri in part_uris(files, root):
            delete(files, small, go_on)


def _small(files: Files, root: str, current: Sequence[str]) -> list[str]:
    """Return the small files with rows, but for those that somebody is about to create: they may be looked for."""
    sizes = dict(files.sizes(join(absolute(root), "results")))
    small = [uri for uri in current if sizes.get(uri, SMALL_BYTES) < SMALL_BYTES]
    if len(small) < MANY:
        return []
    announced = {name for holder in holders_of(files, root) for name in holder.committing}
    kept = sealed_parts(files, root, small)
    return [uri for uri in small if uri not in kept and part_name(root, uri) not in announced]
