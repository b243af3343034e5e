"""`timbreflow results` and `timbreflow compare`: looking at tables of results."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from flows.terminal import console, errors, refuse, refusing, show

if TYPE_CHECKING:
    from tasks.ledger.query import Overview, ResultTable
    from tasks.ledger.selection import Selection
    from tasks.storage.storage import Storage

SHOWN_ROWS = 50
"""Of a table of results; the means are of all."""

SHOWN_REASONS = 5
"""Messages of each error type that are shown; all of `--status failed` that there is room for."""


def results(
    output: Annotated[str, typer.Argument(help="Output root: a folder or s3://; or a table of one, .parquet.")],
    status: Annotated[str | None, typer.Option(help="Only rows with this status: succeeded or failed.")] = None,
    where: Annotated[str | None, typer.Option(help='Rows: a condition of SQL, "melody_kept < 0.5".')] = None,
    sort: Annotated[str | None, typer.Option(help="Their order: `melody_kept desc, pair_id`.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns, by commas; yours too.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help=f"Most rows; without --csv {SHOWN_ROWS}.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV, of all rows.")] = False,
) -> None:
    """Show the newest results of OUTPUT: what failed and why, the figures of what succeeded, and where to listen.

    With --where, --sort, --columns, --limit or --csv: a table of rows. Conditions are DuckDB's SQL over the columns of
    docs/results.md and your own.
    """
    if status not in (None, "succeeded", "failed"):
        refuse(f"--status {status}: expected succeeded or failed")
    with refusing():
        from tasks.ledger.query import find_table, lost_audio, read_overview
        from tasks.storage.storage import Storage

        files = Storage()
        table = find_table(output, files)
        if csv or not (where is sort is columns is limit is None):
            from tasks.ledger.selection import DEFAULT_COLUMNS, Selection

            conditions = [f"({one})" for one in (status and f"status = '{status}'", where) if one]
            names = DEFAULT_COLUMNS if columns is None else tuple(name.strip() for name in columns.split(","))
            wanted = Selection(" and ".join(conditions) or None, sort, names, limit)
            (_write_csv if csv else _show_rows)(table, files, wanted)
            return
        overview = read_overview(table, files, SHOWN_ROWS)
        overview.missing = lost_audio(table, files)
        show_overview(overview, status)


def show_overview(overview: Overview, status: str | None = None) -> None:
    """Print what failed and why, the figures of what succeeded, and where to listen; or one of the two alone."""
    from flows.results_view import TITLE, failures, listening, succeeded

    if not {"succeeded": overview.succeeded, "failed": overview.failed, None: True}[status]:
        errors.print(f"No pair has {status}.")
    if status != "succeeded" and overview.failed:
        most = SHOWN_REASONS if status is None else SHOWN_ROWS
        console.print(failures(overview, most), soft_wrap=True)
    if status != "failed" and overview.succeeded:
        console.print(TITLE, soft_wrap=True, highlight=False)
        show(succeeded(overview, console.width))
        console.print(listening(overview), soft_wrap=True)


def _write_csv(table: ResultTable, files: Storage, wanted: Selection) -> None:
    from pyarrow import csv

    from tasks.ledger.selection import selected

    with selected(table, files, wanted) as rows, csv.CSVWriter(sys.stdout.buffer, rows.schema) as sink:
        for batch in rows:
            sink.write_batch(batch)


def _show_rows(table: ResultTable, files: Storage, wanted: Selection) -> None:
    from dataclasses import replace
    from itertools import islice

    from flows.results_view import cell
    from tasks.ledger.selection import selected

    most = wanted.limit or SHOWN_ROWS
    shown, found = Table(*wanted.columns), 0
    with selected(table, files, replace(wanted, limit=most + 1)) as rows:
        for row in islice((row for batch in rows for row in batch.to_pylist()), most + 1):
            found += 1
            if found <= most:
                shown.add_row(*(Text(cell(value)) for value in row.values()))
    if not found:
        errors.print("No rows.")
        return
    show(shown)
    if found > most and wanted.limit is None:
        console.print(f"The first {most} rows; --limit shows more, --csv all.")


def compare(
    root_a: Annotated[str, typer.Argument(help="Output root, or a table of one.")],
    root_b: Annotated[str, typer.Argument(help="The other one.")],
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV instead.")] = False,
) -> None:
    """Compare the figures of the pairs that two results share: ROOT_B less ROOT_A, and whether it is more than chance.

    Pairs are matched by their names, or by their sounds where no name is in both. Intervals hold the true mean with a
    confidence of 95 %.
    """
    with refusing():
        from flows.comparison_view import comparison_table
        from stylecore.paired_differences import Difference
        from tasks.ledger.comparison import compared
        from tasks.ledger.query import find_table
        from tasks.storage.storage import Storage

        files = Storage()
        found = compared(find_table(root_a, files), find_table(root_b, files), files)
        if not found.pairs:
            refuse(f"{root_a} and {root_b} share no succeeded pair, by name or by sounds")
    if csv:
        import csv as text

        sink = text.writer(sys.stdout, lineterminator="\n")
        sink.writerow(["figure", "mean_a", "mean_b", "difference", *Difference._fields[1:]])
        sink.writerows([*one[:3], *one.difference] for one in found.figures)
        return
    succeeded = " and ".join(map(str, found.succeeded))
    console.print(
        f"{found.pairs} pairs in both, matched by {found.matched_by}; {succeeded} succeeded.", highlight=False
    )
    show(comparison_table(found.figures, console.width))
