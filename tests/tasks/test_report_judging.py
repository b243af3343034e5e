"""What a report makes of figures: the balance, the best and the worst, words, distributions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from stylecore.figures import FIGURES
from tasks.reporting.choosing import Candidates
from tasks.reporting.judging import ARRIVING, BALANCE, KEEPING, balance, described, goodness
from tasks.reporting.report_summary import BINS, distribution


def rows(**columns: list[float | None]) -> pa.Table:
    """Return rows that have some figures; the others are null."""
    count = len(next(iter(columns.values())))
    names = [figure.name for figure in FIGURES]
    return pa.table({name: pa.array(columns.get(name, [None] * count), pa.float64()) for name in names})


def test_the_balance_is_high_only_where_both_halves_are() -> None:
    assert ARRIVING[0] == "timbre_transfer"
    assert {"melody_kept", "rhythm_kept"} <= set(KEEPING)
    both = {"timbre_transfer": [1.0, 1.0, 0.5, -0.4, 0.5, None], "melody_kept": [1.0, 0.0, 0.25, 1.0, None, 1.0]}
    assert balance(rows(**both)).tolist() == pytest.approx([1.0, 0.0, 1 / 3, 0.0, np.nan, np.nan], nan_ok=True)
    four = rows(timbre_transfer=[0.2], texture_transfer=[0.6], rhythm_kept=[0.9], dynamics_kept=[0.7])
    assert balance(four).tolist() == pytest.approx([2 * 0.4 * 0.8 / (0.4 + 0.8)])


@pytest.mark.parametrize(
    ("name", "values", "order"),
    [
        ("timbre_transfer", [0.2, None, 0.9, -0.5], [2, 0, 3]),
        ("bandwidth_shift", [0.2, 2.5, 1.1, None], [2, 0, 1]),
        ("style_leak", [0.2, 0.0, None, 0.9], [1, 0, 3]),
        ("noise_hnr_db", [10.0, 30.0, 20.0, None], [1, 2, 0]),
        ("spectral_convergence_db", [-10.0, -30.0, None, -20.0], [1, 3, 0]),
    ],
)
def test_the_best_are_nearest_to_the_ideal(name: str, values: list[float | None], order: list[int]) -> None:
    table = rows(**{name: values})
    good = goodness(table, name)
    assert [row for row in np.argsort(-good) if not np.isnan(good[row])] == order
    names = ("pair_id", "content_identity", "style_identity", "settings", "file_sha256")
    for column in (*names, "content_start_s", "content_end_s", "style_start_s", "style_end_s"):
        table = table.append_column(column, pa.nulls(4, pa.string()))
    candidates = Candidates(name)
    for start in (0, 2):  # in two pieces
        status = pa.array(["succeeded"] * 2)
        candidates.offer(table.slice(start, 2).append_column("status", status), start)
    best, worst, sample = candidates.chosen(2)
    assert (best, worst) == (order[:2], order[::-1][:2])
    assert len(sample) == 2
    assert sample == sorted(sample) == candidates.chosen(2)[2]
    assert candidates.chosen(9)[2] == [0, 1, 2, 3]


def test_every_figure_is_described_for_the_page() -> None:
    told = described()
    assert [figure["name"] for figure in told] == [BALANCE, *(figure.name for figure in FIGURES)]
    assert {figure["kind"] for figure in told} == {"arrived", "kept", "unwanted", "other"}
    assert all(figure["description"] and figure["heading"] for figure in told)
    assert {figure["ideal"] for figure in told} == {1.0, 0.0, "more", "less"}


def test_a_distribution_counts_every_value_also_those_far_outside() -> None:
    figure = {"name": "x", "heading": "x", "description": "x"}
    values = np.concatenate([np.linspace(0, 1, 998), [-50, 90]]).astype(np.float32)
    found = distribution(figure, values)
    assert sum(bar.pairs for bar in found.bars) == found.pairs == 1000
    assert len(found.bars) == BINS
    assert found.bars[0].least > -1
    assert found.bars[-1].most < 2
    assert found.median == pytest.approx(0.5, abs=0.01)
    assert [bar.pairs for bar in distribution(figure, np.array([0.7], np.float32)).bars].count(1) == 1
