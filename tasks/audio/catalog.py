"""What a run knows of its sounds before it computes: identity and length, each sound is read once for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import Files, join
from manifests.parquet import open_parquet, parquet_errors
from manifests.schema import ManifestError
from tasks.audio.lengths import ANY_LENGTH_S
from tasks.audio.sound_files import AudioError, probe_identified
from tasks.storage.storage import Storage, StorageUnreachable

THREADS = 16
UNREADABLE = "unreadable:"

MEMO_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("identity", pa.string()),
        ("duration_s", pa.float64()),
        ("sample_rate", pa.int32()),
        ("channels", pa.int32()),
    ]
)


class Sound(NamedTuple):
    """A sound as planning sees it: where, which bytes (size and version), identity (sha256), length in s, rate in Hz.

    A sound that cannot be read has the identity `unreadable:<error type>` and no length, rate or channels: its pairs
    fail as rows, and count as changed once the file does.
    """

    uri: str
    size: int
    version: str
    identity: str
    duration_s: float
    sample_rate: int
    channels: int

    @property
    def readable(self) -> bool:
        """Whether the identity is that of its bytes."""
        return not self.identity.startswith(UNREADABLE)

    @property
    def sha256(self) -> str | None:
        """The identity; None for a sound that cannot be read."""
        return self.identity if self.readable else None

    def identity_for(self, pair_id: str) -> str:
        """Return what a fingerprint rests on: unknown sounds of different pairs are never taken for the same."""
        return self.identity if self.readable else f"{self.identity}:{pair_id}"


def memo_uri(root: str) -> str:
    """Return where an output root remembers the sounds it has met."""
    return join(root, "sounds.parquet")


def read_memo(root: str, files: Files) -> dict[str, Sound]:
    """Return the sounds that earlier runs on this root identified, by URI; empty for a new root.

    A damaged memo, or one of another version, counts as none: it only saves reading, and is written anew.
    """
    uri = memo_uri(root)
    if not files.exists(uri):
        return {}
    remedy = "Delete it: it is written anew"
    try:
        with open_parquet(uri, files, remedy) as memo, parquet_errors(uri, remedy):
            if memo.schema_arrow.names != MEMO_SCHEMA.names:
                return {}
            table = memo.read().cast(MEMO_SCHEMA)
            table.validate(full=True)
    except ManifestError:
        return {}
    return {row["uri"]: Sound(**row) for row in table.to_pylist()}


def write_memo(root: str, sounds: Iterable[Sound], files: Files) -> None:
    """Remember the readable sounds of a run, and no others: what a run does not name is looked at again."""
    readable = [sound._asdict() for sound in sounds if sound.readable]
    with files.writing(memo_uri(root)) as sink:
        pq.write_table(pa.Table.from_pylist(readable, schema=MEMO_SCHEMA), sink)


def identify(uris: Iterable[str], memo: Mapping[str, Sound], files: Storage) -> dict[str, Sound]:
    """Identify every sound, 16 at a time; those whose size and version are as remembered are not read again.

    A sound may have any length: what a pair uses of it is the pair's, and looked at when that is read.

    Raises
    ------
    StorageUnreachable
        If the storage stayed away: that says nothing about any sound.
    """

    def one(uri: str) -> Sound:
        return _identify_one(uri, memo.get(uri), files)

    with ThreadPoolExecutor(THREADS) as pool:
        return {sound.uri: sound for sound in pool.map(one, uris)}


def _identify_one(uri: str, remembered: Sound | None, files: Storage) -> Sound:
    try:
        size, version = files.stat(uri)
        if remembered is not None and version and (remembered.size, remembered.version) == (size, version):
            return remembered
        info, identity = probe_identified(uri, files, ANY_LENGTH_S)
        return Sound(uri, size, version, identity, info.duration_s, info.sample_rate, info.channels)
    except AudioError as error:
        return unreadable(uri, error.error_type)
    except StorageUnreachable:
        raise
    except FileNotFoundError:
        return unreadable(uri, "missing")
    except IsADirectoryError:
        return unreadable(uri, "is_folder")
    except OSError:
        return unreadable(uri, "storage")


def unreadable(uri: str, error_type: str) -> Sound:
    """Return what planning knows of a sound that it could not read."""
    return Sound(uri, 0, "", f"{UNREADABLE}{error_type}", 0.0, 0, 0)
