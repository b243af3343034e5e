"""The shipped network as an encoder: batch norm folded into the filters, and the gradients written out.

Nothing here changes what `AlexNet3x3` says; it says it in half the time. Encodings are computed channels last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from stylecore.encoder import Encoder, encoded_bins, frame_mask
from stylecore.network import CHANNELS, POOL_AFTER, AlexNet3x3, load_network, network_in, weights_digest
from stylecore.weights import SHIPPED_WEIGHTS, Weights


class FoldedAlexNet(Encoder):
    """The frozen filters of a trained network: log-spectrograms to encodings.

    Parameters
    ----------
    network : AlexNet3x3
        Its running statistics are folded into the filters, `w' = w g / s` and `b' = b - m g / s`: batch norm of a
        frozen network is a constant scale and shift per filter.
    """

    layers = len(CHANNELS)

    def __init__(self, network: AlexNet3x3) -> None:
        super().__init__()
        self.digest = weights_digest(network)
        filters, shifts = zip(
            *(_folded(c, n) for c, n in zip(network.convolutions, network.norms, strict=True)), strict=True
        )
        self.filters = nn.ParameterList(filters)
        self.shifts = nn.ParameterList(shifts)
        self.register_buffer("input_mean", network.input_mean.detach().float().clone())
        self.register_buffer("input_scale", network.input_scale.detach().float().clone())
        # Channels last: a convolution's result is then, row by row, the matrix whose Gram matrix style needs.
        self.to(memory_format=torch.channels_last)
        self.eval().requires_grad_(False)

    def halvings(self, layer: int) -> int:
        """Return how many poolings lie before a layer; see `Encoder`."""
        return sum(pooled < layer for pooled in POOL_AFTER)

    def layer_by_layer(self, log_spectrogram: Tensor, frames: Tensor | None, depth: int) -> Iterator[Tensor]:
        """Yield activations after ReLU, before pooling; see `Encoder`.

        Shifts turn padding into non-zero and the next convolution would leak it back, so padding is zeroed after every
        ReLU and pooling.
        """
        x = _masked(
            ((log_spectrogram[:, : encoded_bins(log_spectrogram.shape[1])] - self.input_mean) * self.input_scale)[
                :, None
            ],
            frames,
        )
        for layer in range(1, depth + 1):
            x = _masked(torch.relu_(self.convolved(x, layer)), frames)
            yield x
            if layer in POOL_AFTER and layer < depth:
                frames = None if frames is None else frames // 2
                x = _masked(nn.functional.avg_pool2d(x, 2), frames)

    def back_propagated(
        self, log_spectrogram: Tensor, encodings: Sequence[Tensor], pulls: Mapping[int, Tensor], frames: Tensor | None
    ) -> Tensor:
        """Return the gradient with respect to the log-spectrogram; see `Encoder`.

        The chain rule through ReLU, pooling and the transposed convolutions, from the deepest layer up. By hand, since
        it takes half of what autograd does: the filters are frozen, and gradients are added where they lie.
        """
        deepest = max(pulls)
        from_below = torch.empty(0)
        for layer in range(deepest, 0, -1):
            encoding, gradient = encodings[layer - 1], pulls.get(layer)
            if gradient is None:
                gradient = torch.zeros_like(encoding)
            if layer < deepest and layer in POOL_AFTER:
                own = None if frames is None else self.own_columns(frames, layer + 1)
                _spread_onto(gradient, _masked(from_below, own))
            elif layer < deepest:
                gradient += from_below
            torch.ops.aten.threshold_backward.grad_input(gradient, encoding, 0.0, grad_input=gradient)
            from_below = self.transposed(gradient, layer)
        seen = _masked(from_below, frames)[:, 0] * self.input_scale
        return nn.functional.pad(seen, (0, 0, 0, log_spectrogram.shape[1] - seen.shape[1]))

    def convolved(self, x: Tensor, layer: int) -> Tensor:
        """Return the convolution of a layer, `[B, O, F, T]`, before ReLU."""
        return nn.functional.conv2d(x, self.filters[layer - 1], self.shifts[layer - 1], padding=1)

    def transposed(self, gradient: Tensor, layer: int) -> Tensor:
        """Return the gradient `[B, I, F, T]` of a layer's convolution with respect to its input."""
        filters = self.filters[layer - 1]
        if filters.shape[1] > 1:
            return nn.functional.conv_transpose2d(gradient, filters, padding=1)
        # One input channel: a product for nine taps and nine shifted sums take a quarter of what a convolution does.
        batch, channels, rows, columns = gradient.shape
        taps = filters.reshape(channels, 9).T @ gradient.permute(0, 2, 3, 1).reshape(-1, channels).T
        taps = taps.reshape(3, 3, batch, rows, columns)
        edged = gradient.new_zeros(batch, rows + 2, columns + 2)
        for i in range(3):
            for j in range(3):
                edged[:, i : i + rows, j : j + columns] += taps[i, j]
        return edged[:, None, 1:-1, 1:-1]


def _spread_onto(gradient: Tensor, pooled: Tensor) -> None:
    """Add the gradient of an average pooling: a quarter to each of the four cells; an odd edge gets none."""
    rows, columns = pooled.shape[2:]
    quarter = pooled / 4
    for i in range(2):
        for j in range(2):
            gradient[:, :, i : 2 * rows : 2, j : 2 * columns : 2] += quarter


def _masked(x: Tensor, frames: Tensor | None) -> Tensor:
    return x if frames is None else x * frame_mask(frames, x.shape[-1])


def _folded(convolution: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    filters = (convolution.weight * gain[:, None, None, None]).detach().float()
    return filters.contiguous(memory_format=torch.channels_last), (
        norm.bias - norm.running_mean * gain
    ).detach().float()


def load_encoder(path: Path = SHIPPED_WEIGHTS) -> FoldedAlexNet:
    """Load the frozen filters of a trained network; raises as `load_network`."""
    return FoldedAlexNet(load_network(path))


def encoder_of(weights: Weights) -> FoldedAlexNet:
    """Return the frozen filters of given weights; raises as `load_network`."""
    return load_encoder() if weights.data is None else FoldedAlexNet(network_in(weights.data, weights.name))


def random_encoder(seed: int, calibration: Tensor) -> FoldedAlexNet:
    """Return untrained filters whose batch norm knows the statistics of `calibration` log-spectrograms `[B, F, T]`.

    The control of every comparison: what is left of a result when nothing was learned.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AlexNet3x3()
    network.input_mean.copy_(calibration.mean())
    network.input_scale.copy_(1.0 / calibration.std())
    for norm in network.norms:
        cast(
            nn.BatchNorm2d, norm
        ).momentum = None  # cumulative average: one pass over the calibration log-spectrograms sets the statistics
    with torch.no_grad():
        network.train().features(calibration)
    return FoldedAlexNet(network)
