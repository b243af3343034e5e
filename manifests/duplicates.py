"""A pair must not stand twice in a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import ManifestError

_MEND = "Take one of the two rows out, or give them different pair_ids (without that column: different row settings)"


def refuse_duplicates(named: Sequence[pa.RecordBatch], manifest: str, place: Callable[[int], str]) -> None:
    """Refuse a pair_id that stands twice in a manifest.

    Parameters
    ----------
    named : sequence of pyarrow.RecordBatch
        Its rows in order: `pair_id`, `content`, `style`.
    manifest : str
        Its name, for the message.
    place : callable
        Says where a row is, by its number from 1.

    Raises
    ------
    ManifestError
        Naming the first pair that stands there already, and where both are.
    """
    ids = pa.chunked_array([batch.column("pair_id") for batch in named], pa.string())
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    _, first_rows = np.unique(codes, return_index=True)
    again = np.ones(len(codes), dtype=bool)
    again[first_rows] = False
    second = int(np.argmax(again))
    first = int(np.argmax(codes == codes[second]))
    pairs = pa.Table.from_batches(named)
    here, there = (pairs.slice(row, 1).to_pylist()[0] for row in (second, first))
    standing = f"content '{here['content']}' x style '{here['style']}'"
    before = "" if here == there else f", as content '{there['content']}' x style '{there['style']}'"
    raise ManifestError(
        f"{manifest}: column 'pair_id', {place(second + 1)}: '{here['pair_id']}' ({standing}) stands in "
        f"{place(first + 1)} already{before}. {_MEND}"
    )
