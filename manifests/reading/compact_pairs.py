"""A manifest in memory: a million pairs name few sounds and few settings, so what repeats is kept once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from manifests.schema import REQUIRED_COLUMNS, ROW_SETTINGS


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read and found good.

    Attributes
    ----------
    pairs : pyarrow.Table
        As `gather` gives them.
    user : pyarrow.Table or None
        The user's own columns, row by row; None if there are none.
    """

    pairs: pa.Table
    user: pa.Table | None


def gather(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Return a normalised manifest as one table: 36 bytes per row, more for settings that some row gives.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        In the reader's `NORMALISED_SCHEMA`; at least one.

    Returns
    -------
    pyarrow.Table
        The same columns, each in one piece; `content` and `style` as dictionaries of distinct URIs, and without the
        settings that no row gives.
    """
    chunks: dict[str, list[pa.Array]] = {}
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            chunks.setdefault(name, []).append(_compact(name, column))
    columns = {name: _joined(chunks.pop(name)) for name in list(chunks)}
    return pa.table({name: column for name, column in columns.items() if not pa.types.is_null(column.type)})


def combinations(columns: Mapping[str, pa.Array], rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each row's combination of values, `[rows]`, and each combination's first row."""
    codes = np.zeros(rows, dtype=np.int64)
    for column in columns.values():
        encoded = column.dictionary_encode()
        unset = len(encoded.dictionary)
        indices = encoded.indices.fill_null(unset).to_numpy()
        # Renumbered after every column, so the product stays below rows squared and cannot overflow.
        codes = np.unique(codes * (unset + 1) + indices, return_inverse=True)[1]
    first_rows = np.unique(codes, return_index=True)[1]
    return codes, first_rows


def _compact(name: str, column: pa.Array) -> pa.Array:
    if name in REQUIRED_COLUMNS:
        return column.dictionary_encode()
    if name in ROW_SETTINGS and column.null_count == len(column):
        return pa.nulls(len(column))
    return column


def _joined(chunks: list[pa.Array]) -> pa.Array | pa.ChunkedArray:
    """Join the pieces of a column, of which those without any value have no type."""
    kind = next((chunk.type for chunk in chunks if not pa.types.is_null(chunk.type)), pa.null())
    whole = pa.chunked_array([chunk.cast(kind) if chunk.type != kind else chunk for chunk in chunks], kind)
    return whole.unify_dictionaries().combine_chunks()
