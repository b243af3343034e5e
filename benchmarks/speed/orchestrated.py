"""One run whose pairs cost nothing: `python -m benchmarks.speed.orchestrated SAMPLE MANIFEST OUTPUT RESULT`.

It is the flow as a user runs it, with Prefect's own server, in a process of its own whose memory is the flow's alone.
Reading, planning, committing and the snapshot are real. Nothing is computed or measured: every pair gets the result of
one that was computed before, with a file of its own size.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from unittest.mock import patch

from prefect.client.orchestration import get_client

from benchmarks.speed.machine import peak_bytes, processor_seconds
from flows.cross_synthesis import cross_synthesis
from flows.environment import reach_server
from stylecore.settings import Settings
from tasks.devices.device_pool import DevicePool, Slot
from tasks.devices.executors import SynthesisRequest
from tasks.ledger.close import RunSummary
from tasks.options import RunOptions
from tasks.pair_state import PairState
from tasks.pipeline import shards

SHARD_AUDIO_S = 60.0
"""Audio of a shard, as it is by default in a large corpus."""
SHARD_WORK_S = 30.0
"""What such a shard asks of a core where a second of audio costs half a second."""
RECORDS_SETTLE_S = 20.0


class Nothing:
    """Computes nothing (`tasks.devices.executors.Executor`), and notes when it was first and last asked."""

    def __init__(self, sample: PairState, slots: int) -> None:
        self.devices, self.sample = DevicePool(["cpu"] * slots), sample
        self.first = self.last = 0.0

    def synthesise(self, batch: SynthesisRequest, slot: Slot) -> None:
        """Give every pair the sample's samples."""
        self.first = self.first or time.perf_counter()
        for outcome in batch.outcomes:
            outcome.rendered = self.sample.rendered
            outcome.seconds.update(self.sample.seconds)

    def measure(self, outcomes: Sequence[PairState]) -> None:
        """Give every pair the sample's figures and file."""
        for outcome in outcomes:
            outcome.measurement = self.sample.measurement
        self.last = time.perf_counter()


def run(sample: PairState, manifest: str, output: str) -> dict[str, float]:
    """Run a manifest, and return what it took: seconds, shards, tasks of Prefect's, and the peak of memory."""
    options = RunOptions(device="cpu", threads=1, shard_audio_s=SHARD_AUDIO_S)
    nothing = Nothing(sample, shards.shards_at_a_time(options))
    began = time.perf_counter()
    if (problem := reach_server()) is not None:
        raise RuntimeError(problem)
    reached, cpu_s = time.perf_counter(), processor_seconds()
    with patch.object(shards, "subprocess_executor", lambda _: nothing):
        state = cross_synthesis(manifest, output, Settings(), options, return_state=True)
    ended, cpu_s = time.perf_counter(), processor_seconds() - cpu_s
    summary = cast(RunSummary, state.result())
    return {
        "slots": len(nothing.devices),
        "pairs": summary.computed,
        "failed": summary.failed,
        "shards": len(list(Path(output).glob("results/run_id=*/part-*.parquet"))),
        "tasks": _recorded_tasks(),
        "seconds_server": reached - began,
        "seconds_before": nothing.first - reached,
        "seconds_shards": nothing.last - nothing.first,
        "seconds_after": ended - nothing.last,
        "cpu_s": cpu_s,
        "peak_mib": peak_bytes() / 2**20,
    }


def _recorded_tasks() -> int:
    """Return how many tasks the server knows of, once that no longer changes: it takes records in later."""
    count, deadline = -1, time.monotonic() + RECORDS_SETTLE_S
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            before, count = count, client.request("POST", "/task_runs/count", json={}).json()
            if count == before:
                break
            time.sleep(3)
    return count


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    sample, manifest, output, result = argv
    outcome = pickle.loads(Path(sample).read_bytes())
    Path(result).write_text(json.dumps(run(outcome, manifest, output)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
