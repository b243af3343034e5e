"""Is a difference between two systems more than chance? The same pairs under both, by Student's paired t-test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.markdown_tables import UNKNOWN, Row, markdown

COMPARISONS = (
    ("default", "no-style"),
    ("default", "random"),
    ("style-notes", "style-notes-no-style"),
    ("style-notes", "style-notes-random"),
)
"""What the style term does, and what the training does: where the style is laid along the content, and where not."""
NOTE = (
    "Differences of the same pairs under two systems: their mean, Student's `t` (the mean over its standard error), "
    "and `n` pairs. Without any true difference, about one figure of twenty has a `t` beyond 2."
)


class Difference(NamedTuple):
    """Mean of paired differences, Student's t (None where it has no value) and the number of pairs."""

    mean: float
    t: float | None
    pairs: int


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference | None:
    """Return how far the first values lie above the second ones, pair by pair; None without any pair.

    `t = mean / (s / sqrt(n))` with `s` the deviation of the differences, n - 1 in its denominator. It has no value for
    a single pair, and none where all differences are the same.

    >>> paired_difference([2.0, 5.0], [1.0, 2.0])
    Difference(mean=2.0, t=2.0, pairs=2)
    """
    if not first:
        return None
    differences = np.subtract(first, second)
    mean, count = float(differences.mean()), len(differences)
    if count < 2 or np.ptp(differences) == 0:
        return Difference(mean, None, count)
    return Difference(mean, float(mean / (differences.std(ddof=1) / math.sqrt(count))), count)


def compared(rows: Sequence[Row], first: str, second: str, figure: str) -> Difference | None:
    """Return the difference of two systems in one figure, over the pairs where both have it."""
    known = {(row["pair_id"], row["system"]): float(str(row[figure])) for row in rows if row.get(figure) is not None}
    pairs = [pair for pair, system in known if system == first and (pair, second) in known]
    return paired_difference([known[pair, first] for pair in pairs], [known[pair, second] for pair in pairs])


def significance_table(rows: Sequence[Row], figures: Mapping[str, str]) -> str | None:
    """Return a table with a line per figure for the comparisons whose systems there are; None if there are none.

    Parameters
    ----------
    rows : sequence of mapping
        Results.
    figures : mapping
        Column of each figure, and what the table calls it.
    """
    present = {row["system"] for row in rows}
    shown = [(first, second) for first, second in COMPARISONS if {first, second} <= present]
    if not shown:
        return None
    header = ["figure", *(title for first, second in shown for title in (f"{first} - {second}", "t", "n"))]
    lines = [
        [name, *(cell for first, second in shown for cell in _cells(compared(rows, first, second, figure)))]
        for figure, name in figures.items()
    ]
    return markdown(header, lines)


def _cells(difference: Difference | None) -> list[str]:
    if difference is None:
        return [UNKNOWN, UNKNOWN, "0"]
    t = UNKNOWN if difference.t is None else f"{difference.t:.1f}"
    return [f"{difference.mean:+.3f}", t, str(difference.pairs)]
