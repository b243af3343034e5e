"""Optimise a log-spectrogram together with its phase: the losses are those of the sound that the two make.

A log-spectrogram optimised alone is the STFT of no sound: overlapping frames contradict each other, and Griffin-Lim can
only settle on something else than what was asked for. Opposed to the paper, which ends there, the log-spectrogram is
therefore optimised further through the projection on possible STFTs,

    argmin_(x, phi)  L(log(1 + |STFT(y)| / floor)) + kappa |  |STFT(y)| - M |^2 / |M|^2,    y = ISTFT(M exp(i phi)),

with `L` equation 1 of the paper and `M` the magnitude of the log-spectrogram `x`. What is lowered is the loss of what
is heard; the last term keeps log-spectrogram and sound the same thing (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from stylecore.encoded import EPSILON, padded
from stylecore.lbfgs import Evaluation, Minimum, minimise_lbfgs
from stylecore.losses import Problem
from stylecore.spectrogram import frame_count, istft, log_magnitude, magnitude, stft

SMOOTHING = 1e-5
"""A magnitude is `sqrt(|S|^2 + SMOOTHING^2)`, far below the floor of the log-spectrogram: smooth at silence."""


def sounds_of(points: Tensor, sample_rate: int, n_samples: int) -> Tensor:
    """Return the samples `[B, N]` that log-spectrograms and phases in radians make, stacked as `[B, 2, F, T]`."""
    return istft(torch.polar(magnitude(points[:, 0]), points[:, 1]), sample_rate, n_samples)


def by_length(lengths: Sequence[int], transform: Callable[[list[int], int], Tensor]) -> list[Tensor]:
    """Return one result per item, of a transform that serves all items of a length at once.

    >>> by_length([3, 5, 3], lambda items, length: torch.tensor([[item, length] for item in items]))[1]
    tensor([1, 5])
    """
    found: dict[int, Tensor] = {}
    for length in dict.fromkeys(lengths):
        items = [item for item, own in enumerate(lengths) if own == length]
        found.update(zip(items, transform(items, length), strict=True))
    return [found[item] for item in range(len(lengths))]


def refine(
    problem: Problem, waveforms: Sequence[Tensor], on_step: Callable[[], None]
) -> tuple[list[Tensor], list[Tensor], Minimum]:
    """Optimise the log-spectrograms of a batch of sounds together with their phases.

    Parameters
    ----------
    problem : Problem
        Equation 1 for these pairs; its settings hold kappa (`consistency`) and the limit (`sound_iterations`).
    waveforms : sequence of Tensor
        Where to start, samples `[N]` of each pair; each is transformed at its own length.
    on_step : callable
        Called before each evaluation; raise from it to stop.

    Returns
    -------
    tuple
        Samples `[N]` and log-spectrograms `[F, T]` of each pair, and the minimum, whose points are `[B, 2, F, T]`:
        log-spectrogram and phase.
    """
    settings = problem.settings
    sample_rate = settings.analysis_rate
    lengths = [len(waveform) for waveform in waveforms]
    frames = [frame_count(length, sample_rate) for length in lengths]
    spectra = by_length(lengths, lambda items, _: stft(torch.stack([waveforms[item] for item in items]), sample_rate))
    start = padded([torch.stack([log_magnitude(spectrum.abs()), spectrum.angle()]) for spectrum in spectra])

    def sounds(points: Tensor, items: list[int], length: int) -> Tensor:
        return sounds_of(points[items, :, :, : frame_count(length, sample_rate)], sample_rate, length)

    def heard(points: Tensor, items: list[int], length: int) -> Tensor:
        spectrum = stft(sounds(points, items, length), sample_rate)
        return (spectrum.real.square() + spectrum.imag.square() + SMOOTHING**2).sqrt()

    def evaluate(point: Tensor) -> Evaluation:
        on_step()
        point = point.detach().requires_grad_()
        found = padded(by_length(lengths, partial(heard, point)))
        asked = magnitude(point[:, 0])
        apart = (found - asked).square().sum((1, 2)) / (asked.detach().square().sum((1, 2)) + EPSILON)
        terms = problem.objective(log_magnitude(found))
        total = terms.total(problem.weights) + settings.consistency * apart
        (gradient,) = torch.autograd.grad(total.sum(), point)
        return Evaluation(total.detach(), gradient, terms.stacked.detach())

    limits = torch.full((len(waveforms),), settings.sound_iterations, device=start.device)
    unknowns = 2 * start.shape[2] * torch.tensor(frames, device=start.device)
    minimum = minimise_lbfgs(evaluate, start, limits, settings.tolerance, unknowns)
    log_spectrograms = [point[0, :, :own] for point, own in zip(minimum.point, frames, strict=True)]
    return by_length(lengths, partial(sounds, minimum.point)), log_spectrograms, minimum
