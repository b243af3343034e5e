"""Energy envelopes over time and over frequency (Verma & Smith 2018, section 4).

The Gram matrix has no order in time and, with few bands, little in frequency; the two envelopes put back the dynamics
and the averaged timbre.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from stylecore.spectrogram import MAGNITUDE_FLOOR, magnitude

Scale = Literal["log", "energy"]


def temporal_envelope(picture: Tensor, scale: Scale) -> Tensor:
    """Return the temporal energy envelope of log-magnitude pictures `[B, F, T]`.

    `energy` is the paper's: `e[t] = sum_f |S[f, t]|^2`, shape `[B, 1, T]`. `log`, shape `[B, 2, T]`, stacks
    `log(1 + e[t] / floor^2)` and the mean over frequency of the picture itself: the first alone follows the loudest
    partial, the second alone the noise floor; together they keep both (docs/experiments.md).
    """
    return _scaled(magnitude(picture).square().sum(1), picture.mean(1), scale)


def spectral_envelope(picture: Tensor, mask: Tensor | None, scale: Scale) -> Tensor:
    """Return the spectral energy envelope of pictures `[B, F, T]`: energy per bin, averaged over an item's own frames.

    `energy` is the paper's, `[B, 1, F]`; `log`, `[B, 2, F]`, stacks the logarithm of that average and the average of
    the picture. `mask` is `[B, 1, T]`, one on an item's own frames; None when every frame is.
    """
    power = magnitude(picture).square()
    if mask is None:
        return _scaled(power.mean(2), picture.mean(2), scale)
    own = mask / mask.sum(2, keepdim=True)
    return _scaled((power * own).sum(2), (picture * own).sum(2), scale)


def _scaled(energy: Tensor, mean_picture: Tensor, scale: Scale) -> Tensor:
    if scale == "energy":
        return energy[:, None]
    return torch.stack([torch.log1p(energy / MAGNITUDE_FLOOR**2), mean_picture], dim=1)


def rhythm_envelopes(picture: Tensor, mask: Tensor | None, bands: int) -> Tensor:
    """Return how each of `bands` equal frequency bands rises and falls, `[B, bands, T]`; zero where padded.

    `log(1 + e[k, t] / floor^2)` of a band's energy, less its own mean over time: dynamics without timbre, so that it
    does not contradict the spectral envelope. Opposed to the paper, which has the energy of the whole frame alone
    (`bands = 0`): there the loudest partial hides when a quieter one begins (docs/experiments.md). The bin at 0 Hz is
    left out.
    """
    if bands == 0:
        return picture[:, :0]
    power = magnitude(picture[:, 1:]).square()
    energies = torch.stack([band.sum(1) for band in power.chunk(bands, dim=1)], dim=1)
    logs = torch.log1p(energies / MAGNITUDE_FLOOR**2)
    if mask is None:
        return logs - logs.mean(2, keepdim=True)
    return (logs - (logs * mask).sum(2, keepdim=True) / mask.sum(2, keepdim=True)) * mask


def resampled(envelope: Tensor, n_frames: int) -> Tensor:
    """Stretch a temporal envelope `[B, K, T]` to `n_frames` (for the paper's reference, the style's envelope)."""
    return torch.nn.functional.interpolate(envelope, n_frames, mode="linear", align_corners=True)
