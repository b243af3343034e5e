"""Commit a shard: first its audio, then its rows. What has rows is done; what has none never happened."""

from __future__ import annotations

from collections.abc import Sequence

from manifests.files import Files
from manifests.results import audio_uri, part_uri, write_part
from tasks.lease import check_lease
from tasks.rows import Measured


def commit_shard(results: Sequence[Measured], root: str, run_id: str, shard: int, files: Files) -> None:
    """Write the audio of a shard, then its rows, once; nothing, if another worker of the run has done so.

    Raises
    ------
    LeaseLost
        If another run has taken over meanwhile.
    StorageError
        If a file cannot be written after retries; nothing of the shard counts as done then.
    """
    if files.exists(part_uri(root, run_id, shard)):  # by another worker of this run, which took this one for lost
        return
    check_lease(files, root, run_id)
    for result in results:
        if result.flac is not None:
            _write_audio(files, root, run_id, shard, str(result.row["fingerprint"]), result.flac)
    check_lease(files, root, run_id)
    write_part(files, root, run_id, shard, [result.row for result in results])


def _write_audio(files: Files, root: str, run_id: str, shard: int, fingerprint: str, flac: bytes) -> None:
    """Write audio at the address of its fingerprint.

    A file that is already there belongs to no row (its pair would have been skipped): a run that was killed between
    audio and rows left it. It is replaced only if it still is what it was when the lease was looked at: a run that was
    paused here, and taken over, must not harm what the other has committed.
    """
    uri = audio_uri(root, fingerprint)
    try:
        files.create(uri, flac)
    except FileExistsError:
        found = files.load(uri)
        if found is None or found[0] != flac:
            check_lease(files, root, run_id)
            if files.exists(part_uri(root, run_id, shard)):
                raise FileExistsError(
                    f"shard {shard} of run {run_id} was committed by another worker meanwhile"
                ) from None
            files.swap(uri, flac, found and found[1])
