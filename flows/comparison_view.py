"""How two tables of results differ, for people: means, significance, and a drawing."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from flows.results_view import number
from stylecore.figures import FIGURES
from tasks.ledger.comparison import PairedDifference

SHARES = frozenset(figure.name for figure in FIGURES if not figure.unit)
"""Figures that can be drawn beside each other."""


def comparison_table(figures: Sequence[PairedDifference], width: int) -> Table:
    """Return how figures differ, with a drawing of where the true difference of each may lie."""
    table = Table("figure", *("A", "B", "B - A", "t", "p", "pairs"), box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    reach = max((max(abs(one.low or 0.0), abs(one.high or 0.0)) for one in figures if one.figure in SHARES), default=0)
    table.add_column(f"-{reach:.2f}".ljust(width // 2) + "0" + f"{reach:.2f}".rjust(width // 2), no_wrap=True)
    for one in figures:
        style = "bold" if one.p is not None and one.p < 0.05 else ""
        values = [number(one.mean_a), number(one.mean_b), f"{one.difference:+.3f}", number(one.t, 1), number(one.p, 3)]
        drawn = interval(one, reach, width) if one.figure in SHARES else ""
        table.add_row(one.figure, *values, str(one.pairs), drawn, style=style)
    return table


def interval(one: PairedDifference, reach: float, width: int) -> str:
    """Return a line with the difference, its interval and zero, from minus to plus a reach.

    >>> interval(PairedDifference("rhythm_kept", 0.5, 0.6, 0.1, 0.05, 0.15, 4.0, 0.01, 9), 0.2, 17)
    '        | ├─●─┤  '
    """
    if one.low is None or one.high is None or reach <= 0:
        return ""
    low, middle, high = (round((value / reach + 1) * (width - 1) / 2) for value in (one.low, one.difference, one.high))
    line = [" "] * width
    line[width // 2] = "|"
    line[low : high + 1] = "─" * (high - low + 1)
    for place, sign in ((low, "├"), (high, "┤"), (middle, "●")):
        line[place] = sign
    return "".join(line)
