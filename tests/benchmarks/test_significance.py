"""Paired differences against SciPy's test, and the table of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from benchmarks.sound.significance import compared, significance_table
from stylecore.paired_differences import paired_difference


@pytest.mark.parametrize("count", [2, 5, 56])
def test_t_is_that_of_the_paired_test(count: int) -> None:
    generator = np.random.default_rng(count)
    first, second = generator.normal(0.3, 1.0, count), generator.normal(0.0, 2.0, count)
    found = paired_difference(list(first), list(second))
    assert found is not None
    wanted = ttest_rel(first, second)
    assert (found.t, found.p) == (pytest.approx(wanted.statistic), pytest.approx(wanted.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval(0.95)))
    assert found.mean == pytest.approx(first.mean() - second.mean())
    assert found.pairs == count


def test_what_has_no_t_has_none() -> None:
    assert paired_difference([], []) is None
    assert paired_difference([1.5], [1.0]) == (0.5, None, None, None, None, 1)
    assert paired_difference([0.4, 0.5, 0.6], [0.3, 0.4, 0.5]) == (pytest.approx(0.1), None, None, None, None, 3)


def _row(pair: str, system: str, mel: float | None) -> dict[str, object]:
    return {"pair_id": pair, "system": system, "mel": mel}


def test_only_pairs_that_both_systems_have_are_compared() -> None:
    rows = [
        _row("a", "default", 0.5), _row("b", "default", 0.7), _row("c", "default", None), _row("d", "default", 0.1),
        _row("b", "random", 0.4), _row("a", "random", 0.4), _row("c", "random", 0.9),
    ]  # fmt: skip
    found = compared(rows, "default", "random", "mel")
    assert found is not None
    assert found.pairs == 2
    assert found.mean == pytest.approx(0.2)
    assert compared(rows, "default", "no-style", "mel") is None


def test_the_table_has_a_line_per_figure_and_the_comparisons_there_are() -> None:
    rows = [_row("a", "default", 0.5), _row("b", "default", 0.8), _row("a", "random", 0.4), _row("b", "random", 0.4)]
    table = significance_table(rows, {"mel": "mel", "gone": "not measured"})
    assert table is not None
    header, _, mel, gone = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    assert header == ["figure", "default - random", "t", "n"]
    assert mel == ["mel", "+0.250", "1.7", "2"]
    assert gone == ["not measured", "-", "-", "0"]
    assert significance_table(rows[2:], {"mel": "mel"}) is None
