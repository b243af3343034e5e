"""One step of a run in this process, timed: `python -m benchmarks.speed.planning_steps plan|close MANIFEST ROOT`.

The last line it prints is JSON. Linux only: its /proc tells memory and the start of the process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.speed.machine import processor_seconds
from manifests.reading.reader import read_whole
from manifests.results.history import part_uris
from stylecore.settings import Settings
from tasks.audio.sandbox import DECODERS
from tasks.ledger.close import Run, write_run_snapshot
from tasks.ledger.folding import fold
from tasks.ledger.lease import holding
from tasks.options import RunOptions
from tasks.planning import plan as planning
from tasks.planning.actions import PlanCounts
from tasks.planning.plan import Plan
from tasks.planning.plan_table import plan_uri
from tasks.storage.storage import Storage

CONTENT_MIB, STYLE_MIB = 9, 5
"""What the encodings of a content of 2.57 s and of a style take, at both resolutions."""
CACHES_MIB = (64, 128, 256)
RUN_ID = "20261124T000000-000000"
TIMED = {
    "refuse": "refuse_another_manifest",
    "catalog": "catalogued",
    "identify": "identify",
    "cut": "cut_shards",
    "fingerprint": "with_fingerprints",
    "look up": "look_up",
    "audio": "compared_with_audio",
    "choose": "choose_actions",
    "write": "write_plan",
}
"""Steps, and the functions of `tasks.planning.plan` that they are."""


def main() -> None:
    """Do what the command line says."""
    what, manifest, root = sys.argv[1:]
    imported, imports_mib = seconds_since_start(), peak_mib("self")
    figures = plan(manifest, root) if what == "plan" else close(root)
    children = sum(peak_mib(str(pid)) for pid in DECODERS.pids())
    figures["steps"] = {"import": imported, **figures.get("steps", {})}
    figures |= {"imports_mib": imports_mib, "peak_mib": figures.pop("own_peak_mib") + children}
    print(json.dumps(figures))


def plan(manifest: str, root: str) -> dict[str, Any]:
    """Plan a run as the flow does, and say what came of it."""
    steps: dict[str, float] = {}
    for step, name in TIMED.items():
        setattr(planning, name, _timed(getattr(planning, name), step, steps))
    began, files, settings = time.perf_counter(), Storage(), Settings()
    pairs = read_whole(manifest, files, settings.resolve)
    steps["read"] = time.perf_counter() - began
    parts = len(part_uris(files, root))
    with holding(files, root, RUN_ID):
        _timed(fold, "fold", steps)(files, root, RUN_ID)
        planned = planning.plan_run(pairs, root, settings, RunOptions(device="cpu"), RUN_ID)
    seconds = seconds_since_start()
    steps["rest"] = time.perf_counter() - began - sum(steps.values())
    figures = {
        "seconds": seconds,
        "cpu_s": processor_seconds(),
        "own_peak_mib": peak_mib("self"),
        "steps": steps,
        "plan": planned.uri,
        "shards": len(pq.ParquetFile(planned.uri).read(["shard"]).column("shard").unique()),
        "counts": vars(planned.counts),
        "parts": parts,
    }
    return {**figures, **_order(planned.uri)}


def close(root: str) -> dict[str, Any]:
    """Write the snapshot of a planned run as the flow does at its end; the first run of the benchmark has no plan."""
    run = Run(RUN_ID, "", root, Settings(), RunOptions(device="cpu"), datetime.now(UTC))
    began = time.perf_counter()
    with holding(Storage(), root, RUN_ID):
        write_run_snapshot(run, Plan(plan_uri(root, RUN_ID), (), PlanCounts(), 0.0, 0.0, None))
    return {"seconds": time.perf_counter() - began, "cpu_s": time.process_time(), "own_peak_mib": peak_mib("self")}


def peak_mib(process: str) -> float:
    """Return the highest resident memory of a process so far, in MiB; what its parent had is not in it."""
    status = Path("/proc", process, "status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def seconds_since_start() -> float:
    """Return how long this process has been there, in s, to a hundredth."""
    started_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - started_ticks / os.sysconf("SC_CLK_TCK")


def _order(uri: str) -> dict[str, Any]:
    """Return the number of sounds, and the encodings that caches of some sizes would leave to compute."""
    table = pq.read_table(uri, columns=["content", "style"])
    content, style = (table[name].combine_chunks().dictionary_encode() for name in ("content", "style"))
    codes = content.indices.to_numpy().astype(np.int64), style.indices.to_numpy() + len(content.dictionary)
    by_style = np.lexsort((codes[0], codes[1]))
    return {
        "sounds": len(content.dictionary) + len(style.dictionary),
        "encodings": {
            size: {
                "strips": encodings(codes[0].tolist(), codes[1].tolist(), size),
                "by style": encodings(codes[0][by_style].tolist(), codes[1][by_style].tolist(), size),
            }
            for size in CACHES_MIB
        },
    }


def encodings(contents: list[int], styles: list[int], cache_mib: int) -> int:
    """Return how many sounds one process encodes for pairs in order, with a least-recently-used cache."""
    held: dict[int, int] = {}
    free, computed = cache_mib, 0
    for pair in zip(contents, styles, strict=True):
        for sound, size in zip(pair, (CONTENT_MIB, STYLE_MIB), strict=True):
            if held.pop(sound, 0):
                held[sound] = size
                continue
            held[sound] = size
            computed, free = computed + 1, free - size
            while free < 0:
                oldest = next(iter(held))
                free += held.pop(oldest)
    return computed


def _timed(function: Callable[..., Any], step: str, steps: dict[str, float]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        result = function(*arguments)
        steps[step] = time.perf_counter() - began
        return result

    return timed


if __name__ == "__main__":
    main()
