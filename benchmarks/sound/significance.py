"""Is a difference between two systems more than chance? The same pairs under both, by Student's paired t-test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.markdown_tables import UNKNOWN, Row, markdown
from stylecore.paired_differences import Difference, paired_difference

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
