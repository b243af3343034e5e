"""An output root as a run leaves it, with made-up audio: what an export reads of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import absolute, join
from manifests.results.layout import audio_uri, latest_uri
from manifests.schema import RESULT_SCHEMA
from tasks.storage.storage import Storage


def exported_row(pair_id: str, audio: bytes | None = None, suffix: str = ".flac", **values: Any) -> dict[str, Any]:
    """Return the row of a succeeded pair, and beside it the bytes of its audio, which differ for every pair."""
    audio = f"audio of {pair_id}".encode() if audio is None else audio
    row = {"pair_id": pair_id, "content": "/snd/voice.wav", "style": "/snd/glass.wav", "status": "succeeded"}
    return {**row, "file_sha256": sha256(audio).hexdigest(), "audio": audio, "suffix": suffix, **values}


def failed_row(pair_id: str) -> dict[str, Any]:
    """Return the row of a failed pair."""
    row = exported_row(pair_id, status="failed", error_type="missing", error_message="gone")
    return {**row, "audio": None, "file_sha256": None}


def write_root(root: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the audio of some pairs and the table that names it; columns that no schema has are the user's own."""
    files, table = Storage(), []
    for row in rows:
        own = {name: value for name, value in row.items() if name not in ("audio", "suffix")}
        fingerprint = sha256(row["pair_id"].encode() + (row["audio"] or b"")).hexdigest()[:40]
        output = audio_uri(root, fingerprint).removesuffix(".flac") + row["suffix"]
        if row["audio"] is not None:
            with files.writing(output) as sink:
                sink.write(row["audio"])
        table.append({"fingerprint": fingerprint, "output": output if row["audio"] is not None else None, **own})
    user = {name: pa.array([row.get(name) for row in table]) for row in table for name in row}
    columns = [pa.array([row.get(field.name) for row in table], field.type) for field in RESULT_SCHEMA]
    result = pa.Table.from_arrays(columns, schema=RESULT_SCHEMA)
    for name, column in user.items():
        if name not in RESULT_SCHEMA.names:
            result = result.append_column(name, column)
    with files.writing(latest_uri(root)) as sink:
        pq.write_table(result, sink)


def files_in(folder: str) -> dict[str, bytes]:
    """Return what an exported folder holds, but for its record."""
    files, folder = Storage(), absolute(folder)
    found = {uri.removeprefix(f"{folder}/"): files.read(uri) for uri in files.find(folder)}
    return {name: data for name, data in found.items() if name != "timbreflow-export.parquet"}


def put(folder: str, name: str, data: bytes) -> None:
    """Write a file that no export has made."""
    with Storage().writing(join(absolute(folder), name)) as sink:
        sink.write(data)
