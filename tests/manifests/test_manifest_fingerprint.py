"""Names that follow from what they name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.fingerprint import fingerprint, fingerprints, pair_id, pair_ids, seed_for, settings_text, with_seed

SETTINGS = '{"alpha":1.0,"seed":3}'


def test_pair_id_is_the_same_for_ever() -> None:
    """A change here renames every pair of every user and gives it another seed."""
    assert pair_id("a.wav", "b.wav", {}) == "9d9eb08f515c54ea"
    assert pair_id("a.wav", "b.wav", {"alpha": 2, "seed": 5}) == "fb2055aa472776e5"
    assert seed_for(0, "9d9eb08f515c54ea") == 1626306722


def test_fingerprint_is_the_same_for_ever() -> None:
    """A change here makes every user compute everything again."""
    assert fingerprint("c" * 64, "s" * 64, SETTINGS, "w" * 64, 1) == "e29268db420d1fbdfd7b4c89122a331e021de8c1"


def test_equal_settings_give_equal_ids() -> None:
    assert pair_id("a", "b", {"alpha": 1, "seed": 7.0}) == pair_id("a", "b", {"seed": 7, "alpha": 1.0, "beta": None})


def test_every_part_of_a_pair_counts() -> None:
    ids = [
        pair_id("a", "b", {}),
        pair_id("b", "a", {}),
        pair_id("ab", "", {}),
        pair_id("a", "b", {"alpha": 1.0}),
        pair_id("a", "b", {"beta": 1.0}),
        pair_id("a", "b", {"alpha": 2.0}),
    ]
    assert len(set(ids)) == len(ids)
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in ids)


def test_one_pair_and_a_column_of_pairs_agree() -> None:
    text = settings_text({"gamma": 0.5})
    assert pair_ids(["a", "c"], ["b", "d"], [text, text])[1] == pair_id("c", "d", {"gamma": 0.5})


def test_unknown_row_setting() -> None:
    with pytest.raises(KeyError, match="epsilon"):
        pair_id("a", "b", {"epsilon": 1})


@given(st.integers(0, 2**31 - 1), st.text())
def test_seeds_are_in_their_range_and_repeat(run_seed: int, name: str) -> None:
    seed = seed_for(run_seed, name)
    assert 0 <= seed < 2**31
    assert seed == seed_for(run_seed, name)


def test_seeds_differ_by_run_and_by_pair() -> None:
    assert len({seed_for(run, name) for run in range(100) for name in "abcdefghij"}) == 1000


def test_fingerprint_ignores_the_order_of_settings() -> None:
    swapped = json.dumps({"seed": 3, "alpha": 1.0}, indent=1)
    assert fingerprint("c", "s", SETTINGS, "w", 1) == fingerprint("c", "s", swapped, "w", 1)


def test_everything_that_decides_a_result_counts() -> None:
    names = [
        fingerprint("c", "s", SETTINGS, "w", 1),
        fingerprint("s", "c", SETTINGS, "w", 1),
        fingerprint("c", "s", '{"alpha":1.0,"seed":4}', "w", 1),
        fingerprint("c", "s", SETTINGS, "v", 1),
        fingerprint("c", "s", SETTINGS, "w", 2),
    ]
    assert len(set(names)) == len(names)
    assert all(len(name) == 40 for name in names)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON_OBJECTS = st.dictionaries(st.text(), SCALARS | st.lists(SCALARS, max_size=3) | st.just({"seed": 0}), max_size=6)


@given(
    pairs=st.lists(
        st.tuples(st.text(), st.text(), JSON_OBJECTS.map(lambda own: {**own, "tau": 1}), st.integers(0, 2**31 - 1)),
        max_size=5,
    ),
    digest=st.text(max_size=8),
    core_version=st.integers(0, 99),
)
def test_a_column_of_fingerprints_is_that_of_its_pairs(pairs: list, digest: str, core_version: int) -> None:
    pairs = [(*rest, {key: own[key] for key in own if key != "seed"}, seed) for *rest, own, seed in pairs]
    columns = [list(column) for column in zip(*pairs, strict=True)] or [[], [], [], []]
    columns[2] = [json.dumps(own) for own in columns[2]]
    expected = [
        fingerprint(content, style, json.dumps({**own, "seed": seed}), digest, core_version)
        for content, style, own, seed in pairs
    ]
    assert fingerprints(*columns, digest, core_version) == expected  # type: ignore[arg-type]


def test_a_column_of_fingerprints_is_the_same_for_ever() -> None:
    texts = ['{"alpha":1.0}', "{}", '{"seeds":1}']
    columns = ["c" * 64] * 3, ["s" * 64] * 3, texts, [3] * 3
    first, *others = fingerprints(*columns, "w" * 64, 1)
    assert first == "e29268db420d1fbdfd7b4c89122a331e021de8c1"
    assert others == [fingerprint("c" * 64, "s" * 64, with_seed(text, 3), "w" * 64, 1) for text in texts[1:]]
