"""Results as Markdown tables, which a terminal shows as well: one per pair, and means of systems and of choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.sound.systems import System
from stylecore.figures import FIGURES

Row = Mapping[str, object]

COLUMNS = {figure.name: figure.heading for figure in FIGURES} | {"cpu_seconds_per_second": "CPU s/s"}
BANDWIDTH_ARRIVED = (0.5, 1.5)
UNKNOWN = "-"
SYSTEMS, CHOICES = "systems", "what each choice does"


def pair_table(rows: Sequence[Row]) -> str:
    """Return the table of one pair: a line per system."""
    return markdown(["system", *COLUMNS.values()], [_cells(str(row["system"]), row) for row in rows])


def mean_table(rows: Sequence[Row]) -> str:
    """Return the table of means over pairs: a line per system, in the order of their first rows.

    `bandwidth arrived` is the share of pairs within `BANDWIDTH_ARRIVED`; `pairs` counts those with a result.
    """
    names = list(dict.fromkeys(str(row["system"]) for row in rows))
    lines = []
    for name in names:
        own = [row for row in rows if row["system"] == name]
        lines.append([*_cells(name, means(own)), str(sum(row["error"] is None for row in own))])
    header = {**COLUMNS, "bandwidth_shift": "bandwidth arrived"}
    return markdown(["system", *header.values(), "pairs"], lines)


def mean_tables(rows: Sequence[Row], systems: Mapping[str, System]) -> dict[str, str]:
    """Return the means of the systems and, where there are any, of the choices beside the default."""

    def table(names: Iterable[str]) -> str:
        wanted = set(names)
        return mean_table([row for row in rows if row["system"] in wanted])

    choices = [name for name, system in systems.items() if system.group == "choice"]
    tables = {SYSTEMS: table(systems.keys() - set(choices))}
    if choices:
        tables[CHOICES] = table(["default", *choices])
    return tables


def means(rows: Sequence[Row]) -> dict[str, float | None]:
    """Return the mean of each figure over the rows where it is known; of the bandwidth, the share that arrived.

    >>> found = means([{"bandwidth_shift": 0.9, "rhythm_kept": 0.5}, {"bandwidth_shift": None, "rhythm_kept": 0.7}])
    >>> found["bandwidth_shift"], round(found["rhythm_kept"], 2), found["timbre_transfer"]
    (1.0, 0.6, None)
    """
    low, high = BANDWIDTH_ARRIVED
    shifts = [row.get("bandwidth_shift") for row in rows]
    arrived = [None if shift is None else float(low <= float(str(shift)) <= high) for shift in shifts]
    return averages(
        [{**row, "bandwidth_shift": share} for row, share in zip(rows, arrived, strict=True)], list(COLUMNS)
    )


def averages(rows: Sequence[Row], figures: Sequence[str]) -> dict[str, float | None]:
    """Return the mean of each figure over the rows where it is known, None where it is known in none.

    >>> averages([{"a": 1.0, "b": None}, {"a": 2.0}], ["a", "b"])
    {'a': 1.5, 'b': None}
    """
    known = {name: [float(str(row[name])) for row in rows if row.get(name) is not None] for name in figures}
    return {name: sum(values) / len(values) if values else None for name, values in known.items()}


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are as wide as their widest cell: the first to the left, numbers right.

    >>> print(markdown(["a", "bb"], [["x", "1"]]))
    | a |  bb |
    | - | --: |
    | x |   1 |
    """
    cells = [list(header), *map(list, lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    widths = [widths[0], *(max(width, 3) for width in widths[1:])]
    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    first, *rest = [
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in cells
    ]
    return "\n".join([first, rule, *rest])


def _cells(name: str, figures: Mapping[str, object]) -> list[str]:
    return [name, *(shown(figures.get(column)) for column in COLUMNS)]


def shown(value: object) -> str:
    """Return a figure as the tables show it.

    >>> shown(0.126), shown(-1e-9), shown(None)
    ('0.13', '0.00', '-')
    """
    return UNKNOWN if value is None else f"{round(float(str(value)), 2) + 0.0:.2f}"  # without a sign before zero
