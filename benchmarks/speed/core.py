"""What a second of audio costs, stage by stage: `python -m benchmarks.speed.core`.

Pairs of demo sounds go through the project's own functions, from file to committed row, for several sizes of batch and
numbers of threads. Nothing is shared between pairs here: each reads, encodes and measures both of its sounds, which a
run does once per sound. What an evaluation asks of a machine is counted, and a large matrix product is timed before and
after, with as many threads.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.markdown_tables import markdown
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.sound.quality import changes
from benchmarks.speed.clips import CLIP_S
from benchmarks.speed.counting import Work, matrix_rate, work_of
from benchmarks.speed.machine import machine, made_by
from benchmarks.speed.stages import STAGES, Corpus, Cost, computed, first_batch, planned_corpus, warm_up
from stylecore.encoder import Encoder
from stylecore.folded_alexnet import load_encoder
from stylecore.settings import Settings, SettingsError
from tasks.devices.freed_memory import keep_freed_memory

OUT = Path("output/performance/core.json")
BATCHES = (1, 4, 16)
THREADS = (1, 2)
PAIRS = 16
GIGA = 1e9


class CoreMeasurement(NamedTuple):
    """One size of batch with one number of threads.

    `per_second` holds what each stage costs per second of audio; `evaluations` are those of a pair; rates are
    floating-point operations per second of wall time, of the optimisation and of a large matrix product.
    """

    batch: int
    threads: int
    per_second: Mapping[str, Cost]
    evaluations: float
    core_rate: float
    matrix_rate: float

    @property
    def total(self) -> Cost:
        """What all stages together cost per second of audio."""
        return Cost(*(sum(parts) for parts in zip(*self.per_second.values(), strict=True)))

    def as_json(self) -> dict[str, object]:
        """Return it in JSON's types."""
        stages = {stage: cost._asdict() for stage, cost in {**self.per_second, "total": self.total}.items()}
        return {**self._asdict(), "per_second": stages}


def measured(corpus: Corpus, work: Work, batch: int, threads: int, folder: Path, encoder: Encoder) -> CoreMeasurement:
    """Compute a corpus from files to rows, and return what it cost.

    Parameters
    ----------
    corpus : Corpus
        Planned pairs.
    work : Work
        Of one of them, as counted.
    batch, threads : int
        Pairs in one tensor; threads of PyTorch.
    folder : Path
        Takes the results; used once.
    encoder : Encoder
        The network's filters.
    """
    torch.set_num_threads(threads)
    before = matrix_rate()
    clock, evaluations = computed(corpus, batch, str(folder), encoder)
    after = matrix_rate()
    return CoreMeasurement(
        batch=batch,
        threads=threads,
        per_second={stage: clock.spent[stage].times(1.0 / corpus.audio_s) for stage in STAGES},
        evaluations=evaluations / corpus.pairs,
        core_rate=work.flops_per_evaluation * evaluations / clock.spent["optimise"].wall_s,
        matrix_rate=(before + after) / 2,
    )


def cost_table(measurements: Sequence[CoreMeasurement], field: str) -> str:
    """Return what each stage costs per second of audio: `cpu_s` or `wall_s`, a line per measurement."""
    lines = []
    for found in measurements:
        costs = [*(found.per_second[stage] for stage in STAGES), found.total]
        lines.append([_name(found), *(f"{getattr(cost, field):.3f}" for cost in costs)])
    return markdown(["batch, threads", *STAGES, "together"], lines)


def rate_table(measurements: Sequence[CoreMeasurement]) -> str:
    """Return how near the optimisation comes to a large matrix product."""
    lines = [
        [
            _name(found),
            f"{found.evaluations:.0f}",
            f"{found.core_rate / GIGA:.1f}",
            f"{found.matrix_rate / GIGA:.1f}",
            f"{100 * found.core_rate / found.matrix_rate:.0f} %",
        ]
        for found in measurements
    ]
    return markdown(["batch, threads", "evaluations", "GFLOP/s", "of a matrix product", "share"], lines)


def _name(found: CoreMeasurement) -> str:
    return f"{found.batch}, {found.threads}"


def block(measurements: Sequence[CoreMeasurement], work: Work, corpus: Corpus, command: str) -> str:
    """Return what docs/performance.md says of the core."""
    conditions = (
        f"{corpus.pairs} pairs of demo sounds, {corpus.audio_s / corpus.pairs:.2f} s each, by size of batch and number "
        "of threads; every pair reads, encodes and measures both of its sounds, which a run does once per sound. "
        "`optimise` and `phase` share the processor's time of a synthesis as they share its wall time. Best: "
        f"**{min(found.total.cpu_s for found in measurements):.2f}** CPU seconds per second of audio."
    )
    counted = (
        f"Counted, per evaluation of a pair, forward and backward: {work.flops_per_evaluation / GIGA:.2f} GFLOP in "
        f"convolutions and matrix products; {work.n_bytes / work.evaluations / GIGA:.2f} GB read and written by single "
        f"operations. {work.evaluations:.0f} evaluations make {work.flops / GIGA:.0f} GFLOP per pair. GFLOP/s are per "
        "second of wall time of `optimise`; the matrix product is one of 2,048 x 2,048, float32, timed in the same run."
    )
    tables = "\n\n".join(
        [
            f"CPU seconds per second of audio:\n\n{cost_table(measurements, 'cpu_s')}",
            f"Wall seconds per second of audio:\n\n{cost_table(measurements, 'wall_s')}",
            f"{counted}\n\n{rate_table(measurements)}",
        ]
    )
    return f"{made_by(command)}\n\n{conditions}\n\n{tables}"


def write_report(path: Path, measurements: Sequence[CoreMeasurement], work: Work, corpus: Corpus, command: str) -> None:
    """Write all figures as JSON."""
    report = {
        "command": command,
        "machine": machine(),
        "settings": corpus.settings.model_dump(mode="json"),
        "pairs": corpus.pairs,
        "audio_s": corpus.audio_s,
        "work_of_a_pair": {**work._asdict(), "flops_per_evaluation": work.flops_per_evaluation},
        "measurements": [found.as_json() for found in measurements],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text}: numbers from 1, separated by commas")
    return numbers


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.core", description="Measure the core, stage by stage."
    )
    add = parser.add_argument
    add("--out", type=Path, default=OUT, help="the JSON to write; default: %(default)s")
    add("--pairs", type=int, default=PAIRS, help="pairs that each batch size computes; default: %(default)s")
    add("--seconds", type=float, default=CLIP_S, help="length of each sound; default: %(default)s")
    add("--batches", type=_numbers, default=BATCHES, help="sizes of batches; default: 1,4,16")
    add("--threads", type=_numbers, default=THREADS, help="numbers of threads; default: 1,2")
    add("--set", action="append", default=[], dest="changes", help="change a setting, for trying: --set iterations=5")
    add("--document", action="store_true", help="write the tables into docs/performance.md")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    asked = _arguments(argv)
    command = shlex.join(["python", "-m", "benchmarks.speed.core", *argv])
    try:
        settings = Settings().resolve(changes(asked.changes))
    except SettingsError as error:
        sys.exit(f"core: {error}")
    with tempfile.TemporaryDirectory() as name:
        torch.set_num_threads(1)
        keep_freed_memory()  # as a device process does
        folder, encoder = Path(name), load_encoder()
        warm_up(folder / "warm-up", settings, encoder)
        corpus = planned_corpus(folder, asked.pairs, asked.seconds, settings)
        work = work_of(first_batch(corpus, 1, encoder), encoder)
        measurements = []
        for threads, batch in itertools.product(asked.threads, asked.batches):
            measurements.append(measured(corpus, work, batch, threads, folder / f"{batch}-{threads}", encoder))
            print(f"batch, threads: {batch}, {threads}: {measurements[-1].total}", flush=True)
    write_report(asked.out, measurements, work, corpus, command)
    text = block(measurements, work, corpus, command)
    print(f"\n{text}")
    if asked.document:
        rewrite(DOCS / "performance.md", {"core": text})


if __name__ == "__main__":
    main(sys.argv[1:])
