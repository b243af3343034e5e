"""What a note may sound like in another recording: level, tuning, equaliser, noise, moment.

A network that knows one soundfont by its equaliser and its noise knows nothing of the instrument; each crop is heard
through another chain (docs/experiments.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylecore.spectrogram import HOP_S, at_reference_level, log_magnitude, stft

CROP_FRAMES = 128
CENTS = 50.0
EQUALISER_DB = 9.0
EQUALISER_KNOTS = 6
LEVEL_DB = 10.0
NOISE_SNR_DB = (15.0, 70.0)


def augmented_pictures(notes: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Return a random crop of each note through a random chain, `[B, 257, 128]` from samples `[B, N]`."""
    n_samples = round((CROP_FRAMES - 1) * HOP_S * sample_rate)
    crops = at_reference_level(_retuned_crops(notes, n_samples, generator) + 1e-7)
    crops = _with_noise(crops, generator)
    spectrum = stft(crops, sample_rate).abs()
    return log_magnitude(spectrum * _equaliser(len(notes), spectrum.shape[1], generator))


def plain_pictures(notes: Tensor, sample_rate: int) -> Tensor:
    """Return the first 1.28 s of each note as it was rendered, `[B, 257, 128]`: what evaluation hears."""
    n_samples = round((CROP_FRAMES - 1) * HOP_S * sample_rate)
    return log_magnitude(stft(at_reference_level(notes[:, :n_samples] + 1e-7), sample_rate).abs())


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, generator=generator)


def _retuned_crops(notes: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
    """Cut at a random moment, read at a random speed of +-50 cents (linear interpolation)."""
    speed = 2.0 ** (_uniform(len(notes), -CENTS, CENTS, generator) / 1200.0)
    latest = notes.shape[1] - n_samples * 2.0 ** (CENTS / 1200.0) - 2
    # Half of the crops begin with the attack, where instruments differ most; the others anywhere in the first second.
    start = (_uniform(len(notes), -1.0, 1.0, generator).clamp_min(0.0)) * min(latest, sample_limit(notes))
    position = start + torch.arange(n_samples) * speed
    left = position.long()
    fraction = position - left
    return notes.gather(1, left) * (1.0 - fraction) + notes.gather(1, left + 1) * fraction


def sample_limit(notes: Tensor) -> float:
    """Return the latest start of a crop in samples: beyond it most notes have died away."""
    return notes.shape[1] * 0.4


def _with_noise(crops: Tensor, generator: torch.Generator) -> Tensor:
    snr_db = _uniform(len(crops), *NOISE_SNR_DB, generator)
    noise = torch.randn(crops.shape, generator=generator)
    return crops + noise * crops.square().mean(1, keepdim=True).sqrt() * 10.0 ** (-snr_db / 20.0)


def _equaliser(count: int, n_bins: int, generator: torch.Generator) -> Tensor:
    """Return gains `[B, F, 1]`: a random smooth curve over frequency and a random level."""
    knots_db = EQUALISER_DB * torch.randn(count, 1, EQUALISER_KNOTS, generator=generator) / 2.0
    curve_db = torch.nn.functional.interpolate(knots_db, n_bins, mode="linear", align_corners=True)[:, 0]
    # Knots evenly spaced in the square root of frequency: finer where partials are dense.
    warped = (torch.linspace(0.0, 1.0, n_bins).sqrt() * (n_bins - 1)).long()
    level_db = _uniform(count, -LEVEL_DB, LEVEL_DB, generator)
    return (10.0 ** ((curve_db[:, warped] + level_db) / 20.0))[:, :, None]
