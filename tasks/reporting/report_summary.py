"""The top of a report: what ran and how fast, how many pairs, why some failed, how the figures are distributed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.results.layout import record_uri
from manifests.schema import ERROR_TYPES, SUCCEEDED
from tasks.ledger.query import Overview
from tasks.reporting.judging import described, figure_values
from tasks.storage.storage import Storage

BINS = 24
_OUTER_PERCENT = 1
"""Of the values at each end that may lie beyond a picture of a distribution: they are counted in its last bars."""

_REASONS = 20


class Bar(NamedTuple):
    """A bar of a distribution: between which values, and how many pairs."""

    least: float
    most: float
    pairs: int


class Distribution(NamedTuple):
    """How a figure is distributed over the succeeded pairs that have it."""

    name: str
    heading: str
    description: str
    pairs: int
    median: float
    bars: list[Bar]


class Failure(NamedTuple):
    """Pairs that failed with one error type: how many, its meaning, and messages with their pairs and some names."""

    error_type: str
    meaning: str
    pairs: int
    messages: list[tuple[str, int, list[str]]]
    others: int


@dataclass
class Summary:
    """What is counted while the rows pass; `total` of all, `shown` of those that the page is given."""

    total: int = 0
    shown: int = 0
    sound_s: float = 0.0
    runs: set[str] = field(default_factory=set)
    _values: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)

    def offer(self, piece: pa.Table) -> None:
        """Count some rows."""
        done = piece.filter(pc.equal(piece.column("status"), SUCCEEDED))
        self.total += piece.num_rows
        self.sound_s += pc.sum(done.column("duration_s")).as_py() or 0.0
        self.runs.update(pc.unique(piece.column("run_id")).drop_null().to_pylist())
        for figure in described():
            if figure["shown"]:
                values = figure_values(done, figure["name"]).astype(np.float32)
                self._values.setdefault(figure["name"], []).append(values[~np.isnan(values)])

    def distributions(self) -> list[Distribution]:
        """Return the distributions of the main figures; none of a figure that no pair has."""
        return [
            distribution(figure, np.concatenate(self._values[figure["name"]]))
            for figure in described()
            if any(map(len, self._values.get(figure["name"], ())))
        ]


def distribution(figure: dict[str, Any], values: NDArray[np.float32]) -> Distribution:
    """Return how values are distributed, between 0 and 1 at least; what lies far outside is in the last bars."""
    low, high = np.percentile(values, [_OUTER_PERCENT, 100 - _OUTER_PERCENT])
    edges = np.linspace(min(0.0, low), max(1.0, high), BINS + 1)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    bars = [Bar(float(edges[bar]), float(edges[bar + 1]), int(counts[bar])) for bar in range(BINS)]
    median = float(np.median(values))
    return Distribution(figure["name"], figure["heading"], figure["description"], len(values), median, bars)


def failures(overview: Overview) -> list[Failure]:
    """Return why pairs failed, the most frequent error type first."""
    found = []
    for kind, count in overview.failed.most_common():
        reasons = sorted(overview.reasons[kind].items(), key=lambda each: -each[1].pairs)[:_REASONS]
        messages = [(message, reason.pairs, reason.names) for message, reason in reasons]
        others = count - sum(pairs for _, pairs, _ in messages)
        found.append(Failure(kind, ERROR_TYPES.get(kind, "an error type of another version"), count, messages, others))
    return found


class RunFacts(NamedTuple):
    """What the record of the newest run says; empty where there is none."""

    run_id: str = ""
    manifest: str = ""
    started_at: str = ""
    seconds: float = 0.0
    computed: int = 0
    settings: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    device: str = ""


def run_facts(root: str, runs: Sequence[str], files: Storage) -> RunFacts:
    """Return what is known of the newest of some runs; a record that is gone, damaged or of another version is none."""
    for run_id in sorted(runs, reverse=True):
        found = files.load(record_uri(root, run_id))
        if found is None:
            continue
        try:
            return _facts(json.loads(found[0]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return RunFacts(run_id)
    return RunFacts()


def _facts(record: dict[str, Any]) -> RunFacts:
    return RunFacts(
        run_id=str(record["run_id"]),
        manifest=str(record["manifest"]),
        started_at=f"{datetime.fromisoformat(record['started_at']):%Y-%m-%d %H:%M UTC}",
        seconds=float(record["seconds"]),
        computed=int(record["computed"]),
        settings=tuple((name, _told(value)) for name, value in record["settings"].items()),
        versions=tuple((name, str(value)) for name, value in record["versions"].items()),
        device=str(record["options"]["device"]),
    )


def _told(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
