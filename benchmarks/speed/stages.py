"""The way of a batch from files to committed rows, by the project's own functions, and what each stage of it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.sound.systems import encoded
from benchmarks.speed.clips import write_corpus
from benchmarks.speed.machine import processor_seconds
from manifests.reading.reader import read_whole
from stylecore.encoder import Encoder
from stylecore.settings import Settings
from stylecore.synthesis import Pair, Synthesis, synthesise
from tasks.cache import ByteLimitedCache
from tasks.ledger.commit import commit_shard
from tasks.ledger.lease import holding
from tasks.options import RunOptions
from tasks.pair_state import MeasurementRequest, PairState, PlannedPair
from tasks.pipeline.inputs import read_pair
from tasks.pipeline.measurement import measure
from tasks.pipeline.rendering import render
from tasks.pipeline.rows import ResultRow, RowContext, succeeded
from tasks.planning.plan import plan_run
from tasks.planning.plan_table import read_shard
from tasks.storage.storage import Storage

STAGES = ("read", "encode", "optimise", "phase", "measure", "write")
RUN = "bench"


class Cost(NamedTuple):
    """Seconds of processor time, of all threads and child processes together, and of wall time."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def times(self, factor: float) -> Cost:
        """Return a multiple of it.

        >>> Cost(4.0, 2.0).times(0.25)
        Cost(cpu_s=1.0, wall_s=0.5)
        """
        return Cost(factor * self.cpu_s, factor * self.wall_s)

    def plus(self, other: Cost) -> Cost:
        """Return the sum of two costs."""
        return Cost(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s)


class Clock:
    """Adds up costs by stage."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(STAGES, Cost())

    @contextmanager
    def timing(self, weights: Mapping[str, float]) -> Iterator[None]:
        """Charge the block to stages, in proportion to what their weights are when it ends."""
        cpu_s, wall_s = processor_seconds(), time.perf_counter()
        yield
        took_s = time.perf_counter() - wall_s
        cost = Cost(processor_seconds() - cpu_s, took_s)
        for stage, weight in weights.items():
            self.spent[stage] = self.spent[stage].plus(cost.times(weight / sum(weights.values())))


class Corpus(NamedTuple):
    """Planned pairs: where their plan lies, in one shard, their settings, how many, and the seconds of all contents."""

    plan_uri: str
    settings: Settings
    pairs: int
    audio_s: float

    def batches(self, size: int) -> list[list[PlannedPair]]:
        """Return the pairs as a run with this size of batch computes them."""
        return read_shard(self.plan_uri, 0, Storage(), size)


def planned_corpus(folder: Path, pairs: int, seconds: float, settings: Settings) -> Corpus:
    """Write and plan a corpus of demo pairs (benchmarks/speed/clips.py) under a folder."""
    manifest = read_whole(str(write_corpus(folder / "corpus", pairs, seconds)), Storage(), settings.resolve)
    options = RunOptions(device="cpu", shard_audio_s=3600)
    plan = plan_run(manifest, str(folder / "plan"), settings, options, RUN)
    return Corpus(plan.uri, settings, pairs, plan.pending_audio_s)


def computed(corpus: Corpus, size: int, root: str, encoder: Encoder) -> tuple[Clock, int]:
    """Compute a corpus from its files to committed rows under a root; return what that cost, and the evaluations."""
    clock, evaluations = Clock(), 0
    with holding(Storage(), root, RUN):
        for number, planned in enumerate(corpus.batches(size)):
            with clock.timing({"read": 1.0}):
                outcomes = [read_pair(pair, Storage(), ByteLimitedCache(0)) for pair in planned]
            with clock.timing({"encode": 1.0}):
                pairs = [_encoded(outcome, encoder) for outcome in outcomes]
            results = _synthesised(pairs, encoder, clock)
            with clock.timing({"measure": 1.0}):
                render(list(zip(outcomes, pairs, results, strict=True)), encoder, "cpu")
            measured = _measured(outcomes, RowContext(root, RUN, number, "cpu", encoder.digest), clock)
            with clock.timing({"write": 1.0}):
                commit_shard(measured, root, RUN, number, Storage())
            evaluations += sum(result.evaluations for result in results)
    return clock, evaluations


def first_batch(corpus: Corpus, size: int, encoder: Encoder) -> list[Pair]:
    """Return the first pairs of a corpus as the method takes them."""
    planned = corpus.batches(size)[0]
    return [_encoded(read_pair(pair, Storage(), ByteLimitedCache(0)), encoder) for pair in planned]


def warm_up(folder: Path, settings: Settings, encoder: Encoder) -> None:
    """Pay for what the libraries do on their first call, so that nothing measured does."""
    brief = briefly(settings)
    computed(planned_corpus(folder, 2, 0.5, brief), 2, str(folder / "run"), encoder)


def briefly(settings: Settings) -> Settings:
    """Return settings that go through every stage, and stay in none of them."""
    stages = ("coarse_iterations", "iterations", "sound_iterations")
    return settings.resolve({name: min(2, getattr(settings, name)) for name in stages})


def _encoded(outcome: PairState, encoder: Encoder) -> Pair:
    assert outcome.content is not None
    assert outcome.style is not None
    return encoded(outcome.settings, encoder, outcome.content, outcome.style)


def _synthesised(pairs: Sequence[Pair], encoder: Encoder, clock: Clock) -> list[Synthesis]:
    weights: dict[str, float] = {}
    with clock.timing(weights):
        results = synthesise(pairs, encoder)
        weights["optimise"] = sum(result.seconds_optimise for result in results)
        weights["phase"] = sum(result.seconds_phase for result in results)
    return results


def _measured(outcomes: Sequence[PairState], run: RowContext, clock: Clock) -> list[ResultRow]:
    rows = []
    for outcome in outcomes:
        weights: dict[str, float] = {}
        with clock.timing(weights), threadpool_limits(1, "blas"):  # as a measurement worker process has it
            outcome.measurement = measure(MeasurementRequest.of(outcome), ByteLimitedCache(0))
            weights.update(outcome.measurement.seconds)
            rows.append(succeeded(outcome, run))
    return rows
