"""How much of a run its devices wait: a real `timbreflow run` over the demo's pairs, repeated with other seeds."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from benchmarks.markdown_tables import markdown
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.speed.machine import made_by

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "manifests" / "examples" / "demo.parquet"
FOLDER = ROOT / "output" / "performance" / "overlap"
STAGES = ("read", "optimise", "phase", "measure", "write")
NOTE = """\
A real `timbreflow run` of the demo's pairs, repeated with other seeds. A device waits while no shard has asked it for
anything, from its first request to its last answer; here each core is one. What other processes of the run take
of a core is not waiting: it shows as a slower `seconds_optimise` than the core's table has."""


def write_manifest(folder: Path, pairs: int) -> Path:
    """Write a manifest that repeats the demo's pairs; each repetition has a seed of its own, and so another result."""
    demo = pq.read_table(DEMO).to_pandas()
    table = pd.concat([demo] * -(-pairs // len(demo)), ignore_index=True).head(pairs)
    for side in ("content", "style"):
        table[side] = [str((DEMO.parent / path).resolve()) for path in table[side]]
    table["pair_id"] = [f"{name}-{number}" for number, name in enumerate(table["pair_id"])]
    table["seed"] = range(pairs)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pairs.parquet"
    table[["pair_id", "content", "style", "seed"]].to_parquet(path)
    return path


def run(manifest: Path, output: Path, more: Sequence[str]) -> dict[str, float]:
    """Run `timbreflow run` into a new output root; return what it cost and how long its devices waited.

    Raises
    ------
    subprocess.CalledProcessError
        If a pair failed.
    """
    shutil.rmtree(output, ignore_errors=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "flows.cli", "run", str(manifest), str(output), *more]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    (record,) = [json.loads(path.read_text()) for path in (output / "runs").iterdir()]
    rows = pd.read_parquet(output / "results.parquet")
    return {
        "pairs": float(record["computed"]),
        "audio_s": float(rows["duration_s"].sum()),
        "shards": float(rows["shard"].nunique()),
        "wall_s": wall_s,
        "run_s": float(record["seconds"]),
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "devices_waited": float(record["devices_waited"]),
        **{stage: float(rows[f"seconds_{stage}"].sum()) for stage in STAGES},
    }


def text(found: Mapping[str, float], command: str) -> str:
    """Return the block `overlap` of docs/performance.md."""
    lines = [
        ["pairs", f"{found['pairs']:.0f}"],
        ["audio, s", f"{found['audio_s']:.0f}"],
        ["shards", f"{found['shards']:.0f}"],
        ["the whole command, s", f"{found['wall_s']:.0f}"],
        ["without the start of Python and of Prefect's server, s", f"{found['run_s']:.0f}"],
        ["CPU time of all its processes, s", f"{found['cpu_s']:.0f}"],
        ["CPU time per second of audio, s", f"{found['cpu_s'] / found['audio_s']:.2f}"],
        *([f"`seconds_{stage}` of all rows, s", f"{found[stage]:.1f}"] for stage in STAGES),
        ["**share of their time in which the devices waited**", f"**{found['devices_waited']:.1%}**"],
    ]
    return f"{made_by(command)}\n\n{NOTE}\n\n{markdown(['a run', 'all of it'], lines)}"


def main() -> None:
    """Run, print the table, write JSON, and the document if asked to."""
    parser = ArgumentParser(prog="python -m benchmarks.speed.overlap", description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--document", action=BooleanOptionalAction, default=False)
    parser.add_argument("more", nargs="*", help="for `timbreflow run`, after --")
    asked = parser.parse_args()
    found = run(write_manifest(FOLDER, asked.pairs), FOLDER / "out", asked.more)
    more = ["--", *asked.more] if asked.more else []
    command = " ".join(["python -m benchmarks.speed.overlap", f"--pairs {asked.pairs}", *more])
    block = text(found, command)
    print(block)
    (FOLDER.parent / "overlap.json").write_text(json.dumps(found, indent=2))
    if asked.document:
        rewrite(DOCS / "performance.md", {"overlap": block})


if __name__ == "__main__":
    main()
