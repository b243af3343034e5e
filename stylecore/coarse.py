"""Log-spectrograms at half the resolution, where the optimisation begins: an evaluation costs a quarter there.

What takes most evaluations is the large: which levels, where, and when. At half the resolution of both axes it is found
for a quarter of the price, from Gaussian noise of that size; enlarged, it is where the optimisation at full resolution
starts. Opposed to the paper, which knows one resolution (`coarse_iterations = 0`).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from stylecore.spectrogram import log_magnitude, magnitude


def halved(log_spectrogram: Tensor) -> Tensor:
    """Return a log-spectrogram `[F, T]` at half the resolution, `[F // 2, T // 2]`: of four cells the mean energy.

    >>> import torch
    >>> halved(torch.full((257, 20), 0.5)).shape
    torch.Size([128, 10])
    """
    energy = functional.avg_pool2d(magnitude(log_spectrogram[None]).square(), 2)[0]
    return log_magnitude(energy.sqrt())


def enlarged(log_spectrogram: Tensor, n_bins: int, n_frames: int) -> Tensor:
    """Return a log-spectrogram `[n_bins // 2, n_frames // 2]` at full size, `[n_bins, n_frames]`: bilinear."""
    doubled = functional.interpolate(
        log_spectrogram[None, None], scale_factor=2.0, mode="bilinear", align_corners=False
    )
    missing = (0, n_frames - doubled.shape[3], 0, n_bins - doubled.shape[2])
    return functional.pad(doubled, missing, mode="replicate")[0, 0]
