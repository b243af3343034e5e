"""What 48 kHz changes: the evaluation set and the truth set at both rates, `python -m benchmarks.sound.full_band`.

Each pair is computed at 16 kHz and at 48 kHz, and both results are judged as any result is, at 16 kHz. Above 8 kHz,
where no figure listens, third octaves of the result are compared with those of the style laid along the content.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.judged_pairs import JudgedPair, read_pairs
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.sound.evaluation_set import make_set
from benchmarks.sound.sound_sources import SourceMissing
from benchmarks.sound.truth_figures import nearness
from benchmarks.sound.truth_set import make_set as make_truth_set
from stylecore import metrics
from stylecore.alignment import lay_along
from stylecore.analysis import analyse
from stylecore.encoder import Encoder
from stylecore.figures import FIGURES
from stylecore.folded_alexnet import load_encoder
from stylecore.pairing import paired
from stylecore.settings import RATES, Settings
from stylecore.spectrogram import BIN_HZ, log_spectrogram, magnitude
from stylecore.synthesis import synthesise

LOW, HIGH = RATES[0], RATES[-1]
OUT = Path("output/full-band")
COMMAND = "python -m benchmarks.sound.full_band"
THIRD_OCTAVES_HZ = (8_980.0, 11_314.0, 14_254.0, 17_959.0)
"""Middles of the four between 8 and 20 kHz."""
HEARD_DB = -70.0
"""Under the loudest third octave of the whole band: what is fainter in the style is compared with nothing."""

HEADINGS = {figure.name: figure.heading for figure in FIGURES}

Samples = NDArray[np.float32]
FiguresOf = Callable[[NDArray[np.floating]], dict[str, float | None]]
"""Measures a result `[N]` at 16 kHz."""


class Judged(NamedTuple):
    """What came of a pair at one rate: its figures, seconds of CPU per second, and errors of third octaves in dB."""

    figures: dict[str, float | None]
    cost: float
    errors_db: tuple[float, ...] = ()


Rows = dict[str, tuple[Judged, Judged]]
"""Of each pair what came of it at 16 kHz and at 48 kHz."""


def read(path: Path, sample_rate: int) -> Samples:
    """Return a sound at another rate, `[N]`."""
    samples, own = soundfile.read(path, dtype="float32")
    return np.asarray(soxr.resample(samples, own, sample_rate, quality="HQ"), dtype=np.float32)


def judge(content: Path, style: Path, sample_rate: int, encoder: Encoder, figures_of: FiguresOf) -> Judged:
    """Compute a pair at one rate with the defaults, and measure it at 16 kHz."""
    sounds = [read(path, sample_rate) for path in (content, style)]
    settings = Settings(sample_rate=sample_rate)
    began = time.process_time()
    own, other = (analyse(torch.from_numpy(sound), sample_rate) for sound in sounds)
    (result,) = synthesise([paired(own, other, len(sounds[0]), encoder, settings)], encoder)
    cost = (time.process_time() - began) / (len(sounds[0]) / sample_rate)
    figures = figures_of(soxr.resample(result.waveform.numpy(), sample_rate, LOW, quality="HQ"))
    if sample_rate == LOW:
        return Judged(figures, cost)
    laid = lay_along(own, other, sample_rate).log_spectrogram
    found = log_spectrogram(result.waveform[None], sample_rate)[0]
    return Judged(figures, cost, errors_db(found, laid))


def figures_of_results(pair: JudgedPair) -> FiguresOf:
    """Return what gives a result of a pair the figures of the result table."""
    sounds = pair.content.samples, pair.style.samples
    return lambda heard: metrics.figures(heard, *sounds, notes="content")


def figures_towards_truth(pair: JudgedPair) -> FiguresOf:
    """Return what says how near a result of a pair is to its truth."""
    return lambda heard: nearness(heard, pair)


def errors_db(found: Tensor, wanted: Tensor) -> tuple[float, ...]:
    """Return how far the mean third octaves above 8 kHz are from those that are wanted, of log-spectrograms `[F, T]`.

    Those that are inaudible in both are left out.
    """
    powers = [magnitude(one).square().mean(1).numpy() for one in (found, wanted)]
    quiet = 10.0 ** (HEARD_DB / 10) * max(_third_octave(powers[1], middle) for middle in _all_middles())
    errors = []
    for middle in THIRD_OCTAVES_HZ:
        got, asked = (_third_octave(power, middle) for power in powers)
        if max(got, asked) > quiet:
            errors.append(float(10 * np.log10(max(got, quiet) / max(asked, quiet))))
    return tuple(errors)


def _all_middles() -> NDArray[np.float64]:
    return np.asarray(THIRD_OCTAVES_HZ[-1] * 2.0 ** (-np.arange(24) / 3))


def _third_octave(power: NDArray[np.floating], middle_hz: float) -> float:
    low, high = (round(middle_hz * 2.0 ** (side / 6) / BIN_HZ) for side in (-1, 1))
    return float(power[low : max(low + 1, high)].sum())


def table(rows: Rows) -> str:
    """Return the figures at both rates, means over the pairs, and what lies above 8 kHz, in Markdown."""
    lines = ["| figure | 16 kHz | 48 kHz | difference |", "| --- | ---: | ---: | ---: |"]
    for name in next(iter(rows.values()))[0].figures:
        known = [
            (low.figures[name], high.figures[name])
            for low, high in rows.values()
            if low.figures[name] is not None and high.figures[name] is not None
        ]
        if known:
            low, high = np.asarray(known, dtype=float).mean(axis=0)
            lines.append(f"| {HEADINGS.get(name, name)} | {low:.2f} | {high:.2f} | {high - low:+.2f} |")
    costs = [np.mean([pair[rate].cost for pair in rows.values()]) for rate in (0, 1)]
    lines.append(f"| CPU s/s, without measuring | {costs[0]:.2f} | {costs[1]:.2f} | x {costs[1] / costs[0]:.1f} |")
    errors = np.array([error for _, high in rows.values() for error in high.errors_db])
    return "\n".join(lines) + (
        f"\n\nAbove 8 kHz {len(errors)} third octaves of {len(rows)} pairs can be heard. Their mean levels are "
        f"{np.abs(errors).mean():.1f} dB from those of the laid-out style on average, and at most "
        f"{np.abs(errors).max():.1f} dB; {np.mean(np.abs(errors) <= 6):.0%} are within 6 dB."
    )


def compared_rates(pairs: Sequence[JudgedPair], figures_of: Callable[[JudgedPair], FiguresOf]) -> Rows:
    """Compute and judge pairs at both rates, and say how each went."""
    encoder, rows = load_encoder(), {}
    for number, pair in enumerate(pairs, start=1):
        judged = partial(judge, pair.content.path, pair.style.path, encoder=encoder, figures_of=figures_of(pair))
        low, high = judged(sample_rate=LOW), judged(sample_rate=HIGH)
        rows[pair.pair_id] = low, high
        shown = " ".join(f"{error:+.1f}" for error in high.errors_db)
        print(
            f"{number} of {len(pairs)}: {pair.pair_id}, third octaves above 8 kHz off by {shown or '-'} dB", flush=True
        )
    return rows


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Compare results at 48 kHz with those at 16 kHz.")
    parser.add_argument("--out", type=Path, default=OUT, help=f"default: {OUT}")
    parser.add_argument("--pairs", type=int, help="the first so many of each set")
    parser.add_argument("--document", action="store_true", help="write the tables into quality.md")
    asked = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        make_set(asked.out / "sounds", HIGH)
        make_truth_set(asked.out / "truth", sample_rate=HIGH)
    except SourceMissing as error:
        sys.exit(f"full band: {error}")
    tables = {}
    for name, folder, figures_of in (
        ("full-band", "sounds", figures_of_results),
        ("full-band-truth", "truth", figures_towards_truth),
    ):
        rows = compared_rates(read_pairs(asked.out / folder / "pairs.csv")[: asked.pairs], figures_of)
        tables[name] = f"Made by `{COMMAND} --document`.\n\n{table(rows)}"
        print(f"\n{tables[name]}\n", flush=True)
    if asked.document:
        rewrite(DOCS / "quality.md", tables)


if __name__ == "__main__":
    main(sys.argv[1:])
