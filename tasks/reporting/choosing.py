"""Which pairs a report holds with their sound: the best, the worst and some at random, and those of a blind test."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.schema import EXCERPT_SETTINGS, SUCCEEDED
from tasks.reporting.judging import BALANCE, goodness

_SEED = 0

_MOST_CONDITIONS = 8
"""Of the same sounds that are looked at: all their pairs are counted."""


class Match(NamedTuple):
    """What two results have in common that differ in how they were made: the bytes of both sounds, and what of them."""

    content: str
    style: str
    excerpts: tuple[float | None, ...]


class Candidate(NamedTuple):
    """A succeeded pair that a blind test may ask about."""

    row: int
    pair_id: str
    condition: str
    file_sha256: str


@dataclass
class Candidates:
    """Succeeded pairs of a table: how good each is, and which are made of the same sounds.

    Attributes
    ----------
    figure : str
        By which they are judged.
    rows, goodness : list of array
        Their numbers in the table, and how good they are.
    matches : dict
        By their sounds. Excerpts say which sounds are used and not how: they tell no two conditions apart.
    """

    figure: str = BALANCE
    rows: list[NDArray[Any]] = field(default_factory=list)
    goodness: list[NDArray[Any]] = field(default_factory=list)
    matches: dict[Match, list[Candidate]] = field(default_factory=dict)
    _conditions: dict[str, str] = field(default_factory=dict)

    def offer(self, piece: pa.Table, start: int) -> None:
        """Take the succeeded pairs of some rows, which begin with number `start`."""
        done = pc.equal(piece.column("status"), SUCCEEDED).to_numpy(zero_copy_only=False)
        self.rows.append(start + np.flatnonzero(done))
        self.goodness.append(goodness(piece, self.figure)[done])
        names = ("pair_id", "content_identity", "style_identity", "settings", "file_sha256", *EXCERPT_SETTINGS)
        columns = (piece.column(name).to_pylist() for name in names)
        for row, (pair_id, content, style, settings, sha256, *excerpts) in enumerate(zip(*columns, strict=True), start):
            if sha256 and content and style:
                match = Match(content, style, tuple(excerpts))
                self.matches.setdefault(match, []).append(Candidate(row, pair_id, self._condition(settings), sha256))

    def chosen(self, most: int) -> tuple[list[int], list[int], list[int]]:
        """Return the numbers of the best pairs, the best first, of the worst, the worst first, and of some at random.

        Those are always the same of a table.
        """
        ordered, rows = self._ordered(), np.concatenate([np.zeros(0, np.int64), *self.rows])
        sample = np.random.default_rng(_SEED).choice(rows, min(most, len(rows)), replace=False)
        return ordered[:most], ordered[::-1][:most], [int(row) for row in np.sort(sample)]

    def _condition(self, settings: str | None) -> str:
        """Return the settings that tell a condition, as text that sorts; of the few texts each is kept once."""
        text = settings or "{}"
        if text not in self._conditions:
            self._conditions[text] = _condition(text)
        return self._conditions[text]

    def _ordered(self) -> list[int]:
        rows, values = (np.concatenate([np.zeros(0), *arrays]) for arrays in (self.rows, self.goodness))
        known = ~np.isnan(values)
        return [int(row) for row in rows[known][np.argsort(-values[known], kind="stable")]]


def _condition(settings: str) -> str:
    """Return a record of settings without its excerpts, as text that sorts; what is no record has no settings."""
    try:
        told = json.loads(settings)
    except ValueError:
        told = None
    kept = (
        {name: value for name, value in told.items() if name not in EXCERPT_SETTINGS} if isinstance(told, dict) else {}
    )
    return json.dumps(kept, sort_keys=True)


class Trial(NamedTuple):
    """A question of a blind test: two results of the same sounds."""

    first: Candidate
    second: Candidate


class BlindTest(NamedTuple):
    """Questions, and what the two sides are called once the answers are in."""

    first: str
    second: str
    trials: list[Trial]


def trials_within(candidates: Candidates, most: int) -> BlindTest:
    """Return questions on the two settings that most sounds of a table share; none if no sounds have two."""
    shared = Counter[tuple[str, str]]()
    found: dict[tuple[str, str], list[Trial]] = {}
    for same in candidates.matches.values():
        by_condition = {one.condition: one for one in same}
        for first, second in combinations(sorted(by_condition)[:_MOST_CONDITIONS], 2):
            trial = Trial(by_condition[first], by_condition[second])
            if trial.first.file_sha256 != trial.second.file_sha256:
                shared[first, second] += 1
                found.setdefault((first, second), []).append(trial)
    if not shared:
        return BlindTest("", "", [])
    compared = shared.most_common(1)[0][0]
    first, second = _told_apart(*(json.loads(text) for text in compared))
    return BlindTest(first, second, _some(found[compared], most))


def trials_against(candidates: Candidates, others: Candidates, names: tuple[str, str], most: int) -> BlindTest:
    """Return questions on pairs of two tables that are made of the same sounds, of the same name where there is one."""
    trials = []
    for match, ours in candidates.matches.items():
        theirs = others.matches.get(match, ())
        named = {one.pair_id: one for one in theirs}
        for one in ours:
            other = named.get(one.pair_id) or next(iter(theirs), None)
            if other is not None and other.file_sha256 != one.file_sha256:
                trials.append(Trial(one, other))
                break
    return BlindTest(*names, _some(trials, most))


def _some(trials: Sequence[Trial], most: int) -> list[Trial]:
    order = np.random.default_rng(_SEED).permutation(len(trials))[:most]
    return [trials[place] for place in np.sort(order)]


def _told_apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, str]:
    """Return the settings in which two records differ, each in words.

    >>> _told_apart({"strength": 0.5, "seed": 0}, {"seed": 0})
    ('strength 0.5', 'strength as usual')
    """
    names = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    texts = [", ".join(f"{name} {one.get(name, 'as usual')}" for name in names) for one in (first, second)]
    return texts[0], texts[1]
