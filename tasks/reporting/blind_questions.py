"""The questions of a report's blind test, with the sounds of both sides: two settings of a root, or two roots."""

from __future__ import annotations

import posixpath
from typing import Any

from tasks.ledger.query import ResultTable
from tasks.reporting.choosing import BlindTest, Candidates, trials_against, trials_within
from tasks.reporting.embedded_sounds import EmbeddedSounds, NotEmbedded
from tasks.reporting.report_rows import MOST_ROWS, report_rows, rows_at
from tasks.storage.storage import Storage


def blind_questions(
    table: ResultTable,
    other: ResultTable | None,
    candidates: Candidates,
    most: int,
    sounds: EmbeddedSounds,
    files: Storage,
) -> dict[str, Any]:
    """Return the questions of the blind test for the page, and write the sounds of both sides.

    Parameters
    ----------
    table, candidates
        The table that the report is of, and its succeeded pairs.
    other : ResultTable or None
        That of another output root; None: two settings of the first are compared.
    most : int
        Questions.
    sounds : EmbeddedSounds
        Writes them.
    files : Storage
        Where the tables are read.
    """
    if other is None:
        test, opposite = trials_within(candidates, most), table
    else:
        test, opposite = trials_against(candidates, _candidates(other, files), _names(table, other), most), other
    firsts = rows_at(table.uri, [trial.first.row for trial in test.trials], files)
    seconds = rows_at(opposite.uri, [trial.second.row for trial in test.trials], files)
    return {"first": test.first, "second": test.second, "trials": _questions(test, firsts, seconds, sounds, opposite)}


def _candidates(table: ResultTable, files: Storage) -> Candidates:
    found, start = Candidates(), 0
    for piece in report_rows(table.uri, files):
        if start + piece.num_rows <= MOST_ROWS:
            found.offer(piece, start)
            start += piece.num_rows
    return found


def _questions(
    test: BlindTest,
    firsts: dict[int, dict[str, Any]],
    seconds: dict[int, dict[str, Any]],
    sounds: EmbeddedSounds,
    opposite: ResultTable,
) -> list[dict[str, Any]]:
    """Return those questions whose results can both be heard."""
    found = []
    for trial in test.trials:
        try:
            sides = [sounds.pair(firsts[trial.first.row]), sounds.pair(seconds[trial.second.row], opposite.root)]
        except NotEmbedded:
            break
        if all("result" in side["tracks"] for side in sides):
            found.append({"pair_ids": [trial.first.pair_id, trial.second.pair_id], "sides": sides})
    return found


def _names(table: ResultTable, other: ResultTable) -> tuple[str, str]:
    """Return what two output roots are called: their last folders, or all of their paths where these agree."""
    roots = [each.root or each.uri for each in (table, other)]
    names = [posixpath.basename(root) for root in roots]
    return (names[0], names[1]) if names[0] != names[1] else (roots[0], roots[1])
