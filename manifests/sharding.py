"""Cut a manifest's pairs into shards (the unit of commit) and batches (the unit of one forward pass).

Both follow from the pairs and the lengths of their contents alone: not from the machine, nor from the order of the
rows, nor from what is computed already. So a run that is started again meets the same shards and the same batches.
"""

from __future__ import annotations

import hashlib
import re
from fractions import Fraction
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

BUCKETS_PER_OCTAVE = 8
"""Contents of one bucket differ in length by at most 2 ** (1 / 8): at most 9 % of a batch is padding."""

# Rounded to a millisecond, so that the edges are the same numbers on every machine.
_EDGES_S = np.round(2.0 ** (np.arange(-3 * BUCKETS_PER_OCTAVE, 12 * BUCKETS_PER_OCTAVE + 1) / BUCKETS_PER_OCTAVE), 3)


class ShardSlice(NamedTuple):
    """One of several parts of a plan's shards, for machines that share a corpus: slice `number`, from 0, of so many.

    >>> [list(ShardSlice(number, 2).shards(5)) for number in (0, 1)]
    [[0, 1], [2, 3, 4]]
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the slice that is written `number/of`.

        Raises
        ------
        ValueError
            If it is none.
        """
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
        if match is None or not int(match[1]) < int(match[2]):
            raise ValueError(f"'{text}' is no slice of the shards: write 0/2 for the first of two, 1/2 for the second")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def shards(self, total: int) -> range:
        """Return the numbers of the slice's shards, of `total`."""
        return range(self.number * total // self.of, (self.number + 1) * total // self.of)

    def overlaps(self, other: ShardSlice) -> bool:
        """Return whether two slices can have a shard in common."""
        (begin, end), (other_begin, other_end) = self._ends(), other._ends()
        return begin < other_end and other_begin < end

    def _ends(self) -> tuple[Fraction, Fraction]:
        return Fraction(self.number, self.of), Fraction(self.number + 1, self.of)


WHOLE = ShardSlice(0, 1)
"""All shards."""

STYLES_OF_STRIP = 32
"""Styles that stay encoded while contents pass by, about 5 MB each; a smaller cache still holds those met last."""

_SHORTEST_S = 0.2
"""What a pair counts for at least: a shard of unreadable sounds must end too."""

_AUTOMATIC_SHARDS = 16
_AUTOMATIC_RANGE_S = (8.0, 60.0)


def cut_shards(
    pairs: pa.Table,
    seconds: ArrayLike,
    shard_audio_s: float | None,
    effort: ArrayLike | None = None,
    rates: ArrayLike | None = None,
) -> pa.Table:
    """Order pairs and number their shards.

    Pairs are sorted so that neighbours share sounds (`_order`), and fill shards one after the other. Those whose
    content cannot be read come last, and leave the shards of the others as they are. No batch size has a say: machines
    whose devices hold batches of different sizes share a corpus shard by shard.

    Parameters
    ----------
    pairs : pyarrow.Table
        N rows with at least `pair_id`, `content` and `style`, the two sounds as text or as dictionaries of text.
    seconds : array_like
        Durations of the contents in s, `[N]`; 0 where a sound cannot be read.
    shard_audio_s : float or None
        Most audio in a shard, s; a single longer pair has a shard of its own. None: a sixteenth of all, but at least
        8 and at most 60.
    effort : array_like, optional
        How many times the usual work a second of each pair is, `[N]`; where it is more, a shard holds less audio.
    rates : array_like, optional
        Sampling rate at which each pair is computed, Hz, `[N]`: those of different rates share no batch.

    Returns
    -------
    pyarrow.Table
        `pairs`, sorted, with `duration_s` (float64), `analysis_rate` (int32) and `shard` (int32, from 0).

    Raises
    ------
    ValueError
        A duration is negative or not finite, there are not N of them, or a limit is not positive.
    """
    durations = _checked(pairs, seconds, shard_audio_s)
    counted = np.maximum(durations, _SHORTEST_S) * np.maximum(1.0, 1.0 if effort is None else effort)
    limit = shard_audio_s if shard_audio_s is not None else _automatic_limit(durations)
    of_rate = np.zeros(len(durations), dtype=np.int32) if rates is None else np.asarray(rates, dtype=np.int32)
    order = _order(pairs, durations, of_rate)
    return (
        pairs.take(pa.array(order))
        .append_column("duration_s", pa.array(durations[order]))
        .append_column("analysis_rate", pa.array(of_rate[order]))
        .append_column("shard", pa.array(_shards(counted[order], limit)))
    )


def shard_layout_digest(rows: pa.Table) -> str:
    """Return a digest of what `cut_shards` made of a manifest: equal where each pair is in the same shard."""
    digest = hashlib.sha256()
    for name in ("pair_id", "shard"):
        sink = pa.BufferOutputStream()
        column = rows.select([name]).combine_chunks()
        with pa.ipc.new_stream(sink, column.schema) as stream:
            stream.write_table(column)
        digest.update(sink.getvalue())
    return digest.hexdigest()


def cut_batches(rows: pa.Table, batch_size: int) -> pa.Table:
    """Cut a shard into batches: pairs of one rate and length bucket, in order, in batches of about equal size.

    Parameters
    ----------
    rows : pyarrow.Table
        ALL N rows of one shard, those that mean no work included: a run that is started again meets the same batches.
    batch_size : int
        Most pairs in a batch.

    Returns
    -------
    pyarrow.Table
        `rows` with `batch` (int32, from 0).

    Raises
    ------
    ValueError
        `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} < 1")
    buckets = _buckets(rows.column("duration_s").to_numpy(), rows.column("analysis_rate").to_numpy())
    starts, sizes = np.unique(buckets, return_index=True, return_counts=True)[1:]
    batches = np.zeros(len(buckets), dtype=np.int32)
    first = 0
    for start, size in sorted(zip(starts, sizes, strict=True)):
        parts = -(-size // batch_size)
        batches[start : start + size] = first + np.arange(size) * parts // size
        first += parts
    return rows.append_column("batch", pa.array(batches))


def length_bucket(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bucket of each duration in s, `[N]`: the first edge that is not below it; 0 for 0 s.

    >>> length_bucket(np.array([0.0, 2.0, 2.01, 2.18, 2.19]))
    array([ 0, 32, 33, 33, 34])
    """
    return np.searchsorted(_EDGES_S, seconds, side="left")


def _checked(pairs: pa.Table, seconds: ArrayLike, shard_audio_s: float | None) -> NDArray[np.float64]:
    durations = np.asarray(seconds, dtype=np.float64)
    if durations.shape != (pairs.num_rows,):
        raise ValueError(f"seconds has the shape {durations.shape} for {pairs.num_rows} pairs: one duration per pair")
    bad = ~(np.isfinite(durations) & (durations >= 0))
    if bad.any():
        raise ValueError(f"seconds={durations[bad][0]} of pair {int(np.argmax(bad))}: a duration is finite and >= 0")
    if shard_audio_s is not None and not shard_audio_s > 0:
        raise ValueError(f"shard_audio_s={shard_audio_s} <= 0")
    return durations


def _buckets(durations: NDArray[np.float64], rates: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the bucket of each pair, `[N]`: by rate, then by length; one for those that cannot be read, the last."""
    of_rate = np.unique(rates, return_inverse=True)[1]
    lengths = len(_EDGES_S) + 1
    unreadable = (int(of_rate.max(initial=0)) + 1) * lengths
    return np.where(durations > 0, of_rate * lengths + length_bucket(durations), unreadable)


def _order(pairs: pa.Table, durations: NDArray[np.float64], rates: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the order in which pairs are computed, `[N]`: buckets, and within each strips of a few styles.

    A strip is walked content by content, so a cache that holds its styles and one content encodes a content once per
    strip, where walking style by style would encode it once per pair. Every other content meets the styles backwards,
    and every other strip the contents: so a smaller cache still finds what was used last.
    """
    bucket = _buckets(durations, rates)
    content, contents = _places(pairs.column("content"), bucket)
    style, styles = _places(pairs.column("style"))
    strip = style // STYLES_OF_STRIP
    walked = np.where(strip % 2 == 0, content, contents - 1 - content)
    within = style % STYLES_OF_STRIP
    within = np.where(content % 2 == 0, within, STYLES_OF_STRIP - 1 - within)
    strips = -(-styles // STYLES_OF_STRIP)
    # One number: the product stays far below 2^63 for every manifest that is read.
    place = ((bucket * strips + strip) * contents + walked) * STYLES_OF_STRIP + within
    keys = pa.table({"place": pa.array(place), "pair_id": pairs.column("pair_id")})
    return pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names]).to_numpy()


def _places(column: pa.ChunkedArray, first: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], int]:
    """Return each text's place among the distinct texts, sorted by `first` and themselves, `[N]`, and their number."""
    encoded = column.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    codes = encoded.indices.to_numpy()
    keys = {"first": pa.array(np.zeros(len(encoded.dictionary), dtype=np.int64)), "text": encoded.dictionary}
    if first is not None:
        by_code = np.zeros(len(encoded.dictionary), dtype=np.int64)
        falling = np.argsort(-first, kind="stable")  # a content may have several lengths, by excerpt: the least stays
        by_code[codes[falling]] = first[falling]
        keys["first"] = pa.array(by_code)
    by_text = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys]).to_numpy()
    places = np.empty(len(by_text), dtype=np.int64)
    places[by_text] = np.arange(len(by_text))
    return places[codes], len(by_text)


def _automatic_limit(durations: NDArray[np.float64]) -> float:
    return float(np.clip(durations.sum() / _AUTOMATIC_SHARDS, *_AUTOMATIC_RANGE_S))


def _shards(counted: NDArray[np.float64], limit: float) -> NDArray[np.int32]:
    """Fill shards with pairs in order, each up to `limit` s, `[N]`."""
    ends = np.cumsum(counted)
    shards = np.zeros(len(ends), dtype=np.int32)
    first, filled, shard = 0, 0.0, 0
    while first < len(ends):
        # The tolerance keeps the rounding of a sum of a million durations from deciding; one pair always fits.
        stop = max(first + 1, int(np.searchsorted(ends, filled + limit + 1e-6, side="right")))
        shards[first:stop] = shard
        first, filled, shard = stop, float(ends[stop - 1]), shard + 1
    return shards
