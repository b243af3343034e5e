"""What a second process adds here, and what many GPUs would, on paper: `python -m benchmarks.speed.scaling`.

Measured: pairs per minute of one and of two worker processes, beside how a plain matrix product and a large sum grow
from one process to two in the same run. On paper: hours and cost of a million pairs on GPUs (projection.py).
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

import torch

from benchmarks.markdown_tables import markdown
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.sound.quality import changes
from benchmarks.speed.clips import CLIP_S
from benchmarks.speed.counting import work_of
from benchmarks.speed.machine import machine, made_by
from benchmarks.speed.projection import CORPUS, H100, Assumptions, Parts, arithmetic, hours_table
from benchmarks.speed.stages import computed, first_batch, planned_corpus, warm_up
from benchmarks.speed.two_processes import SHARD_PAIRS, Job, Kind, rate
from stylecore.folded_alexnet import load_encoder
from stylecore.settings import Settings, SettingsError

OUT = Path("output/performance/scaling.json")
PAIRS, ROUNDS = 12, 2
AMOUNTS: Mapping[Kind, int] = {"matrix": 100, "memory": 150}
WHAT: Mapping[Kind, str] = {
    "pairs": "pairs per minute",
    "matrix": "products of 2,048 x 2,048 matrices per s",
    "memory": "sums of 64 MiB vectors per s",
}
AIM = 0.9
CPU_STAGES = ("read", "measure", "write")
COUNTED_BATCHES = (1, 4)

Rates = Mapping[Kind, Sequence[tuple[float, float]]]
"""What one process and two do per second, round by round."""


def measured(jobs: Sequence[Job], rounds: int) -> Rates:
    """Return the rates of one and of two processes, all kinds in turn in each round."""
    found: dict[Kind, list[tuple[float, float]]] = {job.kind: [] for job in jobs}
    for number in range(rounds):
        for job in jobs:
            found[job.kind].append((rate(job, 1), rate(job, 2)))
            print(f"round {number + 1}: {job.kind} {found[job.kind][-1]}", flush=True)
    return found


def gain(rates: Sequence[tuple[float, float]]) -> float:
    """Return how many times as much two processes do as one: the mean of all rounds.

    >>> gain([(1.0, 1.8), (1.0, 2.0)])
    1.9
    """
    return mean(two for _, two in rates) / mean(one for one, _ in rates)


def parts_of(folder: Path, settings: Settings, pairs: int, seconds: float) -> Parts:
    """Count and measure what a pair asks for: of a device, of the host's processor and of the storage."""
    torch.set_num_threads(1)
    encoder = load_encoder()
    warm_up(folder / "warm-up", settings, encoder)
    corpus = planned_corpus(folder, pairs, seconds, settings)
    small, large = COUNTED_BATCHES
    alone, together = (work_of(first_batch(corpus, size, encoder)[:size], encoder) for size in COUNTED_BATCHES)
    per_pair = (large * together.operations - small * alone.operations) / (large - small)
    clock, _ = computed(corpus, large, str(folder / "run"), encoder)
    written = sum(path.stat().st_size for name in ("audio", "results") for path in (folder / "run" / name).rglob("*.*"))
    return Parts(
        work=together,
        operations_per_batch=alone.operations - per_pair,
        operations_per_pair=per_pair,
        host_cpu_s=sum(clock.spent[stage].cpu_s for stage in CPU_STAGES) / pairs,
        stored_bytes=written / pairs,
    )


def rate_table(rates: Rates) -> str:
    """Return a line per kind of work: what one process and two do, and the gain relative to the matrix product's."""
    lines = []
    for kind, rounds in rates.items():
        unit = 60.0 if kind == "pairs" else 1.0
        one, two = (unit * mean(ends) for ends in zip(*rounds, strict=True))
        own = gain(rounds)
        relative = f"{own / gain(rates['matrix']):.2f}"
        lines.append([WHAT[kind], f"{one:.2f}", f"{two:.2f}", f"{own:.2f}", relative])
    return markdown(["", "one process", "two", "gain", "of the matrix product's"], lines)


def block(rates: Rates, parts: Parts, assumed: Assumptions, pairs: int, command: str) -> str:
    """Return what docs/performance.md says of scaling."""
    relative = gain(rates["pairs"]) / gain(rates["matrix"])
    here = (
        f"Each process is a whole worker with a core of its own: it reads, synthesises (one thread), measures and "
        f"commits {pairs} demo pairs of its own in shards of {SHARD_PAIRS}; means of {len(rates['pairs'])} rounds. Two "
        f"workers gain {relative:.2f} of what a matrix product gains from a second process (aim: at least {AIM})."
    )
    low, high = (f"{100 * share:.0f} %" for share in assumed.sustained)
    paper = (
        f"**On paper; nothing was run on a GPU.** {CORPUS:,} pairs of 2.57 s on GPUs of the kind {H100.name}. Counted "
        f"here: {parts.work.flops / 1e9:.0f} GFLOP in convolutions and matrix products, {parts.work.n_bytes / 1e9:.1f} "
        f"GB read and written by single operations, and {parts.operations_per_batch:.0f} + B x "
        f"{parts.operations_per_pair:.0f} operations for a batch of B. Measured here: {parts.host_cpu_s:.2f} CPU s per "
        f"pair for reading, measuring and writing (without the caches of a run: at most), and "
        f"{parts.stored_bytes / 1e3:.0f} kB per pair. Assumed: {low} to {high} of what the data sheet promises is "
        f"sustained, whichever of products and memory bounds; batches of {assumed.batch}; an operation every "
        f"{1e6 * assumed.launch_s:.0f} us; a price of {assumed.price:g} per GPU and hour, as an example "
        "(`--gpu-hour-price`); GPUs that never wait, since they share nothing but the storage. A pair takes what the "
        "largest of its bounds takes:"
    )
    columns = (
        f"Hours are the largest bound x {CORPUS:,} / GPUs / 3600, cost is hours x GPUs x price. For the GPUs not to "
        "wait, hosts need as many cores for reading, measuring and writing, and the storage takes as much:"
    )
    return "\n\n".join(
        [
            made_by(command),
            here,
            rate_table(rates),
            paper,
            arithmetic(parts, H100, assumed),
            columns,
            hours_table(parts, H100, assumed),
        ]
    )


def write_report(path: Path, rates: Rates, parts: Parts, assumed: Assumptions, command: str) -> None:
    """Write all figures as JSON."""
    report = {
        "command": command,
        "machine": machine(),
        "rates_per_s": {kind: list(rounds) for kind, rounds in rates.items()},
        "gains": {kind: gain(rounds) for kind, rounds in rates.items()},
        "relative_gain": gain(rates["pairs"]) / gain(rates["matrix"]),
        "parts": {**parts._asdict(), "work": parts.work._asdict()},
        "assumed": vars(assumed),
        "gpu": H100._asdict(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.scaling", description="One process, two, and many GPUs."
    )
    add = parser.add_argument
    add("--out", type=Path, default=OUT, help="the JSON to write; default: %(default)s")
    add("--pairs", type=int, default=PAIRS, help="pairs that each worker computes; default: %(default)s")
    add("--rounds", type=int, default=ROUNDS, help="how often all is measured; default: %(default)s")
    add("--repeats", type=float, default=1.0, help="times the usual number of products and sums; default: %(default)s")
    add("--seconds", type=float, default=CLIP_S, help="length of each sound; default: %(default)s")
    add("--set", action="append", default=[], dest="changes", help="change a setting, for trying: --set iterations=5")
    add("--sustained", type=float, nargs=2, default=(0.2, 0.6), help="least and most of the peak; default: 0.2 0.6")
    add("--launch-us", type=float, default=10.0, help="microseconds per operation; default: %(default)s")
    add("--batch", type=int, default=23, help="pairs in a batch on a GPU; default: %(default)s, a shard of 60 s")
    add("--gpu-hour-price", type=float, default=3.0, help="price of an hour of a GPU; default: %(default)s")
    add("--document", action="store_true", help="write the tables into docs/performance.md")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    asked = _arguments(argv)
    command = shlex.join(["python", "-m", "benchmarks.speed.scaling", *argv])
    try:
        settings = Settings().resolve(changes(asked.changes))
    except SettingsError as error:
        sys.exit(f"scaling: {error}")
    assumed = Assumptions(tuple(asked.sustained), asked.launch_us * 1e-6, asked.batch, asked.gpu_hour_price)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [Job("pairs", asked.pairs, folder / "pairs", asked.seconds, settings)]
        jobs += [Job(kind, max(1, round(asked.repeats * amount)), folder) for kind, amount in AMOUNTS.items()]
        rates = measured(jobs, asked.rounds)
        parts = parts_of(folder / "parts", settings, max(COUNTED_BATCHES), asked.seconds)
    write_report(asked.out, rates, parts, assumed, command)
    text = block(rates, parts, assumed, asked.pairs, command)
    print(f"\n{text}")
    if asked.document:
        rewrite(DOCS / "performance.md", {"scaling": text})


if __name__ == "__main__":
    main(sys.argv[1:])
