"""Optimise a picture together with its phase: the losses are those of the sound that the two make.

A picture optimised alone is the STFT of no sound: overlapping frames contradict each other, and Griffin-Lim can only
settle on something else than what was asked for. Opposed to the paper, which ends there, the picture is therefore
optimised further through the projection on possible STFTs,

    argmin_(x, phi)  L(log(1 + |STFT(y)| / floor)) + kappa |  |STFT(y)| - M |^2 / |M|^2,    y = ISTFT(M exp(i phi)),

with `L` equation 1 of the paper and `M` the magnitude of the picture `x`. What is lowered is the loss of what is heard;
the last term keeps picture and sound the same thing (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stylecore.encoded import EPSILON, padded
from stylecore.lbfgs import Evaluation, Minimum, minimise_lbfgs
from stylecore.losses import Problem
from stylecore.spectrogram import istft, log_magnitude, magnitude, stft

SMOOTHING = 1e-5
"""A magnitude is `sqrt(|S|^2 + SMOOTHING^2)`, far below the floor of the picture: smooth at silence."""


def sound_of(picture: Tensor, phase: Tensor, sample_rate: int, n_samples: int) -> Tensor:
    """Return the samples `[N]` that a picture `[F, T]` makes with a phase `[F, T]` in radians."""
    return istft(torch.polar(magnitude(picture), phase)[None], sample_rate, n_samples)[0]


def refine(
    problem: Problem, waveforms: Sequence[Tensor], on_step: Callable[[], None]
) -> tuple[list[Tensor], list[Tensor], Minimum]:
    """Optimise the pictures of a batch of sounds together with their phases.

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
        Samples `[N]` and pictures `[F, T]` of each pair, and the minimum, whose points are `[B, 2, F, T]`: picture and
        phase.
    """
    settings = problem.settings
    sample_rate = settings.sample_rate
    spectra = [stft(waveform[None], sample_rate)[0] for waveform in waveforms]
    frames = [spectrum.shape[-1] for spectrum in spectra]
    start = padded([torch.stack([log_magnitude(spectrum.abs()), spectrum.angle()]) for spectrum in spectra])

    def evaluate(point: Tensor) -> Evaluation:
        on_step()
        point = point.detach().requires_grad_()
        heard, distances = [], []
        for (picture, phase), waveform, own in zip(point, waveforms, frames, strict=True):
            sound = sound_of(picture[:, :own], phase[:, :own], sample_rate, len(waveform))
            spectrum = stft(sound[None], sample_rate)[0]
            found = (spectrum.real.square() + spectrum.imag.square() + SMOOTHING**2).sqrt()
            asked = magnitude(picture[:, :own])
            distances.append((found - asked).square().sum() / (asked.detach().square().sum() + EPSILON))
            heard.append(log_magnitude(found))
        terms = problem.objective(padded(heard))
        total = terms.total(problem.weights) + settings.consistency * torch.stack(distances)
        (gradient,) = torch.autograd.grad(total.sum(), point)
        return Evaluation(total.detach(), gradient, torch.stack(terms, dim=1).detach())

    limits = torch.full((len(waveforms),), settings.sound_iterations, device=start.device)
    unknowns = torch.tensor([2 * spectrum.numel() for spectrum in spectra], device=start.device)
    minimum = minimise_lbfgs(evaluate, start, limits, settings.tolerance, unknowns)
    pictures = [point[0, :, :own] for point, own in zip(minimum.point, frames, strict=True)]
    sounds = [
        sound_of(picture, point[1, :, :own], sample_rate, len(waveform))
        for picture, point, own, waveform in zip(pictures, minimum.point, frames, waveforms, strict=True)
    ]
    return sounds, pictures, minimum
