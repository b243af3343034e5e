"""Garbage collection of an output root: what no table names any more goes, and the history becomes one file.

The order makes every moment a safe one to be killed in: rows leave the history before their audio does, or the next
run would take a pair for done whose sound is gone; and a file goes only when what replaces it is there.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from manifests.compaction import compact, is_compact
from manifests.files import absolute, join
from manifests.fingerprint import FINGERPRINT_DIGITS
from manifests.history import part_uris, read_rows
from manifests.results import latest_uri
from manifests.schema import SUCCEEDED
from manifests.tables import open_parquet, parquet_errors
from tasks.clock import clock
from tasks.lease import Lease, holding
from tasks.storage import Storage

HALF_WRITTEN_S = 24 * 3600.0
"""Age after which an unfinished file is one that a dead process left."""

_THREADS = 16
_AT_A_TIME = 256
"""Files deleted between two looks at the lease."""

_MEND = "Move it away, or run the manifest again"
_AUDIO = re.compile(rf"/[0-9a-f]{{{FINGERPRINT_DIGITS}}}\.flac$")
_RUN_TIME = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class Garbage:
    """What a collection removes.

    Attributes
    ----------
    parts : tuple of str
        Files of the history that become one; empty if it is one already and loses nothing.
    fingerprints : frozenset of str
        Whose rows leave the history.
    audio : tuple of str
        Sounds that no row names then.
    audio_bytes : int
        Their size.
    snapshots, plans, half_written : tuple of str
        Of old runs, and of dead processes.
    """

    parts: tuple[str, ...]
    fingerprints: frozenset[str]
    audio: tuple[str, ...]
    audio_bytes: int
    snapshots: tuple[str, ...]
    plans: tuple[str, ...]
    half_written: tuple[str, ...]


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
        return find_garbage(files, root, keep_days)
    now = clock().now()
    with holding(files, root, f"gc-{now:{_RUN_TIME}}-{secrets.token_hex(3)}") as lease:
        garbage = find_garbage(files, root, keep_days)
        if garbage.parts:
            lease.check()
            compact(files, root, f"{now:{_RUN_TIME}}-{secrets.token_hex(3)}", garbage.parts, garbage.fingerprints)
        for gone in (garbage.snapshots, garbage.parts, garbage.audio, garbage.plans, garbage.half_written):
            _delete(files, gone, lease)
    return garbage


def find_garbage(files: Storage, root: str, keep_days: float) -> Garbage:
    """Look through an output root for what may go; changes nothing."""
    since = clock().now() - timedelta(days=keep_days)
    snapshots = [uri for uri in files.find(join(root, "snapshots")) if uri.endswith(".parquet")]
    old = tuple(uri for uri in snapshots[:-1] if _is_older(uri, since))
    parts = tuple(part_uris(files, root))
    history = read_rows(files, root, ("fingerprint", "status", "finished_at"))
    named = _named([latest_uri(root), *(uri for uri in snapshots if uri not in old)], files)
    young = set(history.filter(pc.greater_equal(history["finished_at"], pa.scalar(since)))["fingerprint"].to_pylist())
    succeeded = set(history.filter(pc.equal(history["status"], SUCCEEDED))["fingerprint"].to_pylist())
    going = frozenset(succeeded - named - young)
    kept = named | (succeeded - going)  # a snapshot may name what has lost its row
    ours = (uri for uri in files.find(join(root, "audio")) if _AUDIO.search(uri))  # what others put there stays
    audio = tuple(uri for uri in ours if _fingerprint(uri) not in kept)
    with ThreadPoolExecutor(_THREADS) as pool:
        audio_bytes = sum(stat.size for stat in pool.map(files.stat, audio))
    return Garbage(
        parts=() if is_compact(parts) and not going else parts,
        fingerprints=going,
        audio=audio,
        audio_bytes=audio_bytes,
        snapshots=old,
        plans=tuple(uri for uri in files.find(join(root, "plans")) if _is_older(uri, since)),
        half_written=tuple(files.half_written(root, HALF_WRITTEN_S)),
    )


def _named(tables: Sequence[str], files: Storage) -> set[str]:
    """Return the fingerprints whose audio some snapshots name."""
    names: set[str] = set()
    for uri in tables:
        with open_parquet(uri, files, _MEND) as parquet, parquet_errors(uri, _MEND):
            rows = parquet.read(["fingerprint", "status"])
        names.update(rows.filter(pc.equal(rows["status"], SUCCEEDED))["fingerprint"].to_pylist())
    return names


def _is_older(uri: str, since: datetime) -> bool:
    """Return whether the run that a file is called after began before a time; unknown names are young."""
    name = uri.rpartition("/")[2].partition("-")[0]
    try:
        return datetime.strptime(name, _RUN_TIME).replace(tzinfo=UTC) < since
    except ValueError:
        return False


def _fingerprint(audio: str) -> str:
    return audio.rpartition("/")[2].removesuffix(".flac")


def _delete(files: Storage, uris: Sequence[str], lease: Lease) -> None:
    """Delete files; those that an earlier collection was killed in deleting may be gone already."""

    def delete(uri: str) -> None:
        with suppress(FileNotFoundError):
            files.delete(uri)

    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(uris), _AT_A_TIME):
            lease.check()
            list(pool.map(delete, uris[start : start + _AT_A_TIME]))
