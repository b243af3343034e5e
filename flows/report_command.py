"""`timbreflow report`: the listening report of an output root."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import console, refusing
from tasks.options import MOST_REPORT_PAIRS, REPORT_PAIRS

EPILOG = "Example: `timbreflow report results/ --best 12`"

_BEST = "The best pairs that have their sound in it; as many of the worst, and at random."
_BY = "Figure that says which are the best, such as timbre_transfer; by default balance, of all main ones."
_AGAINST = "Another output root of the same sounds, for a blind test of the two."
_PRESIGN = "Sign all addresses for so long: for a private bucket."


def report(
    root: Annotated[str, typer.Argument(help="Output root: a folder or s3://; or a snapshot of one.")],
    best: Annotated[int, typer.Option(min=0, max=MOST_REPORT_PAIRS, help=_BEST)] = REPORT_PAIRS,
    by: Annotated[str | None, typer.Option(help=_BY)] = None,
    against: Annotated[str | None, typer.Option(help=_AGAINST)] = None,
    presign: Annotated[float | None, typer.Option(metavar="HOURS", help=_PRESIGN)] = None,
) -> None:
    """Write the listening report of ROOT, ROOT/report/index.html: it opens from a disk, a server or a bucket."""
    with refusing():
        from tasks.reporting.judging import BALANCE
        from tasks.reporting.listening_report import Asked, write_report

        with console.status("writing the report"):
            written = write_report(root, Asked(best, by or BALANCE, against, presign))
    console.print(written.sentence(), soft_wrap=True, markup=False, highlight=False)
