"""Another network than the shipped one: what an `Encoder` has to bring, and that no more is asked of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from stylecore.analysis import analyse
from stylecore.encoder import Encoder, encoded_bins, frame_mask
from stylecore.folded_alexnet import FoldedAlexNet
from stylecore.pairing import paired
from stylecore.settings import Settings
from stylecore.synthesis import synthesise

TIME_S = torch.arange(8_000) / 16_000


class TwoSmoothLayers(Encoder):
    """Two layers of random filters, the second at half the resolution; its gradient is autograd's."""

    layers = 2
    digest = "two smooth layers"

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(0)
        self.register_buffer("first", torch.randn(4, 1, 3, 3, generator=drawn) / 3)
        self.register_buffer("second", torch.randn(6, 4, 3, 3, generator=drawn) / 6)
        self.register_buffer("input_mean", torch.tensor(1.0))
        self.register_buffer("input_scale", torch.tensor(0.7))

    def halvings(self, layer: int) -> int:
        return layer - 1

    def layer_by_layer(self, log_spectrogram: Tensor, frames: Tensor | None, depth: int) -> Iterator[Tensor]:
        x = (log_spectrogram[:, : encoded_bins(log_spectrogram.shape[1])] - self.input_mean)[:, None] * self.input_scale
        for layer, filters in enumerate((self.first, self.second)[:depth], start=1):
            if layer > 1:
                x = nn.functional.avg_pool2d(x, 2)
            if frames is not None:
                x = x * frame_mask(self.own_columns(frames, layer), x.shape[-1])
            x = nn.functional.softplus(nn.functional.conv2d(x, filters, padding=1))
            if frames is not None:
                x = x * frame_mask(self.own_columns(frames, layer), x.shape[-1])
            yield x


def test_a_network_of_two_methods_takes_a_pair_the_whole_way() -> None:
    encoder = TwoSmoothLayers()
    settings = Settings(content_layers=(1,), style_layers=(1, 2), iterations=3, sound_iterations=0)
    low, high = (analyse(torch.sin(2 * torch.pi * hz * TIME_S), 16_000) for hz in (220.0, 700.0))
    (result,) = synthesise([paired(low, high, len(TIME_S), encoder, settings)], encoder)
    assert not result.diverged
    assert result.loss_curve[-1] < result.loss_curve[0]
    assert len(result.waveform) == len(TIME_S)


@pytest.mark.parametrize("frames", [None, (12, 9)])
def test_the_gradient_written_out_is_that_of_autograd(encoder: FoldedAlexNet, frames: tuple[int, ...] | None) -> None:
    drawn = torch.Generator().manual_seed(1)
    log_spectrogram = torch.rand(2, 257, 12, generator=drawn) * 3
    own = None if frames is None else torch.tensor(frames)
    encodings = encoder(log_spectrogram, own)
    pulls = {n: torch.randn(encodings[n - 1].shape, generator=drawn) for n in (1, 3, 5)}
    if own is not None:
        pulls = {n: pull * frame_mask(encoder.own_columns(own, n), pull.shape[-1]) for n, pull in pulls.items()}
    expected = Encoder.back_propagated(
        encoder, log_spectrogram, encodings, {n: pull.clone() for n, pull in pulls.items()}, own
    )
    found = encoder.back_propagated(log_spectrogram, encodings, pulls, own)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
