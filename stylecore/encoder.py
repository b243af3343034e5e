"""What the losses need of a network: an `Encoder`, from log-spectrograms to the encodings of its layers.

Another network than the shipped one (`stylecore/folded_alexnet.py`) is a subclass that has `layer_by_layer` and
`halvings`; its gradient is autograd's, unless it writes its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn


def encoded_bins(n_bins: int) -> int:
    """Return how many bins are encoded: an even number, without the last, at half the sampling rate.

    Pooling would leave that one out at the next layer, and rows that halve make bands of equal height at each.
    """
    return n_bins - n_bins % 2


def frame_mask(frames: Tensor, n_frames: int) -> Tensor:
    """Return `[B, 1, 1, T]`, one where a frame is the item's own and zero where it is padding."""
    positions = torch.arange(n_frames, device=frames.device)
    return (positions < frames[:, None]).to(torch.float32)[:, None, None, :]


class Encoder(nn.Module, ABC):
    """A frozen network without its classifier.

    Attributes
    ----------
    layers : int
        How many encodings there are.
    digest : str
        sha256 of all that decides the encodings; part of every fingerprint.
    input_mean, input_scale : Tensor
        Mean, and one over the deviation, of the spectrograms it was trained on: what the optimisation's noise is like.
    """

    layers: int
    digest: str
    input_mean: Tensor
    input_scale: Tensor

    @abstractmethod
    def layer_by_layer(self, log_spectrogram: Tensor, frames: Tensor | None, depth: int) -> Iterator[Tensor]:
        """Yield what `forward` returns, each encoding before the next is computed: it is in the cache still."""

    @abstractmethod
    def halvings(self, layer: int) -> int:
        """Return how often both axes have been halved, rounded down, in the encoding of a layer, from 1."""

    def forward(self, log_spectrogram: Tensor, frames: Tensor | None = None, depth: int | None = None) -> list[Tensor]:
        """Return the encodings of layers 1 to `depth`, by default all, of `encoded_bins`.

        Parameters
        ----------
        log_spectrogram : Tensor
            Log-magnitude spectrograms, `[B, F, T]`.
        frames : Tensor, optional
            Each item's own number of frames, `[B]`; None when all fill the picture. An item's encodings are the same
            as alone, and zero where it is padded.
        depth : int, optional
            Deeper layers are not computed.

        Returns
        -------
        list of Tensor
            `[B, C, F', T']` per layer.
        """
        return list(self.layer_by_layer(log_spectrogram, frames, depth or self.layers))

    def own_columns(self, frames: Tensor, layer: int) -> Tensor:
        """Return how many columns of a layer's encoding are an item's own, from its number of frames."""
        return frames // 2 ** self.halvings(layer)

    def back_propagated(
        self, log_spectrogram: Tensor, encodings: Sequence[Tensor], pulls: Mapping[int, Tensor], frames: Tensor | None
    ) -> Tensor:
        """Return the gradient `[B, F, T]` of `sum over layers <pull, encoding>` with respect to the picture.

        Here by autograd, which computes the encodings again.

        Parameters
        ----------
        log_spectrogram : Tensor
            `[B, F, T]`.
        encodings : sequence of Tensor
            What `forward` returned for it.
        pulls : mapping
            Gradients with respect to the encodings of some layers, `[B, C, F', T']`; they may be written over.
        frames : Tensor or None
            As for `forward`.
        """
        with torch.enable_grad():
            leaf = log_spectrogram.detach().requires_grad_()
            again = self(leaf, frames, max(pulls))
            (gradient,) = torch.autograd.grad([again[n - 1] for n in pulls], leaf, list(pulls.values()))
        return gradient
