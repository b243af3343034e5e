"""Garbage collection of an output root: what no table names any more goes, and the history becomes one file.

The order makes every moment a safe one to be killed in: rows leave the history before their audio does, or the next
run would take a pair for done whose sound is gone; and a file goes only when what replaces it is there.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from manifests.files import absolute, join
from manifests.fingerprint import FINGERPRINT_DIGITS
from manifests.parquet import BATCH_ROWS, open_parquet, parquet_errors
from manifests.results.compaction import compact, compacted_uri, is_compact, next_number
from manifests.results.history import current_parts, known_names, listed_parts, stream_rows, with_parts
from manifests.results.layout import AUDIO_SUFFIXES, latest_uri, sealed_parts
from manifests.results.publishing import publish_again, versions
from manifests.schema import SUCCEEDED
from tasks.clock import clock
from tasks.ledger.folding import delete
from tasks.ledger.lease import Lease, holding
from tasks.storage.storage import Storage, StorageConflict

HALF_WRITTEN_S = 24 * 3600.0
"""Age after which an unfinished file is one that a dead process left."""

_THREADS = 16
_REMEDY = "Move it away, or run the manifest again"
_AUDIO = re.compile(rf"/[0-9a-f]{{{FINGERPRINT_DIGITS}}}(-[0-9a-zA-Z-]+)?\.({'|'.join(AUDIO_SUFFIXES)})$")
_RUN_TIME = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class Garbage:
    """What a collection removes.

    Attributes
    ----------
    parts : tuple of str
        Files of the history that go: another one stands for them, or will.
    compacting : bool
        Whether that one is to be written; False if there is nothing to put together and nothing to drop.
    fingerprints : pyarrow.Array of str
        Whose rows leave the history.
    audio : tuple of str
        Sounds that no row names then.
    audio_bytes : int
        Their size.
    snapshots, plans, half_written : tuple of str
        Of old runs, and of dead processes.
    segments : tuple of str
        Of long pairs that no run has finished.
    """

    parts: tuple[str, ...]
    compacting: bool
    fingerprints: pa.Array
    audio: tuple[str, ...]
    audio_bytes: int
    snapshots: tuple[str, ...]
    plans: tuple[str, ...]
    half_written: tuple[str, ...]
    segments: tuple[str, ...] = ()


def collect(root: str, keep_days: float, dry_run: bool = False) -> Garbage:
    """Remove the audio that no snapshot names, and compact the history, while holding the lease of all shards.

    Parameters
    ----------
    root : str
        Output root.
    keep_days : float
        Snapshots and rows that are younger stay, and the audio they name; the newest snapshot always does.
    dry_run : bool
        Only say what would go; takes no lease and writes nothing.

    Raises
    ------
    FileNotFoundError
        If the root has no snapshot: nothing would say what is needed.
    LeaseTaken, LeaseLost
        If a run is at work there.
    ManifestError, StorageError
        If a table is damaged, or the storage fails.
    """
    files, root = Storage(), absolute(root)
    if not files.exists(latest_uri(root)):
        raise FileNotFoundError(f"'{latest_uri(root)}': no results, so nothing says what is needed")
    if dry_run:
        return with_parts(files, root, lambda _: find_garbage(files, root, keep_days))  # a run may be folding them
    owner = f"gc-{clock().now():{_RUN_TIME}}-{secrets.token_hex(3)}"
    with holding(files, root, owner, collecting=True) as lease:
        garbage = _found_for_good(files, root, keep_days, lease)
        if garbage.compacting:
            number = next_number(known_names(files, root))
            lease.announce(compacted_uri(root, number))
            compact(files, root, number, garbage.parts, garbage.fingerprints)
        unneeded = (garbage.audio, garbage.plans, garbage.half_written, garbage.segments)
        for gone in (garbage.snapshots, garbage.parts, *unneeded):
            delete(files, gone, lease.check)
    return garbage


def _found_for_good(files: Storage, root: str, keep_days: float, lease: Lease) -> Garbage:
    """Find garbage that stays garbage.

    A run that was paused, and taken over, may wake up and write a table that names it. So the newest table gets another
    version: such a run replaces only what it has looked at.
    """
    uri = latest_uri(root)
    while True:
        (present,) = versions(files, [uri])
        garbage = find_garbage(files, root, keep_days)
        if not garbage.audio and not len(garbage.fingerprints):
            return garbage
        try:
            publish_again(uri, files, present, _REMEDY, lease.check)
        except StorageConflict:
            continue  # it has woken up before that, and its table counts
        return garbage


def find_garbage(files: Storage, root: str, keep_days: float) -> Garbage:
    """Look through an output root for what may go; changes nothing."""
    since = clock().now() - timedelta(days=keep_days)
    snapshots = [uri for uri in files.find(join(root, "snapshots")) if uri.endswith(".parquet")]
    old = tuple(uri for uri in snapshots[:-1] if _is_older(uri, since))
    listed = listed_parts(files, root)
    sealed = sealed_parts(files, root, listed)
    listed = [uri for uri in listed if uri not in sealed]
    parts = current_parts(files, root, listed)
    going, needed = _sorted_out(files, parts, [latest_uri(root), *(uri for uri in snapshots if uri not in old)], since)
    ours = [uri for uri in files.find(join(root, "audio")) if _AUDIO.search(uri)]  # what others put there stays
    audio = tuple(_without(ours, needed))
    with ThreadPoolExecutor(_THREADS) as pool:
        audio_bytes = sum(stat.size for stat in pool.map(files.stat, audio))
    compacting = bool(len(going)) or not is_compact(parts)
    return Garbage(
        parts=tuple(listed if compacting else (uri for uri in listed if uri not in parts)),
        compacting=compacting,
        fingerprints=going,
        audio=audio,
        audio_bytes=audio_bytes,
        snapshots=old,
        plans=tuple(uri for uri in files.find(join(root, "plans")) if _is_older(uri, since)),
        half_written=tuple(files.half_written(root, HALF_WRITTEN_S)),
        segments=tuple(files.find(join(root, "segments"))),
    )


def _sorted_out(
    files: Storage, parts: Sequence[str], tables: Sequence[str], since: datetime
) -> tuple[pa.Array, pa.Array]:
    """Return the fingerprints whose rows go, and the names of the audio that rows or tables name after that.

    What is kept of a row while the history streams past are two texts of Arrow's, about a hundred bytes.
    """
    named = _Distinct()
    needed = _Distinct()  # a snapshot may name what has lost its row
    for rows in _succeeded(tables, files):
        named.add(rows.column("fingerprint"))
        needed.add(_audio_names(rows))
    young, old = _Distinct(), list[pa.Table]()
    for rows in stream_rows(files, parts, ("fingerprint", "output", "status", "finished_at"), BATCH_ROWS):
        is_young = pc.greater_equal(rows.column("finished_at"), pa.scalar(since))
        young.add(rows.filter(is_young).column("fingerprint"))
        done = rows.filter(pc.equal(rows.column("status"), SUCCEEDED))
        old.append(pa.table({"fingerprint": done.column("fingerprint"), "name": _audio_names(done)}))
    stay = named.add(young.all()).all()
    going = _Distinct()
    for rows in old:
        goes = pc.invert(pc.is_in(rows.column("fingerprint"), value_set=stay))
        going.add(rows.filter(goes).column("fingerprint"))
        needed.add(rows.filter(pc.invert(goes)).column("name"))
    return going.all(), needed.all()


class _Distinct:
    """Texts, each once."""

    def __init__(self) -> None:
        self._chunks: list[pa.Array] = []

    def add(self, texts: pa.ChunkedArray | pa.Array) -> _Distinct:
        self._chunks.extend(texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts])
        return self

    def all(self) -> pa.Array:
        return pc.unique(pa.chunked_array(self._chunks, pa.string()))


def _succeeded(tables: Sequence[str], files: Storage) -> Iterator[pa.Table]:
    for uri in tables:
        with open_parquet(uri, files, _REMEDY) as parquet, parquet_errors(uri, _REMEDY):
            for batch in parquet.iter_batches(BATCH_ROWS, columns=["fingerprint", "output", "status"]):
                yield pa.table(batch).filter(pc.equal(batch.column("status"), SUCCEEDED))


def _audio_names(rows: pa.Table) -> pa.ChunkedArray:
    return pc.struct_field(pc.extract_regex(rows.column("output"), r"(?P<name>[^/]+)$"), "name")


def _without(audio: Sequence[str], needed: pa.Array) -> list[str]:
    names = pa.array([uri.rpartition("/")[2] for uri in audio], pa.string())
    stays = pc.is_in(names, value_set=needed).to_pylist()
    return [uri for uri, needs in zip(audio, stays, strict=True) if not needs]


def _is_older(uri: str, since: datetime) -> bool:
    """Return whether the run that a file is called after began before a time; unknown names are young."""
    name = uri.rpartition("/")[2].partition("-")[0]
    try:
        return datetime.strptime(name, _RUN_TIME).replace(tzinfo=UTC) < since
    except ValueError:
        return False
