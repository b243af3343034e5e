"""Commit a shard: first its audio, then its rows. What has rows is done; what has none never happened."""

from __future__ import annotations

from collections.abc import Sequence

from manifests.files import Files
from manifests.results import audio_uri, write_part
from tasks.measurement import Measured


def commit_shard(results: Sequence[Measured], root: str, run_id: str, shard: int, files: Files) -> None:
    """Write the audio of a shard, then its rows, once.

    Audio lies at the address of its fingerprint. A file that is already there belongs to no row (its pair would have
    been skipped): a run that was killed between audio and rows left it, and it is replaced whole. That holds as long as
    one run at a time works on an output root.

    Raises
    ------
    StorageError
        If a file cannot be written after retries; nothing of the shard counts as done then.
    """
    for result in results:
        if result.flac is not None:
            with files.writing(audio_uri(root, str(result.row["fingerprint"]))) as sink:
                sink.write(result.flac)
    write_part(files, root, run_id, shard, [result.row for result in results])
