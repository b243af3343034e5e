"""From a magnitude to a waveform: Griffin-Lim, with a starting phase and a generator of its own.

torchaudio's takes no starting phase and draws from the global generator; a pair's samples must not depend on what
else ran in the process.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from stylecore.spectrogram import istft, stft


def random_phase(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return unit complex numbers with uniform random angles, drawn on the CPU so that every device starts alike."""
    generator = torch.Generator().manual_seed(seed)
    return torch.polar(torch.ones(shape), 2.0 * math.pi * torch.rand(shape, generator=generator))


def griffin_lim(
    magnitude: Tensor,
    phase: Tensor,
    sample_rate: int,
    n_samples: int,
    iterations: int,
    momentum: float,
    on_iteration: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return the waveform whose STFT magnitude is near `magnitude`.

    Each iteration projects on the STFTs of real sounds and puts the wanted magnitude back
    (Griffin & Lim 1984); momentum looks ahead by the last change (Perraudin, Balazs & Sondergaard 2013,
    equation 10, written as in librosa and torchaudio).

    Parameters
    ----------
    magnitude : Tensor
        `[B, F, T]`, not negative.
    phase : Tensor
        Unit complex numbers of the same shape: where to start.
    sample_rate, n_samples : int
        In Hz; length of the result.
    iterations : int
        At least 1.
    momentum : float
        0 (the original) to below 1.
    on_iteration : callable
        Called before each iteration; raise from it to stop.

    Returns
    -------
    Tensor
        Real samples, `[B, N]`.
    """
    look_ahead = momentum / (1.0 + momentum)
    previous = torch.zeros_like(phase)
    for _ in range(iterations):
        on_iteration()
        rebuilt = stft(istft(magnitude * phase, sample_rate, n_samples), sample_rate)
        ahead = rebuilt - look_ahead * previous
        phase = ahead / ahead.abs().clamp_min(1e-16)
        previous = rebuilt
    return istft(magnitude * phase, sample_rate, n_samples)
