"""Hugging Face `datasets`: Parquet files with the audio in a column, all columns of the results, and a dataset card.

What memory holds is a group of rows, about `_GROUP_BYTES` of audio and at least one file, some four times: as it was
read, as a page, as a part of the group, and on its way to the file.
"""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from itertools import chain, count
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.exporting.audio_blocks import AudioSource
from tasks.exporting.dataset_card import CardFacts, card
from tasks.exporting.row_json import json_text
from tasks.exporting.row_stream import Piece
from tasks.exporting.shards_of_rows import ShardLimits, key_of

AUDIO_COLUMN = "audio"
"""With a number behind it where the user has a column of that name."""

MOST_AUDIO_BYTES = 1 << 30
"""Of one file: a column of bytes holds 2 GiB at most, and readers decode it whole."""

_GROUP_ROWS, _GROUP_BYTES, _BLOCK_BYTES = 100, 32 << 20, 1 << 20
_AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

# Equal stretches of two versions of a file come to equal pages, which a store that knows them takes once.
_CHUNKING = "use_content_defined_chunking"
_CHUNKED: dict[str, Any] = {_CHUNKING: True} if _CHUNKING in signature(pq.ParquetWriter).parameters else {}


class HuggingFaceForm:
    """Shards `data/train-00000-of-00004.parquet`, and a dataset card, `README.md`."""

    kind = "hf"
    limits = ShardLimits(rows=500, audio_bytes=256 << 20, one_audio=MOST_AUDIO_BYTES)
    looked_at = CardFacts.columns

    def __init__(self) -> None:
        self._facts = CardFacts()
        self._schema = pa.schema([])

    def look(self, piece: Piece) -> None:
        """Add some pairs to what the card tells."""
        self._facts.add(piece)

    def common(self, schema: pa.Schema) -> str:
        """Return the schema of all files: the rate stands in it if it is the same everywhere."""
        names = chain([AUDIO_COLUMN], (f"{AUDIO_COLUMN}_{number}" for number in count(1)))
        name = next(name for name in names if name not in schema.names)
        rate = self._facts.only_rate()
        feature = {"_type": "Audio"} | ({} if rate is None else {"sampling_rate": rate})
        told = json.dumps({"info": {"features": {name: feature}}})
        fields = [pa.field(field.name, _known(field.type)) for field in schema]
        self._schema = pa.schema([pa.field(name, _AUDIO), *fields], {"huggingface": told})
        return f"1\n{told}\n{self._schema.to_string(show_schema_metadata=False)}"

    def shard_name(self, number: int, total: int) -> str:
        """Return the name of a shard, which tells how many there are, as `datasets` has it."""
        return f"data/train-{number:05d}-of-{total:05d}.parquet"

    def write(self, shard: Piece, audio: AudioSource, target: BinaryIO) -> None:
        """Write a shard group by group."""
        with pq.ParquetWriter(target, self._schema, **_options(self._schema)) as writer:
            for start, end in _groups(shard.audio["size"].to_pylist()):
                rows = shard.rows.slice(start, end - start)
                columns = [_fitted(rows[field.name], field.type) for field in list(self._schema)[1:]]
                sounds = _sounds(shard, range(start, end), audio)
                writer.write_table(pa.table([sounds, *columns], schema=self._schema))

    def papers(self) -> Mapping[str, str]:
        """Return the dataset card."""
        return {"README.md": card(self._facts)}


def _sounds(shard: Piece, rows: Sequence[int], audio: AudioSource) -> pa.StructArray:
    """Return the column of audio of some rows, whose bytes are held once."""
    content, offsets, paths = bytearray(), [0], []
    for row in rows:
        with audio.opened(shard, row) as sound:
            while block := sound.read(_BLOCK_BYTES):
                content += block
        offsets.append(len(content))
        suffix = posixpath.splitext(shard.audio["source"][row].as_py())[1]
        paths.append(f"{key_of(shard.rows['pair_id'][row].as_py())}{suffix}")
    starts = pa.array(offsets, pa.int32()).buffers()[1]
    files = pa.BinaryArray.from_buffers(pa.binary(), len(rows), [None, starts, pa.py_buffer(content)])
    return pa.StructArray.from_arrays([files, pa.array(paths, pa.string())], fields=list(_AUDIO))


def _options(schema: pa.Schema) -> dict[str, Any]:
    """Return how a file is written: what is done with text and numbers would be done with audio for nothing.

    It does not become smaller, and dictionaries and statistics would hold copies of it.
    """
    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty)
    leaves = pq.ParquetFile(empty).schema
    others = [leaves.column(number).path for number in range(len(leaves))][len(_AUDIO) :]
    return {
        "compression": dict.fromkeys(others, "zstd"),
        "use_dictionary": others,
        "write_statistics": others,
        "write_page_index": True,
        **_CHUNKED,
    }


def _groups(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut rows into groups that are held at a time; each has the numbers of its first row and of the next one's."""
    start, total = 0, 0
    for row, size in enumerate(sizes):
        if row > start and (row - start == _GROUP_ROWS or total + size > _GROUP_BYTES):
            yield start, row
            start, total = row, 0
        total += size
    if sizes:
        yield start, len(sizes)


def _known(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column has in `datasets`: dictionaries as their values, what it does not know as JSON."""
    if pa.types.is_dictionary(kind):
        return _known(kind.value_type)
    return pa.string() if _is_unknown(kind) else kind


def _is_unknown(kind: pa.DataType) -> bool:
    nested = [kind.field(number).type for number in range(kind.num_fields)]
    named = pa.types.is_struct(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    fixed = pa.types.is_fixed_size_list(kind)
    return bool(nested) and (not (named or fixed) or any(map(_is_unknown, nested)))


def _fitted(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_nested(column.type):
        return pa.array([None if one is None else json_text(one) for one in column.to_pylist()], kind)
    return column.cast(kind)
