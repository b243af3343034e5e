"""What would make an evaluation faster, tried side by side: `python -m benchmarks.speed.variants`.

Each variant evaluates the same objective, gradient included, on the same pairs, in turn with the others; the fastest of
many turns counts, since other work on the machine can only slow one down. The first line is the core as it is.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.judged_pairs import JudgedPair
from benchmarks.markdown_tables import markdown
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.speed.clips import demo_pairs
from benchmarks.speed.machine import machine, made_by
from stylecore.encoded import gram, padded, relative_distance
from stylecore.encoder import Encoder
from stylecore.folded_alexnet import FoldedAlexNet
from stylecore.losses import LossTerms, Objective, Target, encode_content, encode_style
from stylecore.network import CHANNELS, AlexNet3x3, load_network
from stylecore.settings import Settings
from stylecore.spectrogram import n_fft
from stylecore.synthesis import Pair, sound_log_spectrogram, starting_log_spectrograms
from tasks.devices.freed_memory import keep_freed_memory

OUT = Path("output/performance/variants.json")
ROUNDS = 30
COMPILER = "c++"
NARROWER = ((12, 36, 72), (16, 32, 64), (8, 24, 48))
"""Filters of the first three layers, which is as deep as the default settings look; untrained, which costs the same."""

Evaluate = Callable[[Tensor], Tensor]
"""From log-spectrograms `[B, F, T]` to the totals `[B]`."""


class Variant(NamedTuple):
    """One way to evaluate: name, totals as a function of log-spectrograms, whether these are meant to be the core's.

    Another network has other totals: there is nothing to compare.
    """

    name: str
    evaluate: Evaluate
    same_network: bool = True


class Timing(NamedTuple):
    """One line of the table: fastest evaluation of a pair in ms, and how far its gradient is from the core's.

    None where the network is another.
    """

    name: str
    milliseconds: float
    gradient_error: float | None


class HalfConvolutions(FoldedAlexNet):
    """Convolutions of all layers but the first in bfloat16; what lies between them stays in float32."""

    def convolved(self, x: Tensor, layer: int) -> Tensor:
        """Return the convolution of a layer, in float32."""
        if layer == 1:
            return super().convolved(x, layer)
        filters, shifts = self.filters[layer - 1].bfloat16(), self.shifts[layer - 1].bfloat16()
        return nn.functional.conv2d(x.bfloat16(), filters, shifts, padding=1).float()

    def transposed(self, gradient: Tensor, layer: int) -> Tensor:
        """Return the gradient with respect to a layer's input, in float32."""
        if layer == 1:
            return super().transposed(gradient, layer)
        filters = self.filters[layer - 1].bfloat16()
        return nn.functional.conv_transpose2d(gradient.bfloat16(), filters, padding=1).float()


class AutogradObjective(Objective):
    """The same terms, with L_c and L_s as their formulas and the gradient left to autograd."""

    contents: Sequence[Target] = ()
    grams: Mapping[int, Tensor] = MappingProxyType({})

    def __call__(self, log_spectrogram: Tensor) -> LossTerms:
        """Return the terms of log-spectrograms `[B, F, T]` that are all of one length."""
        encoder, settings = self.batch.encoder, self.batch.settings
        encodings = encoder(log_spectrogram, None, max(*settings.content_layers, *settings.style_layers))
        kept = [target.kept["content"] for target in self.contents]
        content = []
        for layer in settings.content_layers:
            roots = padded([c["saliences"][layer] for c in kept])[:, None].sqrt()
            target = padded([c["encodings"][layer] for c in kept])
            content.append(relative_distance(encodings[layer - 1] * roots, target * roots))
        style = [
            relative_distance(gram(encodings[n - 1], None, settings.style_bands), self.grams[n])
            for n in settings.style_layers
        ]
        found = {"content": torch.stack(content).mean(0), "style": torch.stack(style).mean(0)}
        return LossTerms(found | {name: distance(log_spectrogram) for name, distance in self.distances.items()})


def variants(pairs: int, settings: Settings) -> tuple[list[Variant], Tensor]:
    """Return the variants, the core first, and the log-spectrograms `[B, F, T]` to evaluate them at."""
    network = load_network()
    encoder, halves = FoldedAlexNet(network), HalfConvolutions(network)
    rows = FoldedAlexNet(network)
    rows.to(memory_format=torch.contiguous_format)
    clips = demo_pairs(pairs)
    own = _encoded(clips, settings, encoder)
    contents, styles = [pair.content for pair in own], [pair.style for pair in own]
    weights = torch.tensor([pair.settings.weights for pair in own])

    def of(objective: Callable[[Tensor], LossTerms]) -> Evaluate:
        return lambda log_spectrogram: objective(log_spectrogram).total(weights)

    autograd = AutogradObjective(encoder, contents, styles, settings)
    autograd.contents = contents
    layers = [style.kept["style"]["grams"] for style in styles]
    autograd.grams = {n: torch.stack([grams[n] for grams in layers]) for n in settings.style_layers}
    fewer = settings.resolve({"style_layers": (1, 2)})
    listed = [
        Variant("as it is", of(Objective(encoder, contents, styles, settings))),
        Variant("gradient by autograd", of(autograd)),
        Variant("channels first", of(Objective(rows, contents, styles, settings))),
        Variant("convolutions in bfloat16", of(Objective(halves, contents, styles, settings))),
        Variant("without style in layer 3", of(Objective(encoder, contents, styles, fewer))),
    ]
    for widths in NARROWER:
        narrow = FoldedAlexNet(AlexNet3x3((*widths, *CHANNELS[len(widths) :])))
        encoded = _encoded(clips, settings, narrow)
        objective = Objective(narrow, [pair.content for pair in encoded], [pair.style for pair in encoded], settings)
        listed.append(Variant(f"{', '.join(map(str, widths))} filters", of(objective), same_network=False))
    if shutil.which(COMPILER):
        listed.append(Variant("gradient by autograd, compiled", torch.compile(of(autograd))))
    return listed, starting_log_spectrograms(own, encoder, n_fft(settings.analysis_rate) // 2 + 1)


def _encoded(clips: Sequence[JudgedPair], settings: Settings, encoder: Encoder) -> list[Pair]:
    shortest = min(len(pair.content.samples) for pair in clips)  # autograd is tried without padding
    made = []
    for seed, clip in enumerate(clips):
        content, style = (
            sound_log_spectrogram(torch.from_numpy(samples), settings.analysis_rate)
            for samples in (clip.content.samples[:shortest], clip.style.samples)
        )
        targets = encode_content(encoder, content, settings), encode_style(encoder, style, settings)
        made.append(Pair(*targets, shortest, settings.resolve({"seed": seed})))
    return made


def timed(listed: Sequence[Variant], start: Tensor, rounds: int) -> list[Timing]:
    """Time the variants in turn; the first round warms up and is not counted."""
    fastest = dict.fromkeys((variant.name for variant in listed), float("inf"))
    gradients: dict[str, Tensor] = {}
    for turn in range(rounds + 1):
        for variant in listed:
            point = start.clone().requires_grad_()
            began = time.perf_counter()
            (gradients[variant.name],) = torch.autograd.grad(variant.evaluate(point).sum(), point)
            if turn:
                fastest[variant.name] = min(fastest[variant.name], time.perf_counter() - began)
    core = gradients[listed[0].name]
    return [
        Timing(
            variant.name,
            1e3 * fastest[variant.name] / len(start),
            float((gradients[variant.name] - core).norm() / core.norm()) if variant.same_network else None,
        )
        for variant in listed
    ]


def table(timings: Sequence[Timing]) -> str:
    """Return the timings as Markdown, each beside its ratio to the core's."""
    first = timings[0].milliseconds
    rows = [
        (
            t.name,
            f"{t.milliseconds:.1f}",
            f"{t.milliseconds / first:.2f}",
            "-" if t.gradient_error is None else f"{t.gradient_error:.0e}",
        )
        for t in timings
    ]
    return markdown(("variant", "ms per evaluation of a pair", "ratio", "gradient apart"), rows)


def report(timings: Mapping[int, Sequence[Timing]], threads: int) -> dict[str, object]:
    """Return all timings by size of batch, and where they were taken, in JSON's types."""
    return {
        "machine": machine(),
        "threads": threads,
        "bins": n_fft(Settings().analysis_rate) // 2 + 1,
        "batches": {str(batch): [timing._asdict() for timing in found] for batch, found in timings.items()},
    }


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.variants", description="Try what might be faster."
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="pairs in one tensor; default: 1 4")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns that count; default: %(default)s")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON to write; default: %(default)s")
    parser.add_argument("--document", action="store_true", help="write the tables into docs/performance.md")
    asked = parser.parse_args(argv)
    keep_freed_memory()
    torch.set_num_threads(asked.threads)
    timings = {batch: timed(*variants(batch, Settings()), asked.rounds) for batch in asked.batches}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(report(timings, asked.threads), indent=1) + "\n", encoding="utf-8")
    tables = [f"Batches of {batch}, threads: {asked.threads}\n\n{table(found)}" for batch, found in timings.items()]
    text = "\n\n".join(tables)
    print(text)
    if asked.document:
        command = shlex.join(["python", "-m", "benchmarks.speed.variants", *argv])
        rewrite(DOCS / "performance.md", {"variants": f"{made_by(command)}\n\n{text}"})


if __name__ == "__main__":
    main(sys.argv[1:])
