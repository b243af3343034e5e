"""Distances of encodings from their targets, L_c and L_s of equation 1, with their gradients written out.

The network is frozen, so the only gradient that anybody wants is that with respect to the picture. Autograd would form
every layer's anew, add up in more memory what several losses pull at it, and take twice as long; here each layer has
one gradient, which is added to where it lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from stylecore.encoder import Encoder, encoded_bins
from stylecore.spectrogram import magnitude

EPSILON = 1e-8


def by_position(encoding: Tensor) -> Tensor:
    """Return an encoding `[B, C, F', T']` as `[B, F', T', C]`: no copy, since the encoder computes channels last."""
    return encoding.permute(0, 2, 3, 1)


def padded(tensors: Sequence[Tensor]) -> Tensor:
    """Stack tensors that differ in their last axis, padded with zeros to the longest."""
    longest = max(t.shape[-1] for t in tensors)
    return torch.stack([functional.pad(t, (0, longest - t.shape[-1])) for t in tensors])


def relative_distance(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return `|estimate - reference|^2 / |reference|^2` per item, `[B]`; gradients stay finite at silence."""
    return (estimate - reference).square().flatten(1).sum(1) / (reference.square().flatten(1).sum(1) + EPSILON)


def squared_norm(x: Tensor) -> Tensor:
    """Return `|x|^2` of each item of `[B, R, ...]`, row by row: no squares are stored."""
    return torch.linalg.vector_norm(x.flatten(2), dim=2).square().sum(1)


def salience(encoder: Encoder, log_spectrogram: Tensor, layer: int, exponent: float) -> Tensor:
    """Return how much each position of a layer's encoding counts as content, `[F', T']`, for a sound `[F, T]`.

    The magnitude to a power, relative to its frame's mean: a melody is in the partials that stand out, and what lies
    between them is free to become the style's. With an exponent of 0 (paper) all positions count alike.
    """
    weights = magnitude(log_spectrogram[: encoded_bins(len(log_spectrogram))]) ** exponent
    weights = weights / weights.mean(0, keepdim=True).clamp_min(EPSILON)
    for _ in range(encoder.halvings(layer)):
        weights = functional.avg_pool2d(weights[None], 2)[0]
    return weights


def gram(encoding: Tensor, frames: Tensor | None, bands: int) -> Tensor:
    """Return Gram matrices per frequency band, means over the positions that are an item's own.

    `G[b, i, j] = mean over (f in band b, t) of F[i, f, t] F[j, f, t]`. Opposed to the paper, whose single matrix
    (`bands=1`) forgets where on the frequency axis a pattern was: a 2-D convolution is blind to that.

    Parameters
    ----------
    encoding : Tensor
        `[B, C, F', T']`, zero where padded.
    frames : Tensor or None
        Own columns of each item, `[B]`; None when all are.
    bands : int
        At most so many, of equally many rows each (the last of fewer): 64 of 256, of 128 and of 64 rows.

    Returns
    -------
    Tensor
        `[B, bands, C, C]`.
    """
    rows = encoding.shape[2]
    rows_per_band = -(-rows // min(bands, rows))
    products, counts = _band_products(by_position(encoding), frames, -(-rows // rows_per_band))
    return products / counts


class EncodedLayer(Protocol):
    """A distance at one layer, with its gradient written out."""

    def distance(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance `[B]` of encodings `[B, F', T', C]`, and the residue that the gradient needs."""

    def gradient(self, positions: Tensor, residue: Tensor, weight: Tensor, onto: Tensor | None) -> Tensor:
        """Return the gradient of `weight` `[B]` times the distance, added to `onto` if there is something already."""


class ContentLayer:
    """L_c at one layer, `sum w (x - y)^2 / sum w y^2` with salience `w`, as `|r|^2 / |sqrt(w) y|^2`.

    The residue is `r = sqrt(w) (x - y)`, and the gradient `2 sqrt(w) r / |sqrt(w) y|^2`.

    Parameters
    ----------
    encodings, saliences : sequence of Tensor
        Of each content, `[C, F', T']` and `[F', T']`; they may differ in T'.
    """

    def __init__(self, encodings: Sequence[Tensor], saliences: Sequence[Tensor]) -> None:
        self.roots = padded(saliences)[..., None].sqrt()
        self.negative_target = -(by_position(padded(encodings)) * self.roots).contiguous()
        self.size = squared_norm(self.negative_target) + EPSILON

    def distance(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance `[B]` of encodings `[B, F', T', C]`, and `r`, `[B, F', T', C]`."""
        residue = torch.addcmul(self.negative_target, positions, self.roots)
        return squared_norm(residue) / self.size, residue

    def gradient(self, positions: Tensor, residue: Tensor, weight: Tensor, onto: Tensor | None) -> Tensor:
        """Return the gradient of `weight` `[B]` times the distance, added to `onto` if there is something already."""
        made = residue * ((2.0 * weight / self.size)[:, None, None, None] * self.roots)
        return made if onto is None else onto.add_(made)


class StyleLayer:
    """L_s at one layer, `|R|^2 / |G_s|^2` with the residue `R = P^T P / n - G_s` of each band's `n` positions `P`.

    `R` is symmetric, so the gradient is one product: `4 P R / (n |G_s|^2)`.

    Parameters
    ----------
    grams : sequence of Tensor
        Of each style, `[bands, C, C]`.
    own_columns : Tensor or None
        Of each content, `[B]`; None when all columns are.
    """

    def __init__(self, grams: Sequence[Tensor], own_columns: Tensor | None) -> None:
        self.target = torch.stack(list(grams))
        self.own_columns = own_columns
        self.size = squared_norm(self.target) + EPSILON

    def distance(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance `[B]` of encodings `[B, F', T', C]`, and `R / n`, `[B, bands, C, C]`."""
        products, counts = _band_products(positions, self.own_columns, self.target.shape[1])
        residue = products.div_(counts).sub_(self.target)
        return squared_norm(residue) / self.size, residue.div_(counts)

    def gradient(self, positions: Tensor, residue: Tensor, weight: Tensor, onto: Tensor | None) -> Tensor:
        """Return the gradient of `weight` `[B]` times the distance, added to `onto` if there is something already."""
        turn = (residue * (4.0 * weight / self.size)[:, None, None, None]).flatten(0, 1)
        by_band = _by_band(positions, self.target.shape[1])
        if onto is not None and by_band.numel() == onto.numel():
            onto.view(by_band.shape).baddbmm_(by_band, turn)
            return onto
        made = (by_band @ turn).reshape(len(positions), -1, *positions.shape[2:])[:, : positions.shape[1]]
        return made if onto is None else onto.add_(made)


def encoded_distances(
    log_spectrogram: Tensor, encoder: Encoder, frames: Tensor | None, terms: Sequence[Mapping[int, EncodedLayer]]
) -> tuple[Tensor, ...]:
    """Return terms that compare encodings, `[B]` each: means over their layers of the distances of pictures.

    Parameters
    ----------
    log_spectrogram : Tensor
        `[B, F, T]`; a gradient flows to it, and to nothing else.
    encoder : Encoder
        Frozen filters.
    frames : Tensor or None
        Each item's own number of frames, `[B]`; None when all fill the picture.
    terms : sequence of mappings
        Of each term its distances by layer.
    """
    return _EncodedDistances.apply(log_spectrogram, encoder, frames, terms)


class _EncodedDistances(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        log_spectrogram: Tensor,
        encoder: Encoder,
        frames: Tensor | None,
        terms: Sequence[Mapping[int, EncodedLayer]],
    ) -> tuple[Tensor, ...]:
        encodings: list[Tensor] = []
        found: list[dict[int, tuple[Tensor, Tensor]]] = [{} for _ in terms]
        depth = max(max(layers) for layers in terms)
        for n, encoding in enumerate(encoder.layer_by_layer(log_spectrogram, frames, depth), start=1):
            encodings.append(encoding)
            for layers, distances in zip(terms, found, strict=True):
                if n in layers:
                    distances[n] = layers[n].distance(by_position(encoding))
        ctx.fixed = log_spectrogram, encoder, frames, terms
        ctx.made = encodings, [{n: residue for n, (_, residue) in distances.items()} for distances in found]
        return tuple(_mean_distance(distances.values()) for distances in found)

    @staticmethod
    def backward(ctx: Any, *of_terms: Tensor) -> tuple[Tensor, None, None, None]:
        log_spectrogram, encoder, frames, terms = ctx.fixed
        encodings, residues = ctx.made
        positions = [by_position(encoding) for encoding in encodings]
        pulls: dict[int, Tensor] = {}
        for layers, apart, of_term in zip(terms, residues, of_terms, strict=True):
            weight = of_term / len(layers)
            for n, layer in layers.items():
                pulls[n] = layer.gradient(positions[n - 1], apart[n], weight, pulls.get(n))
        by_channel = {n: pull.permute(0, 3, 1, 2) for n, pull in pulls.items()}
        return encoder.back_propagated(log_spectrogram, encodings, by_channel, frames), None, None, None


def _mean_distance(found: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.stack([distance for distance, _ in found]).mean(0)


def _by_band(positions: Tensor, bands: int) -> Tensor:
    """Return encodings `[B, F', T', C]` as matrices `[B bands, positions, C]`; a last, lower band is padded."""
    batch, rows, columns, channels = positions.shape
    height = -(-rows // bands)
    if rows != bands * height:
        positions = functional.pad(positions, (0, 0, 0, 0, 0, bands * height - rows))
    return positions.reshape(batch * bands, height * columns, channels)


def _band_products(positions: Tensor, own_columns: Tensor | None, bands: int) -> tuple[Tensor, Tensor]:
    """Return `P^T P` of each band, `[B, bands, C, C]`, and how many positions are own, `[B or 1, bands, 1, 1]`."""
    batch, rows, columns, channels = positions.shape
    height = -(-rows // bands)
    by_band = _by_band(positions, bands)
    products = (by_band.transpose(1, 2) @ by_band).reshape(batch, bands, channels, channels)
    own_rows = torch.full((bands,), height, device=positions.device)
    own_rows[-1] = rows - (bands - 1) * height
    own = own_rows.new_full((1,), columns) if own_columns is None else own_columns.clamp_min(1)
    return products, (own_rows[None, :] * own[:, None])[:, :, None, None]
