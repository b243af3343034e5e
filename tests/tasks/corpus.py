"""Small corpora cut from the demo sounds, and whole runs over them without Prefect."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from numpy.typing import NDArray

from manifests.files import absolute, join
from manifests.reading.reader import Manifest, read_whole
from stylecore.settings import Settings
from tasks.ledger.close import Run, RunSummary, close_run
from tasks.ledger.lease import holding, lease_uri
from tasks.options import RunOptions
from tasks.pipeline.in_process import InProcessExecutor
from tasks.pipeline.shards import Committed, compute_shards, shard_groups
from tasks.planning.plan import Plan, make_plan, plan_run
from tasks.planning.plan_table import PlannedPair, planned_pairs
from tasks.storage.storage import Storage

DEMO = Path(__file__).parents[2] / "assets" / "demo"
QUICK = Settings(sample_rate=16_000, coarse_iterations=4, iterations=6, sound_iterations=3, griffin_lim_iterations=5)
CPU = RunOptions(device="cpu")
HERE = InProcessExecutor("cpu")
"""Computes in this process; its caches last for all tests of it."""
Row = Mapping[str, Any]

_run_numbers = itertools.count()


@dataclass(frozen=True)
class Finished:
    """A whole run: its plan, what its shards committed, its summary, and the table that a user reads."""

    plan: Plan
    committed: list[Committed]
    summary: RunSummary
    table: pd.DataFrame

    def row(self, pair_id: str) -> dict[str, Any]:
        """Return the row of a pair."""
        (row,) = self.table[self.table["pair_id"] == pair_id].to_dict("records")
        return {str(name): value for name, value in row.items()}


def cut(name: str, duration_s: float = 0.4) -> tuple[NDArray[np.float64], int]:
    """Return the first part of a demo sound, `[N]`, and its sampling rate; no demo sound begins with silence."""
    rate = soundfile.info(DEMO / f"{name}.flac").samplerate
    return soundfile.read(DEMO / f"{name}.flac", frames=round(duration_s * rate))


def write_cut(path: Path, name: str, duration_s: float = 0.4) -> str:
    """Write the first part of a demo sound as a file of the format that the path's ending names."""
    samples, rate = cut(name, duration_s)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return str(path)


def write_manifest(uri: str | Path, rows: Sequence[Row]) -> str:
    """Write a manifest, local or on S3, and return its URI."""
    with Storage().writing(absolute(str(uri))) as sink:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), sink)
    return str(uri)


def read(manifest: str, settings: Settings = QUICK) -> Manifest:
    """Read a manifest as a run with these settings does."""
    return read_whole(absolute(manifest), Storage(), settings.resolve)


def begin(manifest: str, output: str | Path, settings: Settings = QUICK, options: RunOptions = CPU) -> tuple[Run, Plan]:
    """Plan a run with a new run id; it holds the lease, as if every earlier run had ended or been killed."""
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{next(_run_numbers):04d}"
    take_lease(output, run_id)
    run = Run(run_id, absolute(manifest), absolute(str(output)), settings, options, datetime.now(UTC))
    return run, plan_run(read(manifest, settings), run.output, settings, options, run_id)


def planned(
    manifest: str, output: str | Path, settings: Settings = QUICK, options: RunOptions = CPU
) -> tuple[list[PlannedPair], Plan]:
    """Plan without writing anything; the pairs in the order of their shards."""
    made, plan = make_plan(read(manifest, settings), absolute(str(output)), settings, options, Storage())
    return [pair for rows in made.rows() for pair in planned_pairs(rows)], plan


def take_lease(output: str | Path, owner: str) -> None:
    """Make a run the only holder of an output root, and leave it so."""
    files, root = Storage(), absolute(str(output))
    if files.exists(lease_uri(root)):
        files.delete(lease_uri(root))
    with holding(files, root, owner):
        entry = files.read(lease_uri(root))
    with files.writing(lease_uri(root)) as sink:
        sink.write(entry)


def compute(run: Run, plan: Plan) -> list[Committed]:
    """Compute the shards of a plan as the flow does, one group after the other, but in this process."""
    return [
        compute_shards(plan.uri, group, run.output, run.run_id, run.options, HERE)
        for group in (shard_groups(plan.shards) if plan.shards else [])
    ]


def run_all(manifest: str, output: str | Path, settings: Settings = QUICK, options: RunOptions = CPU) -> Finished:
    """Plan, compute and close a run, and read its results."""
    run, plan = begin(manifest, output, settings, options)
    committed = compute(run, plan)
    summary = close_run(run, plan, "completed")
    return Finished(plan, committed, summary, read_table(output))


def read_table(output: str | Path) -> pd.DataFrame:
    """Return the result table of an output root as a user reads it."""
    with Storage().open(join(absolute(str(output)), "results.parquet")) as source:
        return pd.read_parquet(source)


def parts(output: str | Path) -> list[str]:
    """Return the committed parts of an output root."""
    return Storage().find(join(absolute(str(output)), "results"))


def attempts(output: str | Path) -> pd.DataFrame:
    """Return every row that any run ever committed to an output root."""
    return pd.concat([pd.read_parquet(part) for part in parts(output)], ignore_index=True)


def watch_opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of what any storage opens from here on."""
    opened: list[str] = []
    opens = Storage.open

    def watched(self: Storage, uri: str) -> BinaryIO:
        opened.append(uri)
        return opens(self, uri)

    monkeypatch.setattr(Storage, "open", watched)
    return opened
