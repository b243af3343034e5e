"""A pair must not stand twice in a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import ManifestError

_REMEDY = "Take one of the two rows out, or give them different pair_ids (without that column: different row settings)"


def refuse_duplicates(
    ids: Sequence[pa.StringArray], manifest: str, place: Callable[[int], str], pair: Callable[[int], str]
) -> None:
    """Refuse a pair_id that stands twice in a manifest.

    Parameters
    ----------
    ids : sequence of pyarrow.StringArray
        The `pair_id` of all rows, in order.
    manifest : str
        Its name, for the message.
    place, pair : callable
        Say of a row, counted from 0, where it is and what it pairs; called for a message only.

    Raises
    ------
    ManifestError
        Naming the first pair that stands there already, and where both are.
    """
    whole = pa.chunked_array(ids, pa.string())
    if pc.count_distinct(whole).as_py() == len(whole):
        return
    codes = whole.combine_chunks().dictionary_encode().indices.to_numpy()
    _, first_rows = np.unique(codes, return_index=True)
    again = np.ones(len(codes), dtype=bool)
    again[first_rows] = False
    second = int(np.argmax(again))
    first = int(np.argmax(codes == codes[second]))
    here, there = pair(second), pair(first)
    before = "" if here == there else f", as {there}"
    raise ManifestError(
        f"{manifest}: column 'pair_id', {place(second)}: '{whole[second].as_py()}' ({here}) stands in {place(first)} "
        f"already{before}. {_REMEDY}"
    )
