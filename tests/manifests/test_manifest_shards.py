"""The cut into shards and batches: complete, bounded, and the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.sharding import cut_batches, cut_shards, length_bucket, shard_layout_digest
from tasks.cache import ByteLimitedCache


def _pairs(count: int, contents: int = 7, styles: int = 5) -> pa.Table:
    rows = range(count)
    return pa.table(
        {
            "pair_id": [f"p{row:05d}" for row in rows],
            "content": [f"/c/{row % contents}.wav" for row in rows],
            "style": [f"/s/{row // contents % styles}.wav" for row in rows],
        }
    )


def _durations(pairs: pa.Table, seed: int = 0) -> np.ndarray:
    by_content = np.random.default_rng(seed).uniform(0.2, 30.0, 1000)
    return np.array([by_content[int(name[3:-4])] for name in pairs["content"].to_pylist()])


@given(
    count=st.integers(0, 300),
    seed=st.integers(0, 1000),
    shard_audio_s=st.one_of(st.none(), st.floats(0.5, 200.0)),
    batch_size=st.integers(1, 20),
)
def test_a_cut_keeps_every_promise(count: int, seed: int, shard_audio_s: float | None, batch_size: int) -> None:
    pairs = _pairs(count)
    cut = cut_shards(pairs, _durations(pairs, seed), shard_audio_s)
    assert sorted(cut["pair_id"].to_pylist()) == pairs["pair_id"].to_pylist()
    table = cut.to_pandas()
    if count == 0:
        return
    table["bucket"] = length_bucket(table["duration_s"].to_numpy())
    assert (np.diff(table["shard"], prepend=0) >= 0).all()
    assert sorted(table["shard"].unique()) == list(range(table["shard"].max() + 1))
    for number, shard in table.groupby("shard"):
        limit = 60.0 if shard_audio_s is None else shard_audio_s
        assert shard["duration_s"].sum() <= limit + 1e-5 or len(shard) == 1
        batches = cut_batches(cut.filter(pc.field("shard") == number), batch_size).to_pandas()
        assert batches["pair_id"].tolist() == shard["pair_id"].tolist()
        assert sorted(batches["batch"].unique()) == list(range(batches["batch"].max() + 1))
        assert (np.diff(batches["batch"], prepend=0) >= 0).all()
        for _, batch in batches.groupby("batch"):
            assert len(batch) <= batch_size
            assert len(np.unique(length_bucket(batch["duration_s"].to_numpy()))) == 1
            assert batch["duration_s"].max() <= 1.1 * batch["duration_s"].min()


MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Encoding:
    """What a cache knows of an encoded sound."""

    n_bytes: int


def encodings(pairs: pa.Table, cache_bytes: int) -> int:
    """Return how many encodings one process computes for pairs in order, by the cache that it has."""
    cache, computed = ByteLimitedCache(cache_bytes), 0

    def compute(n_bytes: int) -> Encoding:
        nonlocal computed
        computed += 1
        return Encoding(n_bytes)

    for content, style in zip(pairs["content"].to_pylist(), pairs["style"].to_pylist(), strict=True):
        cache.get(content, lambda: compute(9 * MEBIBYTE))
        cache.get(style, lambda: compute(5 * MEBIBYTE))
    return computed


def test_neighbours_share_sounds() -> None:
    """A sound is encoded a few times, where sorting by style and content has a content encoded for every pair."""
    pairs = _pairs(100 * 96, contents=100, styles=96)
    cut = cut_shards(pairs, np.full(len(pairs), 2.57), None)
    by_style = pairs.sort_by([("style", "ascending"), ("content", "ascending")])
    assert encodings(by_style, 256 * MEBIBYTE) == 100 * 96 + 96
    assert encodings(cut, 256 * MEBIBYTE) <= 3 * 100 + 96
    # Half the cache that the strips are made for: of each 32 styles, those met last are still there.
    assert encodings(cut, 96 * MEBIBYTE) < 0.6 * 100 * 96


def test_texts_and_dictionaries_are_cut_alike() -> None:
    pairs = _pairs(300)
    encoded = pairs.set_column(1, "content", pairs["content"].dictionary_encode())
    encoded = encoded.set_column(2, "style", encoded["style"].dictionary_encode())
    cut = cut_shards(encoded, _durations(pairs), None)
    assert cut.to_pylist() == cut_shards(pairs, _durations(pairs), None).to_pylist()
    assert pa.types.is_dictionary(cut.schema.field("content").type)


def test_harder_pairs_make_smaller_shards() -> None:
    usual, hard = (cut_shards(_pairs(60), np.ones(60), 10.0, effort) for effort in (None, np.full(60, 2.5)))
    assert usual["shard"].to_pylist() == [row // 10 for row in range(60)]
    assert hard["shard"].to_pylist() == [row // 4 for row in range(60)]
    easy = cut_shards(_pairs(60), np.ones(60), 10.0, np.full(60, 0.1))
    assert easy.equals(usual)  # the limit is of audio, too


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_count(random) -> None:
    pairs = _pairs(120)
    order = list(range(120))
    random.shuffle(order)
    shuffled = pairs.take(pa.array(order))
    first = cut_shards(pairs, _durations(pairs), 20.0)
    assert cut_shards(shuffled, _durations(shuffled), 20.0).equals(first)


def test_a_digest_tells_one_cut_from_another() -> None:
    pairs = _pairs(60)
    digest = shard_layout_digest(cut_shards(pairs, np.ones(60), 10.0))
    assert shard_layout_digest(cut_shards(pa.concat_tables([pairs[30:], pairs[:30]]), np.ones(60), 10.0)) == digest
    assert shard_layout_digest(cut_shards(pairs, np.ones(60), 11.0)) != digest
    assert shard_layout_digest(cut_shards(pairs, np.r_[np.ones(59), 0.0], 10.0)) != digest
    assert shard_layout_digest(cut_shards(_pairs(59), np.ones(59), 10.0)) != digest


def test_batches_of_a_bucket_are_about_equal() -> None:
    rows = cut_shards(_pairs(23), [2.57] * 21 + [5.0] * 2, 100.0)
    assert cut_batches(rows, 8)["batch"].to_pylist() == [0] * 7 + [1] * 7 + [2] * 7 + [3] * 2
    assert cut_batches(rows, 64)["batch"].to_pylist() == [0] * 21 + [1] * 2
    assert cut_batches(rows.slice(0, 0), 8)["batch"].to_pylist() == []
    with pytest.raises(ValueError, match="batch_size=0 < 1"):
        cut_batches(rows, 0)


def test_automatic_shards() -> None:
    def shards(seconds: float, count: int) -> int:
        return pc.max(cut_shards(_pairs(count), np.full(count, seconds), None)["shard"]).as_py() + 1

    assert shards(1.0, 8) == 1  # a few pairs: at least 8 s in a shard
    assert shards(1.0, 320) == 16
    assert shards(1.0, 6000) == 100  # a corpus: at most 60 s


def test_unreadable_sounds_are_cut_too() -> None:
    cut = cut_shards(_pairs(1000), np.zeros(1000), 10.0)
    assert pc.max(cut["shard"]).as_py() >= 19


def test_sounds_that_cannot_be_read_leave_the_shards_of_the_others() -> None:
    whole, some = (cut_shards(_pairs(count), [1.0] * 50 + [0.0] * (count - 50), None) for count in (90, 50))
    assert whole.slice(0, 50).equals(some)


def test_a_pair_longer_than_a_shard_has_its_own() -> None:
    cut = cut_shards(_pairs(3), [30.0, 30.0, 1.0], 5.0)
    assert cut["shard"].to_pylist() == [0, 1, 2]


def test_types_and_columns() -> None:
    cut = cut_shards(_pairs(2).append_column("row", pa.array([4, 5])), [1.0, 2.0], None)
    assert cut.column_names == ["pair_id", "content", "style", "row", "duration_s", "analysis_rate", "shard"]
    types = [cut.schema.field(name).type for name in ("duration_s", "analysis_rate", "shard")]
    assert types == [pa.float64(), pa.int32(), pa.int32()]


def test_pairs_of_different_rates_share_no_batch_and_what_cannot_be_read_comes_last() -> None:
    rates = np.resize([16_000, 48_000, 32_000], 60)
    cut = cut_shards(_pairs(60), np.r_[np.ones(50), np.zeros(10)], 100.0, None, rates).to_pandas()
    assert (cut["duration_s"].to_numpy() > 0).tolist() == [True] * 50 + [False] * 10
    assert cut["analysis_rate"][:50].is_monotonic_increasing
    batches = cut_batches(pa.Table.from_pandas(cut[:50], preserve_index=False), 8).to_pandas()
    assert (batches.groupby("batch")["analysis_rate"].nunique() == 1).all()
    assert batches.groupby("analysis_rate")["batch"].nunique().tolist() == [3, 2, 3]


@pytest.mark.parametrize(
    ("seconds", "shard_audio_s", "message"),
    [
        ([1.0], None, "one duration per pair"),
        ([1.0, float("nan")], None, "seconds=nan of pair 1"),
        ([1.0, -1.0], None, r"seconds=-1.0 of pair 1"),
        ([1.0, 1.0], 0.0, "shard_audio_s=0.0 <= 0"),
    ],
)
def test_bad_arguments(seconds: list[float], shard_audio_s: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cut_shards(_pairs(2), seconds, shard_audio_s)
