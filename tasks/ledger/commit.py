"""Commit a shard: first its audio, then its rows. What has rows is done; what has none never happened."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from manifests.files import Files
from manifests.results.layout import audio_uri, part_uri, write_part
from tasks.ledger.fencing import announce
from tasks.ledger.lease import check_lease
from tasks.storage.storage_errors import StorageError


@dataclass(frozen=True)
class ResultRow:
    """A row of the results and, if the pair succeeded, the file that belongs to it: its bytes, or where it lies."""

    row: dict[str, object]
    audio: bytes | Path | None


def commit_shard(results: Sequence[ResultRow], root: str, run_id: str, shard: int, files: Files) -> None:
    """Write the audio of a shard, then its rows, once; nothing, if another worker of the run has done so.

    Raises
    ------
    LeaseLost
        If another run has taken over meanwhile.
    StorageError
        If a file cannot be written after retries; nothing of the shard counts as done then.
    """
    uri = part_uri(root, run_id, shard)
    if files.exists(uri):  # by another worker of this run, which took this one for lost
        return
    holders = check_lease(files, root, run_id)
    # A collection that was paused may wake up and remove what it has taken for garbage, by its name.
    may_be_removed = any(one.over and one.collecting for one in holders)
    rows = [_with_audio(files, root, run_id, result, may_be_removed) for result in results]
    announce(files, root, run_id, uri)
    try:
        write_part(files, root, run_id, shard, rows)
    except FileExistsError:
        # By another worker of this run; or by who has taken over, so that nobody commits this shard any more.
        check_lease(files, root, run_id)


def _with_audio(files: Files, root: str, run_id: str, result: ResultRow, may_be_removed: bool) -> dict[str, object]:
    """Create the audio of a pair, if it has any, and return its row, which names it.

    Audio is never replaced: a row may name it by now, of a run that has taken over. It lies at the address of its
    fingerprint. If that is taken by other bytes, which a run that was killed before it wrote its rows has left, or may
    be removed by who took them for garbage, it gets a name of its own.
    """
    if result.audio is None:
        return result.row
    name, suffix = str(result.row["fingerprint"]), str(result.row["output"]).rsplit(".", 1)[-1]
    own = audio_uri(root, name, f"{run_id}-{_digest(result.audio)[:8]}", suffix)
    for uri in [own] if may_be_removed else [audio_uri(root, name, suffix=suffix), own]:
        if _is_created(files, uri, result.audio):
            return {**result.row, "output": uri}
    raise StorageError(f"'{own}' was changed while it was written. Run the same command again")


def _is_created(files: Files, uri: str, data: bytes | Path) -> bool:
    """Create a file; return whether it is there with these bytes."""
    try:
        files.create(uri, data)
    except FileExistsError:
        return _is_there(files, uri, data)
    return True


def _is_there(files: Files, uri: str, data: bytes | Path) -> bool:
    if isinstance(data, bytes):
        found = files.load(uri)
        return found is not None and found[0] == data
    try:
        with files.open(uri) as present:
            return _digest_of(present) == _digest(data)
    except FileNotFoundError:
        return False


def _digest(data: bytes | Path) -> str:
    with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
        return _digest_of(file)


def _digest_of(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
