"""What a run costs beyond its pairs: `python -m benchmarks.speed.orchestration`.

The whole flow runs (Prefect's server, plan, reading, commit, snapshot), but nothing is computed
(benchmarks/speed/orchestrated.py). What remains is what orchestration costs, per shard and per pair.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.markdown_tables import markdown
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.speed.clips import CLIP_S, ROOT, write_corpus
from benchmarks.speed.machine import machine, made_by
from benchmarks.speed.orchestrated import SHARD_AUDIO_S, SHARD_WORK_S
from benchmarks.speed.stages import planned_corpus
from flows.environment import DEFAULTS
from stylecore.settings import Settings
from tasks.cache import ByteLimitedCache
from tasks.devices.executors import SynthesisRequest
from tasks.pair_state import PairState
from tasks.pipeline.in_process import InProcessExecutor
from tasks.pipeline.inputs import read_pair
from tasks.storage.storage import Storage

OUT = Path("output/performance/orchestration.json")
PAIRS = (100, 10_000, 100_000)
MOST_SHARE = 0.02

Figures = Mapping[str, float]


def sample_outcome(folder: Path, seconds: float) -> PairState:
    """Return one pair, really computed and measured: what every pair of the runs is given."""
    corpus = planned_corpus(folder, 1, seconds, Settings(griffin_lim_iterations=2))
    here = InProcessExecutor("cpu")
    outcome = read_pair(corpus.batches(1)[0][0], Storage(), ByteLimitedCache(0))
    with here.devices.opened(), here.devices.borrowed() as slot:
        here.synthesise(SynthesisRequest([outcome], "cpu", 1, 0), slot)
    here.measure([outcome])
    if outcome.failed:
        raise RuntimeError(f"the sample failed: {outcome.error_message}")
    outcome.content, outcome.style, outcome.voices = None, None, ()
    return outcome


def measured(pairs: int, sample: Path, folder: Path, seconds: float) -> Figures:
    """Run so many pairs in a process of its own, with a Prefect of its own; return its figures."""
    manifest = write_corpus(folder / "corpus", pairs, seconds)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.orchestrated",
        sample,
        manifest,
        folder / "out",
        folder / "result.json",
    ]
    environment = {**clean, **DEFAULTS, "PREFECT_HOME": str(folder / "prefect")}
    subprocess.run([str(part) for part in command], cwd=ROOT, env=environment, check=True)
    found: dict[str, float] = json.loads((folder / "result.json").read_text())
    if found["pairs"] != pairs or found["failed"]:
        raise RuntimeError(f"{found['pairs']:.0f} of {pairs} pairs succeeded, {found['failed']:.0f} failed")
    return found


def wall_s(found: Figures) -> float:
    """Return the wall seconds of a whole run, its server's start not among them."""
    return found["seconds_before"] + found["seconds_shards"] + found["seconds_after"]


def share_of_work(found: Figures) -> float:
    """Return the wall time of the whole run, as a share of that in which its slots do 30 s of work per shard.

    >>> run = {"seconds_before": 3, "seconds_shards": 2, "seconds_after": 1, "shards": 10, "slots": 2}
    >>> round(share_of_work(run), 6)
    0.04
    """
    return wall_s(found) * found["slots"] / found["shards"] / SHARD_WORK_S


def table(results: Sequence[Figures]) -> str:
    """Return a line per number of pairs."""
    header = ["pairs", "shards", "Prefect tasks", "server s", "before s", "shards s", "after s", "pairs per s"]
    header += ["ms per shard", "CPU ms per shard", "share of wall", "share of CPU", "peak MiB"]
    return markdown(header, [_line(found) for found in results])


def _line(found: Figures) -> list[str]:
    seconds = (f"{found[f'seconds_{name}']:.1f}" for name in ("server", "before", "shards", "after"))
    return [
        *(f"{found[name]:,.0f}" for name in ("pairs", "shards", "tasks")),
        *seconds,
        f"{found['pairs'] / wall_s(found):.0f}",
        f"{1e3 * wall_s(found) / found['shards']:.0f}",
        f"{1e3 * found['cpu_s'] / found['shards']:.0f}",
        f"{100 * share_of_work(found):.1f} %",
        f"{100 * found['cpu_s'] / found['shards'] / SHARD_WORK_S:.1f} %",
        f"{found['peak_mib']:.0f}",
    ]


def block(results: Sequence[Figures], command: str) -> str:
    """Return what docs/performance.md says of orchestration."""
    most = max(found["tasks"] for found in results)
    kept = [f"{found['pairs']:,.0f}" for found in results if share_of_work(found) < MOST_SHARE]
    conditions = (
        f"The flow as a user runs it, with Prefect's embedded server, on shards of at most {SHARD_AUDIO_S:.0f} s of "
        f"audio: {SHARD_WORK_S:.0f} s of work where a second of audio costs half a second. Planning, committing and "
        "the snapshot are real, and so is reading, of the eight sounds that these pairs share; nothing is computed or "
        "measured, every pair gets the result of one that was computed before. `server`: until Prefect's "
        "server answers; one that runs already does so at once. `before`: manifest and plan, until the first shard is "
        "read. `after`: "
        "from the last shard's commit to the end, with the snapshot. ms per shard: of the whole run without the "
        "server's start, as if none of it overlapped with computing; most of it does. Share of wall: of the time in "
        f"which {results[0]['slots']:.0f} shards at a time are computed; of CPU: of {SHARD_WORK_S:.0f} s a shard."
    )
    said = (
        f"Under {100 * MOST_SHARE:.0f} % of the wall time with {', '.join(kept) or 'none of these numbers of'} pairs; "
        f"at most {most:,.0f} Prefect tasks in a flow. A small run pays its fixed costs with few shards."
    )
    return f"{made_by(command)}\n\n{conditions}\n\n{table(results)}\n\n{said}"


def write_report(path: Path, results: Sequence[Figures], command: str) -> None:
    """Write all figures as JSON."""
    runs = [{**found, "share_of_30_s": share_of_work(found)} for found in results]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"command": command, "machine": machine(), "runs": runs}, indent=1) + "\n")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.orchestration", description="Run pairs that cost nothing."
    )
    add = parser.add_argument
    add("--out", type=Path, default=OUT, help="the JSON to write; default: %(default)s")
    add("--pairs", type=int, nargs="+", default=PAIRS, help="numbers of pairs; default: 100 10000 100000")
    add("--seconds", type=float, default=CLIP_S, help="length of each sound; default: %(default)s")
    add("--document", action="store_true", help="write the table into docs/performance.md")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    asked = _arguments(argv)
    command = shlex.join(["python", "-m", "benchmarks.speed.orchestration", *argv])
    results = []
    with tempfile.TemporaryDirectory() as name:
        sample = Path(name) / "sample.pickle"
        sample.write_bytes(pickle.dumps(sample_outcome(Path(name) / "sample", asked.seconds)))
        for pairs in asked.pairs:
            with tempfile.TemporaryDirectory(dir=name) as folder:
                results.append(measured(pairs, sample, Path(folder), asked.seconds))
            print(f"{pairs} pairs: {wall_s(results[-1]):.1f} s", flush=True)
    write_report(asked.out, results, command)
    text = block(results, command)
    print(f"\n{text}")
    if asked.document:
        rewrite(DOCS / "performance.md", {"orchestration": text})


if __name__ == "__main__":
    main(sys.argv[1:])
