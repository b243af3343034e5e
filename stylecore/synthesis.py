"""Cross-synthesis of a batch of pairs: optimise a log-spectrogram, find a phase, optimise both together.

The whole method in the order of the paper, one step before it (stylecore/coarse.py) and one beyond it
(stylecore/refinement.py); every step is a function of tensors and settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylecore.coarse import enlarged
from stylecore.encoded import padded
from stylecore.encoder import Encoder, encoded_bins
from stylecore.lbfgs import DIVERGED, STOP_REASONS, Evaluation, Minimum, minimise_adam, minimise_lbfgs
from stylecore.losses import Objective, Problem, Target
from stylecore.phase import griffin_lim, random_phase
from stylecore.refinement import by_length, refine
from stylecore.settings import SOUNDS, Settings
from stylecore.spectrogram import Polar, at_reference_level, frame_count, log_spectrogram, magnitude, n_fft
from stylecore.terms import TERMS

OWN_SETTINGS = frozenset(
    {"notes", "strength", "iterations", "seed"}
    | {term.weight.name for term in TERMS}
    | {f"{sound}_{bound}_s" for sound in SOUNDS for bound in ("start", "end")}
)
"""What may differ between the settings of pairs in one batch."""


@dataclass(frozen=True)
class Pair:
    """One pair ready for the device: encoded targets, the content's length in samples, its own settings and seed.

    `start` is where the optimisation may begin: the log-spectrogram that the content term asks for, with phases.
    """

    content: Target
    style: Target
    n_samples: int
    settings: Settings
    start: Polar | None = None


@dataclass(frozen=True)
class Synthesis:
    """The result of one pair, at `REFERENCE_RMS` of the content.

    `waveform` `[N]`; `log_spectrogram` `[F, T]`, the log-magnitude that was optimised last, which no phase step has
    touched since; `first_terms`, the four losses without weights of the noise (`losses_of` tells those of `waveform`);
    `loss_curve`, what was minimised, after each evaluation, at half the resolution, on the log-spectrogram, on the
    sound.
    """

    waveform: Tensor
    log_spectrogram: Tensor
    first_terms: dict[str, float]
    loss_curve: list[float]
    evaluations: int
    stop_reason: str
    seconds_optimise: float
    seconds_phase: float

    @property
    def diverged(self) -> bool:
        """Whether the optimisation left the finite numbers."""
        return self.stop_reason == STOP_REASONS[DIVERGED]


def sound_log_spectrogram(samples: Tensor, sample_rate: int) -> Tensor:
    """Return the log-spectrogram `[F, T]` of one sound `[N]` at the reference level.

    Raises
    ------
    SignalError
        If the sound is silent or shorter than half a transform.
    """
    return log_spectrogram(at_reference_level(samples[None]), sample_rate)[0]


def starting_log_spectrogram(encoder: Encoder, n_bins: int, n_frames: int, settings: Settings) -> Tensor:
    """Return seeded Gaussian noise `[n_bins, n_frames]` with the mean and deviation of the network's training pictures.

    Drawn frame by frame on the CPU: it depends on shape and seed alone, not on the content, the batch or the device.
    Bins that the network does not see are silent where envelopes are levels: these know their average alone, so the
    noise would stay for good.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn((n_frames, n_bins), generator=generator).T
    start = encoder.input_mean.cpu() + noise / encoder.input_scale.cpu()
    if settings.envelopes == "level":
        start[encoded_bins(n_bins) :] = 0.0
    return start


START_NOISE = 0.1
"""Deviation of the noise around a target, as a share of that of the network's training pictures."""


def noisy_target(encoder: Encoder, target: Tensor, settings: Settings) -> Tensor:
    """Return a log-spectrogram `[F, T]` with some of the noise of `starting_log_spectrogram` on it.

    Opposed to the paper, which begins with noise alone: from there twice as many evaluations come as near
    (docs/experiments.md).
    """
    noise = starting_log_spectrogram(encoder, target.shape[0], target.shape[1], settings) - encoder.input_mean.cpu()
    return target.cpu() + START_NOISE * noise


def synthesise(pairs: Sequence[Pair], encoder: Encoder, on_step: Callable[[], None] = lambda: None) -> list[Synthesis]:
    """Synthesise a batch: one forward pass per evaluation serves all pairs, each with its own steps and stop.

    Parameters
    ----------
    pairs : sequence of Pair
        Settings may differ in `OWN_SETTINGS` only; contents may differ in length.
    encoder : Encoder
        On the device that computes.
    on_step : callable
        Called before each evaluation and each iteration of the phase; raise from it to stop.

    Returns
    -------
    list of Synthesis
        One per pair, on the CPU. A pair whose optimisation diverged says so and leaves its companions unharmed.

    Raises
    ------
    ValueError
        If the settings differ in another field, which one optimisation cannot serve.
    """
    device = encoder.input_mean.device
    began = _time_s(device)
    problem = equation_1(pairs, encoder)
    stages = optimise_log_spectrogram(pairs, problem, encoder, on_step)
    optimised = _time_s(device)
    log_spectrograms = [point[:, : pair.content.frames] for point, pair in zip(stages[-1].point, pairs, strict=True)]

    def phase(items: list[int], n_samples: int) -> Tensor:
        own = torch.stack([log_spectrograms[item] for item in items])
        settings = [pairs[item].settings for item in items]
        starts = [pairs[item].start for item in items]
        phases = [None if start is None else start.phase for start in starts]
        return reconstruct_together(own, n_samples, settings, phases, on_step)

    waveforms = by_length([pair.n_samples for pair in pairs], phase)
    phased = _time_s(device)
    if problem.settings.sound_iterations:
        waveforms, log_spectrograms, refined = refine(problem, waveforms, on_step)
        stages.append(refined)
    seconds_optimise = _time_s(device) - began - (phased - optimised)
    return [
        Synthesis(
            waveform=waveforms[item].cpu(),
            log_spectrogram=log_spectrograms[item].cpu(),
            first_terms=_named(stages[0].first_terms[item]),
            loss_curve=[total for stage in stages for total in stage.own_curve(item)],
            evaluations=sum(int(stage.evaluations[item]) for stage in stages),
            stop_reason=_stop_reason([int(stage.stop[item]) for stage in stages]),
            seconds_optimise=seconds_optimise / len(pairs),
            seconds_phase=(phased - optimised) / len(pairs),
        )
        for item in range(len(pairs))
    ]


def losses_of(pair: Pair, encoder: Encoder, waveform: Tensor) -> dict[str, float]:
    """Return the four losses, without weights, of samples `[N]` as they are heard, at the level of `Synthesis`."""
    problem = equation_1([pair], encoder)
    heard = log_spectrogram(waveform[None].to(encoder.input_mean.device), pair.settings.analysis_rate)
    return _named(problem.objective(heard).stacked[0])


def equation_1(pairs: Sequence[Pair], encoder: Encoder) -> Problem:
    """Return the objective of a batch and the weights of each pair.

    Raises
    ------
    ValueError
        If the settings differ in a field that one optimisation cannot serve.
    """
    shared = pairs[0].settings
    differing = {n for p in pairs for n, value in p.settings if value != getattr(shared, n)} - OWN_SETTINGS
    if differing:
        raise ValueError(f"pairs of one batch differ in {', '.join(sorted(differing))}")
    return Problem(
        objective=Objective(encoder, [p.content for p in pairs], [p.style for p in pairs], shared),
        weights=torch.tensor([p.settings.weights for p in pairs], device=encoder.input_mean.device),
        settings=shared,
    )


def starting_log_spectrograms(pairs: Sequence[Pair], encoder: Encoder, n_bins: int) -> Tensor:
    """Return where each pair begins, padded to the longest, `[B, n_bins, T]`, on the encoder's device."""
    starts = [
        starting_log_spectrogram(encoder, n_bins, pair.content.frames, pair.settings)
        if pair.start is None
        else noisy_target(encoder, pair.start.log_spectrogram, pair.settings)
        for pair in pairs
    ]
    return padded(starts).to(encoder.input_mean.device)


def optimise_log_spectrogram(
    pairs: Sequence[Pair], problem: Problem, encoder: Encoder, on_step: Callable[[], None]
) -> list[Minimum]:
    """Solve equation 1 of the paper for a batch of pairs, from seeded noise, at half the resolution first.

    Returns
    -------
    list of Minimum
        One per resolution; the points of the last are log-spectrograms `[B, F, T]` at the full one.
    """
    n_bins = n_fft(problem.settings.analysis_rate) // 2 + 1
    if not problem.settings.coarse_iterations:
        return [optimise(pairs, problem, starting_log_spectrograms(pairs, encoder, n_bins), on_step)]
    halves = [_halved(pair) for pair in pairs]
    coarse = optimise(
        halves, equation_1(halves, encoder), starting_log_spectrograms(halves, encoder, n_bins // 2), on_step
    )
    start = [
        enlarged(point[:, : half.content.frames], n_bins, whole.content.frames)  # its own frames: no padding comes in
        for point, half, whole in zip(coarse.point, halves, pairs, strict=True)
    ]
    return [coarse, optimise(pairs, problem, padded(start), on_step)]


def _halved(pair: Pair) -> Pair:
    content, style, settings = pair.content.halved, pair.style.halved, pair.settings
    if content is None or style is None:
        raise ValueError(f"coarse_iterations={settings.coarse_iterations}: the sounds were encoded without")
    own = settings.model_copy(update={"iterations": settings.coarse_iterations})
    return Pair(content, style, pair.n_samples, own)


def optimise(pairs: Sequence[Pair], problem: Problem, start: Tensor, on_step: Callable[[], None]) -> Minimum:
    """Solve equation 1 for a batch of pairs at one resolution, from log-spectrograms `[B, F, T]`."""

    def evaluate(point: Tensor) -> Evaluation:
        on_step()
        point = point.detach().requires_grad_()
        terms = problem.objective(point)
        total = terms.total(problem.weights)
        (gradient,) = torch.autograd.grad(total.sum(), point)
        return Evaluation(total.detach(), gradient, terms.stacked.detach())

    shared = problem.settings
    limits = torch.tensor([p.settings.iterations for p in pairs], device=start.device)
    if shared.optimiser == "adam":
        return minimise_adam(evaluate, start, limits, shared.tolerance, shared.learning_rate)
    return minimise_lbfgs(evaluate, start, limits, shared.tolerance, problem.objective.frames * start.shape[1])


def reconstruct(log_magnitude: Tensor, n_samples: int, settings: Settings, phase: Tensor | None = None) -> Tensor:
    """Return samples `[N]` for one optimised log-spectrogram `[F, T]`; as `reconstruct_together`."""
    return reconstruct_together(log_magnitude[None], n_samples, [settings], [phase])[0]


def reconstruct_together(
    log_magnitudes: Tensor,
    n_samples: int,
    settings: Sequence[Settings],
    phases: Sequence[Tensor | None],
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return samples `[B, N]` for optimised log-spectrograms `[B, F, T]` of one length, by Griffin-Lim.

    From each pair's phases, unit complex numbers `[F, T]`; where it has none, as in the paper, from random ones.
    """
    shared = settings[0]
    if log_magnitudes.shape[-1] != frame_count(n_samples, shared.analysis_rate):
        raise ValueError(f"{log_magnitudes.shape[-1]} frames do not belong to {n_samples} samples")
    shape = tuple(log_magnitudes.shape[1:])
    starts = [random_phase(shape, s.seed) if p is None else p for p, s in zip(phases, settings, strict=True)]
    return griffin_lim(
        magnitude(log_magnitudes),
        torch.stack([start.to(log_magnitudes.device) for start in starts]),
        shared.analysis_rate,
        n_samples,
        shared.griffin_lim_iterations,
        shared.griffin_lim_momentum,
        on_step,
    )


def _time_s(device: torch.device) -> float:
    """Return a clock's time once a GPU has done all that it was asked for: it works on while we go ahead."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _stop_reason(stops: Sequence[int]) -> str:
    """Return why the last stage stopped, unless an earlier one left the finite numbers."""
    return STOP_REASONS[DIVERGED if DIVERGED in stops else stops[-1]]


def _named(terms: Tensor) -> dict[str, float]:
    return dict(zip((term.name for term in TERMS), terms.tolist(), strict=True))
