"""WebDataset: tar files that are read from one end to the other, with the audio of each pair beside its row as JSON."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Mapping
from typing import IO, BinaryIO, cast

import pyarrow as pa

from tasks.exporting.audio_blocks import AudioSource
from tasks.exporting.row_json import json_text
from tasks.exporting.row_stream import Piece
from tasks.exporting.shards_of_rows import ShardLimits, key_of


class WebDatasetForm:
    """Shards `shard-000000.tar` with members `<key>.flac` and `<key>.json`.

    The bytes depend on the pairs alone: members have no time, no owner and always the same rights.
    """

    kind = "webdataset"
    limits = ShardLimits(rows=1_000, audio_bytes=256 << 20, one_audio=1 << 40)
    looked_at: tuple[str, ...] = ()

    def look(self, piece: Piece) -> None:
        """See nothing: each shard stands by itself."""

    def common(self, schema: pa.Schema) -> str:
        """Return the version of what `write` makes of a row."""
        return "1"

    def shard_name(self, number: int, total: int) -> str:
        """Return the name of a shard; it does not tell how many there are."""
        return f"shard-{number:06d}.tar"

    def write(self, shard: Piece, audio: AudioSource, target: BinaryIO) -> None:
        """Write a shard; audio is copied in blocks."""
        with tarfile.open(fileobj=target, mode="w|", format=tarfile.GNU_FORMAT) as archive:
            for row, values in enumerate(shard.rows.to_pylist()):
                key = key_of(values["pair_id"])
                suffix = posixpath.splitext(shard.audio["source"][row].as_py())[1]
                with audio.opened(shard, row) as sound:
                    _add(archive, f"{key}{suffix}", shard.audio["size"][row].as_py(), cast("IO[bytes]", sound))
                text = json_text(values).encode(errors="replace")
                _add(archive, f"{key}.json", len(text), io.BytesIO(text))

    def papers(self) -> Mapping[str, str]:
        """Return no further files."""
        return {}


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o644, 0
    archive.addfile(member, content)
