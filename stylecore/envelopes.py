"""Energy envelopes over time and over frequency (Verma & Smith 2018, section 4).

The Gram matrix has no order in time and, with few bands, little in frequency; the two envelopes put back the dynamics
and the averaged timbre.

`energy` is the paper's: energies per frame and per bin, compared as they are. They say nothing of what is 30 dB under
the loudest partial. `log`, the default, compares logarithms, at several resolutions; together the two envelopes then
say: in every narrow band the style's level on average, and the content's quick rises and falls (docs/method.md).
`level`, that of the preset `paper`, is the paper's two envelopes and no others, as logarithms: the level of each frame,
and the average level of each bin and band. It compares no average energies: a single loud cell of the log-spectrogram
is the cheapest way to raise one, and is heard as a blip.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from stylecore.encoder import encoded_bins
from stylecore.spectrogram import MAGNITUDE_FLOOR, magnitude

Scale = Literal["log", "energy", "level"]

BROAD_BANDS = 16
"""Bands of 500 Hz up to 8 kHz. The average energy is compared, not the average level: the loudest frames decide it."""

LOUDNESS_EXPONENT = 0.5
"""A frame counts in a spectral envelope by its amplitude to this power: a pause says nothing about a timbre."""


def level(energy: Tensor) -> Tensor:
    """Return `log(1 + energy / floor^2)`: in nepers of energy, zero for silence and smooth there."""
    return torch.log1p(energy / MAGNITUDE_FLOOR**2)


def band_energies(log_spectrogram: Tensor, bands: int) -> Tensor:
    """Return the energy of log-spectrograms `[B, F, T]` in bands of equal width, `[B, bands, T]`, without 0 Hz."""
    power = magnitude(log_spectrogram[:, 1:]).square()
    height = -(-power.shape[1] // bands)
    power = torch.nn.functional.pad(power, (0, 0, 0, -power.shape[1] % height)) if power.shape[1] % height else power
    return power.unflatten(1, (-1, height)).sum(2)


def temporal_envelope(log_spectrogram: Tensor, scale: Scale) -> Tensor:
    """Return the temporal energy envelope of log-magnitude log-spectrograms `[B, F, T]`.

    `energy`, `[B, 1, T]`: `e[t] = sum_f |S[f, t]|^2`; `log` and `level`, `[B, 1, T]`: the level of that.
    """
    heard = _encoded(log_spectrogram) if scale == "level" else log_spectrogram
    energy = magnitude(heard).square().sum(1, keepdim=True)
    return energy if scale == "energy" else level(energy)


def rhythm_envelopes(log_spectrogram: Tensor, mask: Tensor | None, bands: int, reach: int) -> Tensor:
    """Return how the level of each frequency band rises and falls around its own local mean, `[B, bands, T]`.

    Rhythm without timbre: what is slower than the local mean, such as how a note of this instrument decays, is left
    to the style. Opposed to the paper, which has the energy of the whole frame alone (`bands = 0`): there the loudest
    partial hides when a quieter one begins.

    Parameters
    ----------
    log_spectrogram : Tensor
        Log-magnitudes, `[B, F, T]`.
    mask : Tensor or None
        `[B, 1, T]`, one on an item's own frames; None when every frame is.
    bands : int
        Of equal width.
    reach : int
        The local mean is over so many frames on both sides; 0 for the whole sound.
    """
    if bands == 0:
        return log_spectrogram[:, :0]
    levels = level(band_energies(log_spectrogram, bands))
    own = levels.new_ones(levels.shape[0], 1, levels.shape[2]) if mask is None else mask
    if reach == 0:
        return (levels - (levels * own).sum(2, keepdim=True) / own.sum(2, keepdim=True)) * own
    width = 2 * reach + 1
    sums = torch.nn.functional.avg_pool1d(levels * own, width, 1, reach)
    return (levels - sums / torch.nn.functional.avg_pool1d(own, width, 1, reach).clamp_min(1e-6)) * own


def frame_weights(log_spectrogram: Tensor, scale: Scale) -> Tensor:
    """Return how much each frame of log-spectrograms `[B, F, T]` counts in a spectral envelope, `[B, 1, T]`, sum 1."""
    if scale == "energy":  # energies weigh themselves
        return log_spectrogram.new_full(
            (len(log_spectrogram), 1, log_spectrogram.shape[-1]), 1.0 / log_spectrogram.shape[-1]
        )
    loudness = magnitude(log_spectrogram).square().sum(1, keepdim=True) ** (LOUDNESS_EXPONENT / 2)
    total = loudness.sum(2, keepdim=True)
    return torch.where(total > 0, loudness / total.clamp_min(1e-30), 1.0 / log_spectrogram.shape[-1])


def spectral_envelope(
    log_spectrogram: Tensor, weights: Tensor, scale: Scale, bands: int, broad_bands: int = BROAD_BANDS
) -> tuple[Tensor, ...]:
    """Return the spectral energy envelope of log-spectrograms `[B, F, T]`: averages over time, at some resolutions.

    `energy`: the energy of each bin, `[B, F]`. `log`: the log-spectrogram itself, `[B, F]`, so that every partial
    counts, down to the floor; the level of each of `bands` narrow bands, `[B, bands]`; the level of the average energy
    of each broad band, `[B, broad_bands]`. `level`: the first two of these.

    Parameters
    ----------
    log_spectrogram : Tensor
        `[B, F, T]`.
    weights : Tensor
        Of the frames, of sum 1, zero where padded, `[B, 1, T]`.
    scale : {"log", "energy", "level"}
        Which.
    bands, broad_bands : int
        How many; no narrow ones with 0.
    """
    if scale == "energy":
        return ((magnitude(log_spectrogram).square() * weights).sum(2),)
    bins = (log_spectrogram * weights).sum(2)
    banded = _encoded(log_spectrogram) if scale == "level" else log_spectrogram
    narrow = (level(band_energies(banded, bands)) * weights).sum(2) if bands else log_spectrogram[:, :0, 0]
    if scale == "level":
        return bins, narrow
    return bins, narrow, level((band_energies(log_spectrogram, broad_bands) * weights).sum(2))


def _encoded(log_spectrogram: Tensor) -> Tensor:
    """Return the bins that the network sees: in the others no content keeps a weak temporal envelope from a whistle."""
    return log_spectrogram[:, : encoded_bins(log_spectrogram.shape[1])]


def resampled(envelope: Tensor, n_frames: int) -> Tensor:
    """Stretch a temporal envelope `[B, K, T]` to `n_frames` (for the paper's reference, the style's envelope)."""
    return torch.nn.functional.interpolate(envelope, n_frames, mode="linear", align_corners=True)
