"""Is a difference between two treatments of the same things more than chance? Student's paired t-test."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95

ALIKE = 1e-12
"""Differences that are within so much of each other are the same, but for rounding."""


class Difference(NamedTuple):
    """The mean of paired differences, and where the true one lies with a confidence of 95 %, `low` to `high`.

    `t` and `p` are Student's. They and the bounds are None where they have no value: for a single pair, or where all
    differences are the same.
    """

    mean: float
    low: float | None
    high: float | None
    t: float | None
    p: float | None
    pairs: int


def paired_difference(first: ArrayLike, second: ArrayLike) -> Difference | None:
    """Return how far the first values lie above the second ones, both `[N]`, pair by pair; None without any pair.

    `t = mean / (s / sqrt(n))` with `s` the deviation of the differences, n - 1 in its denominator.

    >>> paired_difference([1.5, 2.5], [1.0, 2.0])
    Difference(mean=0.5, low=None, high=None, t=None, p=None, pairs=2)
    """
    differences = np.subtract(first, second).astype(np.float64)
    count = len(differences)
    if not count:
        return None
    mean = float(differences.mean())
    if count < 2 or np.ptp(differences) <= ALIKE:
        return Difference(mean, None, None, None, None, count)
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * error
    t = mean / error
    return Difference(mean, mean - reach, mean + reach, t, 2.0 * float(stats.t.sf(abs(t), count - 1)), count)
