"""Pairs cut into files of bounded size, and a key for each that is safe in any of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

import pyarrow as pa

from tasks.exporting.row_stream import Piece

MOST_KEY_CHARACTERS = 100
_KEY_DIGITS = 16
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_-]+")


class ShardLimits(NamedTuple):
    """How much a file holds: at most so many rows, and so many bytes of audio, unless one pair has more by itself.

    `one_audio` is how many bytes that one may have.
    """

    rows: int
    audio_bytes: int
    one_audio: int


def cut(pieces: Iterable[Piece], limits: ShardLimits) -> Iterator[Piece]:
    """Cut a stream of pairs into files: the same pairs always come to the same cuts, however they stream."""
    held: list[Piece] = []
    rows = size = 0
    for piece in pieces:
        start = 0
        for row, one in enumerate(piece.audio["size"].to_pylist()):
            if rows and (rows == limits.rows or size + one > limits.audio_bytes):
                yield _joined([*held, piece.part(start, row)])
                held, start, rows, size = [], row, 0, 0
            rows, size = rows + 1, size + one
        held.append(piece.part(start, piece.rows.num_rows))
    if rows:
        yield _joined(held)


def key_of(pair_id: str) -> str:
    """Return a name for a pair that no other pair has, of ASCII letters, digits, `_` and `-`.

    Readers of tar files take what stands before the first dot for the key, so it has none.

    >>> key_of("glass/harp 1.5")
    'glass_harp_1_5_92ef99eafdf628e4'
    """
    plain = unicodedata.normalize("NFKD", pair_id).encode("ascii", "ignore").decode()
    slug = _NOT_IN_KEYS.sub("_", plain)[:MOST_KEY_CHARACTERS].strip("_-") or "pair"
    return f"{slug}_{sha256(pair_id.encode()).hexdigest()[:_KEY_DIGITS]}"


def _joined(pieces: list[Piece]) -> Piece:
    return Piece(
        pa.concat_tables([piece.rows for piece in pieces]).combine_chunks(),
        pa.concat_tables([piece.audio for piece in pieces]).combine_chunks(),
    )
