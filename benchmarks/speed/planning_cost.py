"""What planning a corpus costs, and closing it: `python -m benchmarks.speed.planning_cost --rows 1000000 [--document]`.

A manifest of contents x styles, as many real sounds as it names, and a history of as many rows as it has pairs are
made; then the functions of the flow plan and close a run, in a fresh process each, through the same calls as the flow.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.speed.machine import machine, made_by
from benchmarks.speed.planning_data import make_corpus, make_folded_history, make_history
from benchmarks.speed.planning_steps import CONTENT_MIB, STYLE_MIB

OUTPUT = Path("output/performance/planning.json")
SHARES = (100, 10, 1)
"""The asked-for rows are divided by these: planned are a hundredth, a tenth, and all."""

SHARD_ROWS = 23
PARTS, ONE_FILE, FOLDED, SHARDS = "parts of 2,500 rows", "one file", "as runs leave it", "a part for each shard"
LAYOUTS = {
    PARTS: lambda root, plan: make_history(root, plan, 2_500),
    ONE_FILE: lambda root, plan: make_history(root, plan, None),
    FOLDED: lambda root, plan: make_folded_history(root, plan, SHARD_ROWS),
    SHARDS: lambda root, plan: make_history(root, plan, SHARD_ROWS),
}
"""Files that a history lies in, and what makes them."""

MOST_SHARDS = 5_000
"""Runs fold their parts: more of them are met only in an output root of an earlier version, and not measured."""

STEPS = {
    "import": "importing",
    "read": "reading and checking the manifest",
    "fold": "folding small parts of the history",
    "refuse": "comparing it with the newest results",
    "catalog": "identifying its sounds",
    "identify": "reading those of failed pairs again",
    "cut": "cutting shards",
    "fingerprint": "fingerprints",
    "look up": "looking them up in the history",
    "audio": "looking for the audio of the results",
    "choose": "choosing what to do",
    "write": "writing the plan",
    "rest": "the rest",
}


_NOTE = """\
From the start of the process to the written plan, on a local disk; the history has a row for every pair. A run commits
a part for each shard, 23 pairs of 2.57 s, and makes one file of 256 small ones whenever it renews `results.parquet`: so
it leaves some hundred files of a million pairs (*as runs leave it*). `timbreflow gc` makes *one file* of all. *A part
for each shard* is what runs of earlier versions left; they are folded first. *New*: sounds and files are met for the
first time. *Met before*: sounds are remembered, and the manifest is compared with the newest results. *Files* are those
of the history before planning. Memory is that of the planning process and its decoders together, at their highest each;
CPU time is that of both. The snapshot is `results.parquet`, as it is written at a run's end."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="pairs of the largest manifest")
    parser.add_argument("--document", action="store_true", help="rewrite the block in docs/performance.md")
    asked = parser.parse_args(arguments)
    measured = [figures for share in SHARES for figures in measure(asked.rows // share)]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps({"machine": machine(), "runs": measured}, indent=2))
    text = report(measured, f"python -m benchmarks.speed.planning_cost --rows {asked.rows}")
    print(text)
    if asked.document:
        rewrite(DOCS / "performance.md", {"planning": text})


def measure(rows: int) -> list[dict[str, Any]]:
    """Plan a manifest of `rows` pairs over histories that are laid out differently, and close a run of each.

    Each is planned twice: the second run finds its parts and its sounds remembered, and the results of the first.
    """
    with tempfile.TemporaryDirectory(prefix="timbreflow-planning-") as folder:
        manifest = make_corpus(Path(folder), rows)
        first = in_fresh_process("plan", manifest, str(Path(folder) / "first"))
        figures = []
        for layout in (one for one in LAYOUTS if one != SHARDS or rows <= MOST_SHARDS * SHARD_ROWS):
            root = Path(folder) / "history"
            LAYOUTS[layout](root, first["plan"])
            for known in (False, True):
                planned = in_fresh_process("plan", manifest, str(root))
                closed = in_fresh_process("close", manifest, str(root))
                figures.append({"rows": rows, "known": known, "layout": layout, "planned": planned, "closed": closed})
            shutil.rmtree(root)
    return figures


def in_fresh_process(what: str, manifest: str, root: str) -> dict[str, Any]:
    """Return what `benchmarks.speed.planning_steps` says of one step of a run."""
    command = [sys.executable, "-m", "benchmarks.speed.planning_steps", what, manifest, root]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"planning_cost: {done.stderr.strip().splitlines()[-1]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def report(measured: Sequence[dict[str, Any]], command: str) -> str:
    """Return the tables, in Markdown; the last runs are of the largest manifest, in the order of `measure`."""
    largest = [run for run in measured if run["rows"] == measured[-1]["rows"]]
    return "\n\n".join([made_by(command), _planning(measured), _steps(largest), _order(measured[-1])])


def _planning(measured: Sequence[dict[str, Any]]) -> str:
    head = [
        "| pairs | sounds | history | files | plan, s | CPU, s | peak memory, MiB | of which imports | "
        "per further pair, bytes | shards | snapshot, s | its peak, MiB |",
        "| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines = []
    for run in measured:
        plan, closed = run["planned"], run["closed"]
        lines.append(
            f"| {run['rows']:,} | {plan['sounds']:,} | {_history(run)} | {plan['parts']:,} | "
            f"{plan['seconds']:.1f} | {plan['cpu_s']:.1f} | {plan['peak_mib']:.0f} | {plan['imports_mib']:.0f} | "
            f"{_further(run, measured)} | {plan['shards']:,} | {closed['seconds']:.1f} | {closed['peak_mib']:.0f} |"
        )
    return "\n".join([_NOTE, "", *head, *lines])


def _further(run: dict[str, Any], measured: Sequence[dict[str, Any]]) -> str:
    """Return the memory that each pair takes beyond those of the next smaller manifest over a like history."""
    alike = [other for other in measured if (other["layout"], other["known"]) == (run["layout"], run["known"])]
    smaller = [other for other in alike if other["rows"] < run["rows"]]
    if not smaller:
        return ""
    mib = run["planned"]["peak_mib"] - smaller[-1]["planned"]["peak_mib"]
    return f"{mib * 2**20 / (run['rows'] - smaller[-1]['rows']):.0f}"


def _history(run: dict[str, Any]) -> str:
    return f"{run['layout']}, {'met before' if run['known'] else 'new'}"


def _steps(runs: Sequence[dict[str, Any]]) -> str:
    head = f"| seconds, {runs[0]['rows']:,} pairs | {' | '.join(map(_history, runs))} |\n| --- |{' ---: |' * len(runs)}"
    rows = [
        f"| {meaning} | {' | '.join(format(run['planned']['steps'].get(step, 0.0), '.2f') for run in runs)} |"
        for step, meaning in STEPS.items()
    ]
    return "\n".join([head, *rows])


def _order(run: dict[str, Any]) -> str:
    counted = run["planned"]["encodings"]
    head = "| encodings computed, by cache of a process | " + " | ".join(f"{size} MiB" for size in counted) + " |"
    line = f"| --- |{' ---: |' * len(counted)}"
    names = {"strips": "in the order of the plan", "by style": "sorted by style, then content"}
    rows = [
        f"| {meaning} | " + " | ".join(f"{counts[name]:,}" for counts in counted.values()) + " |"
        for name, meaning in names.items()
    ]
    note = (
        f"How often one process that computes all {run['rows']:,} pairs would encode a sound, with {CONTENT_MIB} MiB "
        f"per content and {STYLE_MIB} MiB per style; there are {run['planned']['sounds']:,} sounds."
    )
    return "\n".join([note, "", head, line, *rows])


if __name__ == "__main__":
    main()
