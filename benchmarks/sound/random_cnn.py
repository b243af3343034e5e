"""A peer: style transfer by a random one-layer network, as D. Ulyanov and V. Lebedev published it in 2016.

"Audio texture synthesis and style transfer", written here from its published description. The log-magnitude spectrogram
has its frequency bins as channels of a one-dimensional image; 4,096 random filters of 11 frames and a ReLU
turn it into activations `A`. From small noise, L-BFGS lowers

    0.01 |A(x) - A(content)|^2 + |G(x) - G(style)|^2,    G = A A' / T,

and Griffin-Lim finds a phase. There are no envelopes, no batches, and nothing was learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.audio.sound_files import SAMPLE_RATE

PEER_RATE = 22_050
N_FFT = 2048
HOP = 512
BINS = N_FFT // 2 + 1
NOISE = 1e-3
"""Deviation of the noise that the optimisation starts from."""
HISTORY = 10
"""Steps that L-BFGS remembers: SciPy's, which the authors used, has as many."""


@dataclass(frozen=True)
class PeerSettings:
    """What the authors chose; a test takes less of it.

    `filters` of `width` frames; `iterations` of L-BFGS, each of which takes an evaluation or more; iterations of the
    phase; the weight of the content; one seed for filters, noise and phase.
    """

    filters: int = 4096
    width: int = 11
    iterations: int = 300
    phase_iterations: int = 500
    content_weight: float = 0.01
    seed: int = 0


class Targets(NamedTuple):
    """What the losses compare with: activations of the content `[K, T']`, and the style's Gram matrix `[K, K]`."""

    activations: Tensor
    gram: Tensor


class Optimised(NamedTuple):
    """Log-magnitude `[F, T]` where the optimisation ended, and the loss of every evaluation."""

    log_spectrogram: Tensor
    losses: list[float]


def transfer(
    content: NDArray[np.floating], style: NDArray[np.floating], settings: PeerSettings
) -> tuple[NDArray[np.float32], int]:
    """Return the result, at 16 kHz and as long as the content, and the evaluations it took.

    Parameters
    ----------
    content, style : ndarray of float
        `[N]` and `[M]` at 16 kHz; the style is repeated, or cut, to the content's length.
    settings : PeerSettings
        The authors', or fewer filters and iterations.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    filters = random_filters(settings, generator)
    own, other = (at_peer_rate(sound) for sound in (content, np.resize(style, len(content))))
    targets = encoded(log_spectrogram(own), log_spectrogram(other), filters)
    optimised = optimise(targets, filters, log_spectrogram(own).shape[1], settings, generator)
    waveform = phase_found(torch.expm1(optimised.log_spectrogram.clamp_min(0.0)), len(own), settings, generator)
    resampled = soxr.resample(waveform.numpy(), PEER_RATE, SAMPLE_RATE)
    return np.resize(resampled, len(content)).astype(np.float32), len(optimised.losses)


def at_peer_rate(sound: NDArray[np.floating]) -> Tensor:
    """Return samples `[N]` of 16 kHz at the peer's 22.05 kHz."""
    return torch.from_numpy(soxr.resample(np.asarray(sound, np.float32), SAMPLE_RATE, PEER_RATE))


def random_filters(settings: PeerSettings, generator: torch.Generator) -> Tensor:
    """Return Gaussian filters `[K, F, width]`, scaled so that activations neither grow nor fade with their number."""
    deviation = 2.0 / math.sqrt((BINS + settings.filters) * settings.width)
    return deviation * torch.randn(settings.filters, BINS, settings.width, generator=generator)


def log_spectrogram(samples: Tensor) -> Tensor:
    """Return the log-magnitude `log(1 + |STFT|)`, `[F, T]`, of samples `[N]`."""
    return torch.log1p(_stft(samples).abs())


def activations(log_magnitude: Tensor, filters: Tensor) -> Tensor:
    """Return what the filters find in `[F, T]`, after the ReLU: `[K, T - width + 1]`.

    A convolution written as one matrix product: here it is a little faster than PyTorch's own.
    """
    windows = log_magnitude.unfold(1, filters.shape[2], 1).permute(0, 2, 1)  # [F, width, T']
    return torch.relu(filters.flatten(1) @ windows.flatten(0, 1))


def gram(found: Tensor, n_frames: int) -> Tensor:
    """Return the Gram matrix `[K, K]` of activations `[K, T']` of a log-spectrogram of so many frames."""
    scaled = found / math.sqrt(n_frames)
    return scaled @ scaled.T


class GramDistance(torch.autograd.Function):
    """Squared distance of a Gram matrix from a target, `|A A' - G|^2`, for `A` of `[K, T']`.

    Its gradient is `4 (A A' - G) A`, one product of matrices where automatic differentiation makes two and copies of a
    matrix of 4,096 x 4,096 besides: the peer shall lose nothing by how it is written here.
    """

    @staticmethod
    def forward(ctx: Any, found: Tensor, target: Tensor) -> Tensor:
        """Return the distance, a scalar."""
        difference = (found @ found.T).sub_(target)
        ctx.save_for_backward(found, difference)
        return torch.dot(difference.flatten(), difference.flatten())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient for the activations; the target has none."""
        found, difference = ctx.saved_tensors
        return 4.0 * gradient * (difference @ found), None


@torch.no_grad()
def encoded(content: Tensor, style: Tensor, filters: Tensor) -> Targets:
    """Return the targets of a content and a style, log-spectrograms `[F, T]` of equally many frames."""
    return Targets(activations(content, filters), gram(activations(style, filters), style.shape[1]))


def loss(log_magnitude: Tensor, targets: Targets, filters: Tensor, content_weight: float) -> Tensor:
    """Return the objective at `[F, T]`."""
    found = activations(log_magnitude, filters)
    content = (found - targets.activations).square().sum()
    style = GramDistance.apply(found / math.sqrt(log_magnitude.shape[1]), targets.gram)
    return content_weight * content + style


def optimise(
    targets: Targets, filters: Tensor, n_frames: int, settings: PeerSettings, generator: torch.Generator
) -> Optimised:
    """Lower the objective from noise by L-BFGS with a line search after Wolfe."""
    point = (NOISE * torch.randn(BINS, n_frames, generator=generator)).requires_grad_()
    minimiser = torch.optim.LBFGS(
        [point],
        max_iter=settings.iterations,
        # From near silence a loud style's loss falls by less than single precision shows: PyTorch would stop there.
        tolerance_change=0.0,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )
    losses: list[float] = []

    def evaluate() -> Tensor:
        total = loss(point, targets, filters, settings.content_weight)
        (point.grad,) = torch.autograd.grad(total, point)
        losses.append(float(total.detach()))
        return total.detach()

    minimiser.step(evaluate)
    return Optimised(point.detach(), losses)


def phase_found(magnitude: Tensor, n_samples: int, settings: PeerSettings, generator: torch.Generator) -> Tensor:
    """Return samples `[N]` for magnitudes `[F, T]` by Griffin-Lim from a random phase, without momentum."""
    angles = 2.0 * math.pi * torch.rand(magnitude.shape, generator=generator)
    for _ in range(settings.phase_iterations):
        angles = _stft(_istft(torch.polar(magnitude, angles), n_samples)).angle()
    return _istft(torch.polar(magnitude, angles), n_samples)


def _stft(samples: Tensor) -> Tensor:
    return torch.stft(samples, N_FFT, HOP, window=torch.hann_window(N_FFT), return_complex=True)


def _istft(spectrum: Tensor, n_samples: int) -> Tensor:
    return torch.istft(spectrum, N_FFT, HOP, window=torch.hann_window(N_FFT), length=n_samples)
