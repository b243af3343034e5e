"""Cross-synthesis of a batch of pairs: encode, optimise a picture from noise, find a phase for it.

The whole method in the order of the paper; every step is a function of tensors and settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylecore.lbfgs import DIVERGED, STOP_REASONS, Evaluation, Minimum, minimise_adam, minimise_lbfgs
from stylecore.losses import ContentTarget, LossTerms, Objective, StyleTarget
from stylecore.network import Encoder
from stylecore.phase import griffin_lim, random_phase
from stylecore.settings import Settings
from stylecore.spectrogram import at_reference_level, frame_count, magnitude, n_fft, picture

OWN_SETTINGS = frozenset({"alpha", "beta", "gamma", "delta", "iterations", "seed"})
"""What may differ between the settings of pairs in one batch."""


@dataclass(frozen=True)
class Pair:
    """One pair ready for the device: encoded targets, the content's length in samples, its own settings and seed."""

    content: ContentTarget
    style: StyleTarget
    n_samples: int
    settings: Settings


@dataclass(frozen=True)
class Synthesis:
    """The result of one pair, at `REFERENCE_RMS` of the content.

    `waveform` `[N]`; `picture` `[F, T]`, the optimised log-magnitude before any phase step; `first_terms` and
    `last_terms`, the four losses without weights; `loss_curve`, the weighted total after each evaluation.
    """

    waveform: Tensor
    picture: Tensor
    first_terms: dict[str, float]
    last_terms: dict[str, float]
    loss_curve: list[float]
    evaluations: int
    stop_reason: str
    seconds_optimise: float
    seconds_phase: float

    @property
    def diverged(self) -> bool:
        """Whether the optimisation left the finite numbers."""
        return self.stop_reason == STOP_REASONS[DIVERGED]


def sound_picture(samples: Tensor, sample_rate: int) -> Tensor:
    """Return the picture `[F, T]` of one sound `[N]` at the reference level.

    Raises
    ------
    SignalError
        If the sound is silent or shorter than half a transform.
    """
    return picture(at_reference_level(samples[None]), sample_rate)[0]


def starting_picture(encoder: Encoder, n_frames: int, settings: Settings) -> Tensor:
    """Return seeded Gaussian noise `[F, T]` with the mean and deviation of the pictures the network was trained on.

    Drawn frame by frame on the CPU: it depends on shape and seed alone, not on the content, the batch or the device.
    """
    n_bins = n_fft(settings.sample_rate) // 2 + 1
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn((n_frames, n_bins), generator=generator).T
    return encoder.input_mean.cpu() + noise / encoder.input_scale.cpu()


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
    began = time.perf_counter()
    minimum = optimise(pairs, encoder, on_step)
    optimised = time.perf_counter()
    results = []
    for item, pair in enumerate(pairs):
        started = time.perf_counter()
        own = minimum.point[item, :, : pair.content.frames]
        waveform = reconstruct(own, pair.n_samples, pair.settings, on_step)
        results.append(
            Synthesis(
                waveform=waveform.cpu(),
                picture=own.cpu(),
                first_terms=_named(minimum.first_terms[item]),
                last_terms=_named(minimum.last_terms[item]),
                loss_curve=minimum.curve[: int(minimum.evaluations[item]), item].tolist(),
                evaluations=int(minimum.evaluations[item]),
                stop_reason=STOP_REASONS[int(minimum.stop[item])],
                seconds_optimise=(optimised - began) / len(pairs),
                seconds_phase=time.perf_counter() - started,
            )
        )
    return results


def optimise(pairs: Sequence[Pair], encoder: Encoder, on_step: Callable[[], None]) -> Minimum:
    """Solve equation 1 of the paper for a batch of pairs, from noise; points are pictures `[B, F, T]`."""
    shared = pairs[0].settings
    differing = {n for p in pairs for n, value in p.settings if value != getattr(shared, n)} - OWN_SETTINGS
    if differing:
        raise ValueError(f"pairs of one batch differ in {', '.join(sorted(differing))}")
    device = encoder.input_mean.device
    objective = Objective(encoder, [p.content for p in pairs], [p.style for p in pairs], shared)
    weights = torch.tensor(
        [[p.settings.alpha, p.settings.beta, p.settings.gamma, p.settings.delta] for p in pairs], device=device
    )
    limits = torch.tensor([p.settings.iterations for p in pairs], device=device)
    start = torch.nn.utils.rnn.pad_sequence(
        [starting_picture(encoder, p.content.frames, p.settings).T for p in pairs], batch_first=True
    ).transpose(1, 2)
    start = start.contiguous().to(device)

    def evaluate(point: Tensor) -> Evaluation:
        on_step()
        point = point.detach().requires_grad_()
        terms = objective(point)
        total = terms.total(weights)
        (gradient,) = torch.autograd.grad(total.sum(), point)
        return Evaluation(total.detach(), gradient, torch.stack(terms, dim=1).detach())

    if shared.optimiser == "adam":
        return minimise_adam(evaluate, start, limits, shared.tolerance, shared.learning_rate)
    return minimise_lbfgs(evaluate, start, limits, shared.tolerance, objective.frames * start.shape[1])


def reconstruct(
    log_magnitude: Tensor, n_samples: int, settings: Settings, on_step: Callable[[], None] = lambda: None
) -> Tensor:
    """Return samples `[N]` for an optimised picture `[F, T]` by Griffin-Lim from a seeded random phase."""
    if log_magnitude.shape[-1] != frame_count(n_samples, settings.sample_rate):
        raise ValueError(f"{log_magnitude.shape[-1]} frames do not belong to {n_samples} samples")
    phase = random_phase(tuple(log_magnitude.shape), settings.seed).to(log_magnitude.device)
    return griffin_lim(
        magnitude(log_magnitude)[None],
        phase[None],
        settings.sample_rate,
        n_samples,
        settings.griffin_lim_iterations,
        settings.griffin_lim_momentum,
        on_step,
    )[0]


def _named(terms: Tensor) -> dict[str, float]:
    return dict(zip(LossTerms._fields, terms.tolist(), strict=True))
