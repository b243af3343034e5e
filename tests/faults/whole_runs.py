"""Whole runs in this process, on real storage and with real tables, that compute next to nothing.

They are the flow without Prefect; a stand-in for the devices makes a file of each pair that depends on its fingerprint
alone. So a run takes tenths of a second, and hundreds of faults can be tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import soundfile

from flows.snapshot_refresher import refreshing_snapshot
from manifests.files import absolute, join
from manifests.results.layout import audio_uri
from stylecore.settings import Settings
from tasks.devices.device_pool import DevicePool, Slot
from tasks.devices.executors import SynthesisRequest
from tasks.ledger.close import Run, RunSummary, close_run, write_run_snapshot
from tasks.ledger.commit import ResultRow
from tasks.ledger.lease import Lease, LeaseLost, holding
from tasks.options import RunOptions
from tasks.pair_state import PairState
from tasks.pipeline.rows import RowContext, failed
from tasks.pipeline.shards import compute_shards, shard_groups
from tasks.planning.plan import plan_run
from tasks.storage.storage import Storage, StorageUnreachable
from tests.manifests.result_rows import succeeded
from tests.tasks.corpus import parts, read, write_manifest

SETTINGS = Settings()
CONTENTS, STYLES = ("low", "high", "silent"), ("bright", "dark")
KEPT = ["pair_id", "status", "error_type", "fingerprint", "file_sha256", "samples_sha256", "mood"]
"""Columns that no fault may change."""

Stage = Callable[[str], AbstractContextManager[None]]

_run_numbers = itertools.count()


class StandIn:
    """Makes a file of the fingerprint of each pair whose sounds were read (`tasks.devices.executors.Executor`)."""

    def __init__(self) -> None:
        self.devices = DevicePool(["cpu"])

    def synthesise(self, batch: SynthesisRequest, slot: Slot) -> None:
        """Leave all to `stand_in_rows`."""

    def measure(self, outcomes: Sequence[PairState]) -> None:
        """Leave all to `stand_in_rows`."""


def stand_in_rows(outcomes: Sequence[PairState], run: RowContext) -> list[ResultRow]:
    """Return rows with files for pairs that have not failed."""
    return [failed(outcome, run) if outcome.failed else _made(outcome, run) for outcome in outcomes]


def _made(outcome: PairState, run: RowContext) -> ResultRow:
    name = str(outcome.planned["fingerprint"])
    flac = f"what was made of {name}".encode()
    own = ("pair_id", "content", "style", "content_identity", "style_identity", "settings")
    row = succeeded(
        name,
        **{column: outcome.planned[column] for column in own},
        output=audio_uri(run.root, name),
        file_sha256=sha256(flac).hexdigest(),
        samples_sha256=sha256(name.encode()).hexdigest(),
    )
    return ResultRow(row, flac)


def write_corpus(folder: Path) -> tuple[str, str]:
    """Write sounds, and manifests of all pairs and of half of them; one sound is silent, so that its pairs fail.

    Each content fills a shard of one second.
    """
    for number, name in enumerate((*CONTENTS, *STYLES)):
        time_s = np.arange(16_000 if name in CONTENTS else 8_000) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * 220 * (number + 1) * time_s)
        soundfile.write(folder / f"{name}.wav", 0 * tone if name == "silent" else tone, 16_000)
    rows = [
        {"content": f"{content}.wav", "style": f"{style}.wav", "mood": f"{content} and {style}"}
        for content in CONTENTS
        for style in STYLES
    ]
    return write_manifest(folder / "all.parquet", rows), write_manifest(folder / "half.parquet", rows[::2])


def run_whole(
    manifest: str,
    output: str,
    during: Stage = lambda _: nullcontext(),
    shards: str = "0/1",
    before_closing: Callable[[], None] = lambda: None,
    settings: Settings = SETTINGS,
) -> RunSummary:
    """Do what the flow does: plan, compute shard by shard, renew the table in between, and close.

    Parameters
    ----------
    manifest, output : str
        As a user gives them.
    during : callable
        Entered with the name of each stage.
    shards : str
        The slice to work on.
    before_closing : callable
        Called when all is computed.
    settings : Settings
        For all pairs.
    """
    options = RunOptions(device="cpu", shard_audio_s=1, shards=shards)
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%S}-{next(_run_numbers):04d}"
    run, files = Run(run_id, absolute(manifest), absolute(output), settings, options, now), Storage()
    with during("lease"), holding(files, run.output, run_id, options.slice) as lease:
        with during("plan"):
            planned = plan_run(read(manifest, settings), run.output, settings, options, run_id)
        lease.agree_on(planned.shard_layout)
        try:
            for group in shard_groups(planned.shards) if planned.shards else []:
                with during("commit"), patch("tasks.pipeline.shards.rows_of", stand_in_rows):
                    compute_shards(planned.uri, group, run.output, run_id, options, StandIn())
            with during("snapshot"):
                _renew(lambda: write_run_snapshot(run, planned, lease.check), lease)
            before_closing()
            with during("close"):
                return close_run(run, planned, "completed", last=lease.begin_closing(), check=lease.check)
        except (StorageUnreachable, LeaseLost):
            raise
        except Exception as error:
            with suppress(Exception):
                close_run(run, planned, "failed", str(error), last=lease.begin_closing(), check=lease.check)
            raise


def _renew(write: Callable[[], object], lease: Lease) -> None:
    """Renew the table as a run at work does, in a thread whose failure is only told."""

    def renew() -> None:
        lease.check()
        write()

    with refreshing_snapshot(renew, 0.0) as renewal:
        renewal.tick()


def assert_whole(expected: pd.DataFrame, output: str) -> None:
    """Assert that an output root holds what an unharmed one does: each pair once, with its audio, and none twice.

    The row says where its audio lies: not at its usual address where a collection may still be about to remove that.
    """
    files = Storage()
    with files.open(join(absolute(output), "results.parquet")) as source:
        table = pd.read_parquet(source, columns=[*KEPT, "output"])
    pd.testing.assert_frame_equal(table[KEPT], expected[KEPT])
    for row in table[table["status"] == "succeeded"].to_dict("records"):
        assert sha256(files.read(row["output"])).hexdigest() == row["file_sha256"]
    assert doubled(output) == []


def doubled(output: str) -> list[str]:
    """Return the fingerprints that were computed more than once."""
    history = history_of(output, "status", "fingerprint")
    made = history[history["status"] == "succeeded"]
    return made.loc[made["fingerprint"].duplicated(), "fingerprint"].tolist()


def history_of(output: str, *columns: str) -> pd.DataFrame:
    """Return these columns of every row that any run ever committed: of a hundred, most would be read for nothing."""
    read = [pd.DataFrame(columns=columns)]
    for part in parts(output):
        with Storage().open(part) as source:
            read.append(pq.ParquetFile(source).read(columns, use_threads=False).to_pandas())
    return pd.concat(read, ignore_index=True)


def assert_no_row_without_audio(output: str) -> None:
    """Assert what the next run relies on: it takes a pair for done whose row is there."""
    made = history_of(output, "status", "output")
    there = {PurePosixPath(uri).name for uri in Storage().find(join(output, "audio"))}
    assert {PurePosixPath(uri).name for uri in made.loc[made["status"] == "succeeded", "output"]} <= there
