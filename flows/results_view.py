"""Results for people: what failed comes first, then the figures of what succeeded, then where to listen."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from manifests.schema import ERROR_TYPES
from stylecore.figures import FIGURES
from tasks.ledger.query import SHOWN, Overview, Reason

TITLE = "Transferred: 0 is the content, 1 the style. Kept: 1 is the content's."
LONGEST_HEADING = 7
HEADINGS = [
    heading if len(heading) <= LONGEST_HEADING else f"{heading[: LONGEST_HEADING - 2]}."
    for heading in (figure.heading for figure in FIGURES if figure.shown)
]
NARROWEST_NAME = 16
"""Columns that the names of pairs have at least; where a terminal is too narrow, it breaks the lines."""


def failures(overview: Overview, most: int) -> Text:
    """Return why pairs failed: each error type with at most so many messages, each message with its pairs."""
    text, total = Text(), overview.succeeded + overview.failed.total()
    if overview.failed:
        text.append(f"{overview.failed.total()} of {total} pairs FAILED\n", style="bold red")
    for kind, count in overview.failed.most_common():
        text.append(f"  {kind}", style="red").append(f", {_pairs(count)}: {ERROR_TYPES.get(kind, 'unknown')}\n")
        told = sorted(overview.reasons[kind].items(), key=lambda each: -each[1].pairs)[:most]
        for message, reason in told:
            text.append(f"    {' '.join(message.split())}  [{_named(reason)}]\n")
        left = count - sum(reason.pairs for _, reason in told)
        if left:
            text.append(f"    and {_pairs(left)} more\n")
    return text


def succeeded(overview: Overview, room: int) -> Table:
    """Return the pairs that succeeded with their figures and seconds, and the means of all.

    Figures are never cut: a name is folded if it is longer than what they leave of a terminal's columns.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)  # the box draws a space between columns
    figures = [[number(row[name]) for name in SHOWN] + [number(row["seconds_total"], 1)] for row in overview.rows]
    means = [*(number(overview.means[name]) for name in SHOWN), ""]
    headings = [*HEADINGS, "s"]
    widths = [max(map(len, column)) for column in zip(headings, means, *figures, strict=True)]
    taken = sum(widths) + len(widths) + 2
    table.add_column("pair", overflow="fold", max_width=max(NARROWEST_NAME, room - taken))
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(heading, justify="right", no_wrap=True, min_width=width)
    for row, cells in zip(overview.rows, figures, strict=True):
        table.add_row(Text(str(row["pair_id"])), *cells)
    table.add_section()
    table.add_row("mean" if overview.succeeded == 1 else f"mean of {overview.succeeded}", *means)
    return table


def listening(overview: Overview) -> Text:
    """Return where to listen, and whose audio is gone, a line each; to be printed without wrapping."""
    text = Text("Listen:\n" if overview.rows else "")
    for row in overview.rows:
        text.append(f"  {row['pair_id']}: ")
        if row["fingerprint"] in overview.missing:
            text.append(f"no audio any more at {row['output']}\n", style="red")
        else:
            text.append(f"{row['output']}\n")
    left = overview.succeeded - len(overview.rows)
    if left:
        text.append(f"and {_pairs(left)} more\n")
    if overview.missing:
        lost = f"{len(overview.missing)} of {overview.succeeded} succeeded pairs have no audio any more: "
        text.append(f"{lost}the next run computes them again\n", style="bold red")
    return text


def number(value: object, digits: int = 2) -> str:
    """Return a figure for a cell; `-` where there is none."""
    return f"{value:.{digits}f}" if isinstance(value, float) else "-"


def cell(value: object) -> str:
    """Return a value of any column for a cell.

    >>> cell(0.1234), cell(3), cell(None), cell("a")
    ('0.12', '3', '-', 'a')
    """
    return number(value) if value is None or isinstance(value, float) else str(value)


def _named(reason: Reason) -> str:
    left = reason.pairs - len(reason.names)
    return ", ".join(reason.names) + (f" and {left} more" if left else "")


def _pairs(count: int) -> str:
    return f"{count} pair" if count == 1 else f"{count} pairs"
