"""Figures as a reader judges them: which way is better, in which words, and one figure over several: the balance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stylecore.figures import FIGURES

Array = NDArray[np.float64]

BALANCE = "balance"
"""Name of the figure by which the best pairs are chosen, unless another is asked for."""

_BALANCE_TEXT = (
    "harmonic mean of what arrived of the style (mean of the transfers) and what stayed of the content (mean of what "
    "was kept): high only where both are"
)

ARRIVED, KEPT, UNWANTED, OTHER = "arrived", "kept", "unwanted", "other"

WORDS = {
    KEPT: ((0.85, "kept"), (0.6, "mostly kept"), (0.35, "partly kept"), (-math.inf, "lost")),
    UNWANTED: ((0.3, "strong"), (0.1, "audible")),
}
"""Words for values of a kind of figure from a bound on, the highest first; below the last there is nothing to say."""


def kind_of(name: str, ideal: float) -> str:
    """Return what a figure tells of: what arrived of the style, what was kept of the content, what is unwanted.

    >>> kind_of("timbre_transfer", 1.0), kind_of("melody_kept", 1.0), kind_of("a_fault", 0.0)
    ('arrived', 'kept', 'unwanted')
    """
    if name.endswith("_transfer"):
        return ARRIVED
    if name.endswith("_kept"):
        return KEPT
    return UNWANTED if ideal == 0 else OTHER


ARRIVING = tuple(each.name for each in FIGURES if each.shown and kind_of(each.name, each.ideal) == ARRIVED)
KEEPING = tuple(each.name for each in FIGURES if each.shown and kind_of(each.name, each.ideal) == KEPT)


def described() -> list[dict[str, Any]]:
    """Return all figures for the page, the balance first; an ideal of `more` or `less` has no bound."""
    balance = {"name": BALANCE, "heading": BALANCE, "unit": "", "ideal": 1.0, "kind": OTHER, "shown": True}
    figures = [
        {
            "name": each.name,
            "heading": each.heading,
            "unit": each.unit,
            "ideal": each.ideal if math.isfinite(each.ideal) else "more" if each.ideal > 0 else "less",
            "kind": kind_of(each.name, each.ideal),
            "shown": each.shown,
            "description": each.description,
        }
        for each in FIGURES
    ]
    return [{**balance, "description": _BALANCE_TEXT}, *figures]


def words() -> dict[str, list[list[Any]]]:
    """Return `WORDS` for the page; a bound that everything exceeds is null."""
    return {
        kind: [[bound if math.isfinite(bound) else None, word] for bound, word in bounds]
        for kind, bounds in WORDS.items()
    }


def figure_values(rows: pa.Table, name: str) -> Array:
    """Return a figure, or any other number, of N rows, NaN where there is none; infinity counts as none."""
    if name == BALANCE:
        return balance(rows)
    values = rows.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def balance(rows: pa.Table) -> Array:
    """Return the harmonic mean of transfer and keeping of N rows, each within 0 and 1; NaN where one is not known."""
    arrived, kept = (_mean([figure_values(rows, name) for name in names]) for names in (ARRIVING, KEEPING))
    total = arrived + kept
    harmonic: Array = np.divide(2 * arrived * kept, total, out=np.zeros_like(total), where=total > 0)
    return np.where(np.isnan(total), np.nan, harmonic)


def goodness(rows: pa.Table, name: str) -> Array:
    """Return a figure of N rows so that more is better, NaN where there is none."""
    values = figure_values(rows, name)
    ideal = next((each.ideal for each in FIGURES if each.name == name), 1.0)
    if math.isinf(ideal):
        return values if ideal > 0 else -values
    return -np.abs(values - ideal)


def _mean(columns: list[Array]) -> Array:
    """Return the mean of the known values, each clipped to 0..1."""
    values = np.clip(np.stack(columns), 0, 1)
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    sums = np.where(known, values, 0).sum(axis=0)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
