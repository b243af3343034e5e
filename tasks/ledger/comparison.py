"""Two tables of results, pair by pair: how the figures differ, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from stylecore.figures import FIGURES
from stylecore.paired_differences import Difference, paired_difference
from tasks.ledger.query import ResultTable
from tasks.ledger.selection import Selection, selected
from tasks.storage.storage import Storage

COMPARED = tuple(figure.name for figure in FIGURES)

_SIDES = ("content", "style")


class ComparedFigure(NamedTuple):
    """A figure of the pairs that both tables have it for: its means in A and B, and the difference B - A."""

    name: str
    mean_a: float
    mean_b: float
    difference: Difference


class ResultComparison(NamedTuple):
    """How pairs were matched, how many of each table succeeded, how many in both, and each figure."""

    matched_by: str
    succeeded: tuple[int, int]
    pairs: int
    figures: tuple[ComparedFigure, ...]


def compared(one: ResultTable, other: ResultTable, files: Storage) -> ResultComparison:
    """Compare the succeeded pairs of two tables.

    Pairs are matched by their names; if none is in both, by their two sounds, where each pair of sounds is there once.

    Raises
    ------
    ManifestError
        If a table has no figures.
    OSError
        If one cannot be read.
    """
    tables = [_succeeded(table, files) for table in (one, other)]
    for keys in (("pair_id",), _SIDES):
        both = _joined(tables, keys)
        if both.num_rows:
            break
    figures = [_compared(name, both) for name in COMPARED]
    return ResultComparison(
        " and ".join(keys),
        (tables[0].num_rows, tables[1].num_rows),
        both.num_rows,
        tuple(figure for figure in figures if figure is not None),
    )


def _succeeded(table: ResultTable, files: Storage) -> pa.Table:
    wanted = Selection("status = 'succeeded'", None, ("pair_id", *_SIDES, *COMPARED))
    with selected(table, files, wanted) as rows:
        return rows.read_all()


def _joined(tables: Sequence[pa.Table], keys: Sequence[str]) -> pa.Table:
    """Return the figures of pairs that are in both tables once, as `a.<figure>` and `b.<figure>`."""
    columns = ", ".join(f'{side}."{name}" as "{side}.{name}"' for side in "ab" for name in COMPARED)
    names = ", ".join(keys)
    with duckdb.connect(config={"enable_external_access": "false"}) as database:
        for side, table in zip("ab", tables, strict=True):
            database.register(f"table_{side}", table)
            database.execute(
                f"create view {side} as select * from table_{side} qualify count(*) over (partition by {names}) = 1"
            )
        return database.sql(f"select {columns} from a join b using ({names})").to_arrow_table()


def _compared(name: str, both: pa.Table) -> ComparedFigure | None:
    """Return how a figure differs; None where no pair has it in both."""
    values = np.stack([both.column(f"{side}.{name}").to_numpy().astype(np.float64) for side in "ab"])
    before, after = values[:, np.isfinite(values).all(axis=0)]
    difference = paired_difference(after, before)
    return None if difference is None else ComparedFigure(name, float(before.mean()), float(after.mean()), difference)
