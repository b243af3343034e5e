"""What the search for a phase does, step by step: `python -m benchmarks.sound.phase_search`.

One log-spectrogram per pair is optimised without the last stage. Griffin-Lim finds it a phase from several starts; the
stage on the sound goes on from the default's Griffin-Lim; and, instead of that stage, the log-spectrogram is projected
on possible spectrograms while it is optimised. The result of each is measured.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.computing import computed
from benchmarks.judged_pairs import JudgedPair, PairsError, read_pairs
from benchmarks.markdown_tables import COLUMNS, Row, markdown, shown
from benchmarks.marked_tables import DOCUMENT, rewrite
from benchmarks.sound.quality import PAIRS, changes
from benchmarks.sound.systems import encoded
from stylecore import metrics
from stylecore.encoder import Encoder
from stylecore.figures import spectral_convergence_db
from stylecore.folded_alexnet import load_encoder
from stylecore.phase import griffin_lim, random_phase
from stylecore.refinement import refine
from stylecore.settings import Settings, SettingsError
from stylecore.spectrogram import at_reference_level, log_spectrogram, magnitude, stft, unit
from stylecore.synthesis import (
    Pair,
    equation_1,
    losses_of,
    optimise,
    optimise_log_spectrogram,
    reconstruct,
)
from stylecore.terms import TERMS
from tasks.audio.sound_files import SAMPLE_RATE, AudioError

OUT = Path("output/phase.json")
GRIFFIN_LIM_ITERATIONS = (16, 32, 60, 300)
MOMENTA = (0.0, 0.99)
SOUND_ITERATIONS = (10, 30, 60)
CONSISTENCIES = (0.0, 50.0, 500.0)
PROJECTIONS = 4
EVALUATIONS_BETWEEN = 10
PROJECTING_ITERATIONS = 8

FIGURES = ("timbre_transfer", "texture_transfer", "rhythm_kept", "dynamics_kept", "pitch_kept")
HEADER = ("step", "convergence dB", "loss", *(COLUMNS[name] for name in FIGURES), "CPU s/s")


@dataclass(frozen=True)
class Step:
    """One way to a sound: its name, samples `[N]`, and the log-spectrogram `[F, T]` that was asked for."""

    name: str
    samples: Tensor
    asked: Tensor


def measured(pair: JudgedPair, settings: Settings, encoder: Encoder) -> list[Row]:
    """Return a row per step, with the figures of its sound and the seconds of processor time it took."""
    synthesis_pair = encoded(settings, encoder, pair.content.samples, pair.style.samples)
    asked = _optimised(synthesis_pair, encoder)
    rows: list[Row] = [{"pair_id": pair.pair_id, **_unheard(asked, synthesis_pair, encoder)}]
    for step in _steps(pair, synthesis_pair, asked, encoder):
        began = time.process_time()
        result = step()
        seconds = time.process_time() - began
        rows.append(
            {
                "pair_id": pair.pair_id,
                **_figures(result, pair, synthesis_pair, encoder),
                "cpu_seconds_per_second": seconds / pair.content.seconds,
            }
        )
    return rows


def _steps(pair: JudgedPair, own: Pair, asked: Tensor, encoder: Encoder) -> Iterator[Callable[[], Step]]:
    content = at_reference_level(torch.from_numpy(pair.content.samples)[None])
    starts = {
        "random phase": random_phase(tuple(asked.shape), own.settings.seed),
        "content's phase": unit(stft(content, SAMPLE_RATE)[0]),
    }
    if own.start is not None:
        starts["spliced phase"] = own.start.phase
    for start, phase in starts.items():
        for momentum in MOMENTA:
            for iterations in GRIFFIN_LIM_ITERATIONS:
                name = f"Griffin-Lim, {start}, momentum {momentum:g}, {iterations} iterations"
                yield partial(_by_griffin_lim, name, asked, phase, own.n_samples, iterations, momentum)
    sound = reconstruct(asked, own.n_samples, own.settings, _phase(own))
    for consistency in CONSISTENCIES:
        for evaluations in SOUND_ITERATIONS:
            changed = own.settings.resolve({"sound_iterations": evaluations, "consistency": consistency})
            name = f"log-spectrogram and phase, consistency {consistency:g}, {evaluations} evaluations"
            yield partial(_by_refinement, name, replace(own, settings=changed), sound, encoder)
    yield partial(_by_projections, own, encoder)


def _optimised(own: Pair, encoder: Encoder) -> Tensor:
    """Return the log-spectrogram `[F, T]` as it is before a phase is looked for."""
    return optimise_log_spectrogram([own], equation_1([own], encoder), encoder, _go_on)[-1].point[0]


def _by_griffin_lim(name: str, asked: Tensor, phase: Tensor, n_samples: int, iterations: int, momentum: float) -> Step:
    sound = griffin_lim(magnitude(asked)[None], phase[None], SAMPLE_RATE, n_samples, iterations, momentum)[0]
    return Step(name, sound, asked)


def _by_refinement(name: str, own: Pair, sound: Tensor, encoder: Encoder) -> Step:
    (samples,), (asked,), _ = refine(equation_1([own], encoder), [sound], _go_on)
    return Step(name, samples.detach(), asked.detach())


def _by_projections(own: Pair, encoder: Encoder) -> Step:
    """Optimise the log-spectrogram, replaced by that of a sound between rounds; each round begins L-BFGS anew."""
    between = replace(own, settings=own.settings.resolve({"iterations": EVALUATIONS_BETWEEN}))
    projecting = own.settings.resolve({"griffin_lim_iterations": PROJECTING_ITERATIONS})
    problem = equation_1([between], encoder)
    point = optimise_log_spectrogram([between], problem, encoder, _go_on)[-1].point
    for _ in range(PROJECTIONS - 1):
        sound = reconstruct(point[0], own.n_samples, projecting, _phase(own))
        point = optimise([between], problem, log_spectrogram(sound[None], SAMPLE_RATE), _go_on).point
    name = (
        f"projection after every {EVALUATIONS_BETWEEN} of {PROJECTIONS * EVALUATIONS_BETWEEN} evaluations, Griffin-Lim"
    )
    return Step(name, reconstruct(point[0], own.n_samples, own.settings, _phase(own)), point[0])


def _phase(own: Pair) -> Tensor | None:
    return None if own.start is None else own.start.phase


def _figures(step: Step, pair: JudgedPair, own: Pair, encoder: Encoder) -> dict[str, object]:
    terms = losses_of(own, encoder, step.samples)
    heard = stft(step.samples[None], SAMPLE_RATE)[0].abs().numpy()
    compared = metrics.compare(metrics.features(step.samples.numpy()), pair.content.features, pair.style.features)
    return {
        "step": step.name,
        "spectral_convergence_db": spectral_convergence_db(heard, magnitude(step.asked).numpy()),
        "loss": _total((terms[term.name] for term in TERMS), own.settings),
        **{name: compared[name] for name in FIGURES},
    }


def _unheard(asked: Tensor, own: Pair, encoder: Encoder) -> dict[str, object]:
    """Return the row of the log-spectrogram itself, which no sound has: the loss that a phase would ideally keep."""
    terms = equation_1([own], encoder).objective(asked[None]).stacked[0]
    unknown = dict.fromkeys(("spectral_convergence_db", *FIGURES, "cpu_seconds_per_second"))
    return {"step": "none: the log-spectrogram as optimised", **unknown, "loss": _total(terms.tolist(), own.settings)}


def _total(terms: Iterable[float], settings: Settings) -> float:
    weights = settings.weights
    return sum(weight * term for weight, term in zip(weights, terms, strict=True))


def _go_on() -> None:
    """Where a run may be stopped; this one is not."""


def mean_table(rows: Sequence[Row]) -> str:
    """Return the means over pairs as a Markdown table: a line per step, in the order of their first rows."""
    names = dict.fromkeys(str(row["step"]) for row in rows)
    return markdown(HEADER, [[name, *map(shown, _means(rows, name).values())] for name in names])


def _means(rows: Sequence[Row], step: str) -> dict[str, float | None]:
    own = [row for row in rows if row["step"] == step]
    columns = ("spectral_convergence_db", "loss", *FIGURES, "cpu_seconds_per_second")
    known = {name: [float(str(row[name])) for row in own if row[name] is not None] for name in columns}
    return {name: sum(values) / len(values) if values else None for name, values in known.items()}


def write_report(path: Path, rows: Sequence[Row], settings: Settings, command: str) -> None:
    """Write all rows and their means as JSON."""
    steps = dict.fromkeys(str(row["step"]) for row in rows)
    report = {
        "command": command,
        "settings": settings.model_dump(mode="json"),
        "means": {step: _means(rows, step) for step in steps},
        "results": list(rows),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sound.phase_search", description="Measure the search for a phase."
    )
    add = parser.add_argument
    add("--pairs", type=Path, default=PAIRS, help="CSV of content, style and pair_id; default: %(default)s")
    add("--out", type=Path, default=OUT, help="the JSON to write; default: %(default)s")
    add("--limit", type=int, help="only the first so many pairs")
    add("--jobs", type=int, default=1, help="processes that compute; default: %(default)s")
    add("--set", action="append", default=[], dest="changes", help="change a setting, for trying: --set iterations=5")
    add("--document", action="store_true", help="write the table into docs/quality.md")
    asked = parser.parse_args(argv)
    for name in ("limit", "jobs"):
        if (value := getattr(asked, name)) is not None and value < 1:
            parser.error(f"{name}={value} < 1")
    return asked


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    asked = _arguments(argv)
    command = shlex.join(["python", "-m", "benchmarks.sound.phase_search", *argv])
    try:
        pairs = read_pairs(asked.pairs)[: asked.limit]
        settings = Settings(sound_iterations=0).resolve(changes(asked.changes))
    except (PairsError, AudioError, SettingsError) as error:
        sys.exit(f"phase: {error}")
    encoder = load_encoder()
    by_pair: dict[int, list[Row]] = {}
    calls = [(pair, settings, encoder) for pair in pairs]
    for index, rows in computed(measured, calls, asked.jobs, 1, partial(_warm_up, encoder)):
        by_pair[index] = rows
        print(f"[{len(by_pair)}/{len(pairs)}] {pairs[index].pair_id}", flush=True)
    rows = [row for index in range(len(pairs)) for row in by_pair[index]]
    write_report(asked.out, rows, settings, command)
    table = mean_table(rows)
    print(f"means of {len(pairs)} pairs\n{table}")
    if asked.document:
        rewrite(DOCUMENT, {"phase": f"Made by `{command}`; means of {len(pairs)} pairs.\n\n{table}"})


def _warm_up(encoder: Encoder) -> None:
    """Pay for what the libraries do on their first call, so that no pair does."""
    noise = torch.randn(SAMPLE_RATE // 2, generator=torch.Generator().manual_seed(0)).numpy()
    own = encoded(Settings(coarse_iterations=2, iterations=2, sound_iterations=2), encoder, noise, noise[::-1])
    sound = reconstruct(_optimised(own, encoder), own.n_samples, own.settings, _phase(own))
    _by_refinement("", own, sound, encoder)


if __name__ == "__main__":
    main(sys.argv[1:])
