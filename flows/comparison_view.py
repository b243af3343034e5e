"""How two tables of results differ, for people: means, significance, and a drawing."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from flows.results_view import number
from stylecore.figures import FIGURES
from stylecore.paired_differences import Difference
from tasks.ledger.comparison import ComparedFigure

SHARES = frozenset(figure.name for figure in FIGURES if not figure.unit)
"""Figures that can be drawn beside each other."""


LEAST_WIDTH, MOST_WIDTH = 21, 61
"""Of a drawing, in columns of the terminal: where there is less room there is none."""


def comparison_table(figures: Sequence[ComparedFigure], room: int) -> Table:
    """Return how figures differ, with a drawing of where the true difference of each may lie.

    Figures are never cut: in a terminal that is too narrow for the drawing it is left out.
    """
    headings = ("figure", "A", "B", "B - A", "t", "p", "pairs")
    rows = [(one.name, *_cells(one)) for one in figures]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)  # the box draws a space between columns
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(heading, justify="left" if heading == "figure" else "right", no_wrap=True, min_width=width)
    left = min(MOST_WIDTH, room - sum(widths) - len(widths) - 4)
    width = left - 1 + left % 2 if left >= LEAST_WIDTH else 0  # odd, so that zero has a place
    reach = max((_reach(one.difference) for one in figures if one.name in SHARES), default=0)
    if width:
        ends = f"-{reach:.2f}".ljust(width // 2) + "0" + f"{reach:.2f}".rjust(width // 2)
        table.add_column(f" {ends}", no_wrap=True, min_width=width + 1)
    for one, row in zip(figures, rows, strict=True):
        drawn = [f" {interval(one.difference, reach, width)}" if one.name in SHARES else ""] if width else []
        table.add_row(*row, *drawn, style="bold" if one.difference.p is not None and one.difference.p < 0.05 else "")
    return table


def _cells(one: ComparedFigure) -> tuple[str, ...]:
    found = one.difference
    means = number(one.mean_a), number(one.mean_b)
    return *means, f"{found.mean:+.3f}", number(found.t, 1), number(found.p, 3), str(found.pairs)


def _reach(found: Difference) -> float:
    return max(abs(found.low or 0.0), abs(found.high or 0.0))


def interval(found: Difference, reach: float, width: int) -> str:
    """Return a line with a difference, its interval and zero, from minus to plus a reach.

    >>> interval(Difference(0.1, 0.05, 0.15, 4.0, 0.01, 9), 0.2, 17)
    '        | ├─●─┤  '
    """
    if found.low is None or found.high is None or reach <= 0:
        return ""
    low, middle, high = (round((value / reach + 1) * (width - 1) / 2) for value in (found.low, found.mean, found.high))
    line = [" "] * width
    line[width // 2] = "|"
    line[low : high + 1] = "─" * (high - low + 1)
    for place, sign in ((low, "├"), (high, "┤"), (middle, "●")):
        line[place] = sign
    return "".join(line)
