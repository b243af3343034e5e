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


LEAST_WIDTH, MOST_WIDTH = 21, 61
"""Of a drawing, in columns of the terminal: where there is less room there is none."""


def comparison_table(figures: Sequence[PairedDifference], room: int) -> Table:
    """Return how figures differ, with a drawing of where the true difference of each may lie.

    Figures are never cut: in a terminal that is too narrow for the drawing it is left out.
    """
    headings = ("figure", "A", "B", "B - A", "t", "p", "pairs")
    rows = [(one.figure, *_cells(one)) for one in figures]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)  # the box draws a space between columns
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(heading, justify="left" if heading == "figure" else "right", no_wrap=True, min_width=width)
    left = min(MOST_WIDTH, room - sum(widths) - len(widths) - 4)
    width = left - 1 + left % 2 if left >= LEAST_WIDTH else 0  # odd, so that zero has a place
    reach = max((max(abs(one.low or 0.0), abs(one.high or 0.0)) for one in figures if one.figure in SHARES), default=0)
    if width:
        ends = f"-{reach:.2f}".ljust(width // 2) + "0" + f"{reach:.2f}".rjust(width // 2)
        table.add_column(f" {ends}", no_wrap=True, min_width=width + 1)
    for one, row in zip(figures, rows, strict=True):
        drawn = [f" {interval(one, reach, width)}" if one.figure in SHARES else ""] if width else []
        table.add_row(*row, *drawn, style="bold" if one.p is not None and one.p < 0.05 else "")
    return table


def _cells(one: PairedDifference) -> tuple[str, ...]:
    means = number(one.mean_a), number(one.mean_b)
    return *means, f"{one.difference:+.3f}", number(one.t, 1), number(one.p, 3), str(one.pairs)


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
