"""The four terms of the objective (Verma & Smith 2018, equation 1), one value per pair.

    x_r = argmin_x  alpha L_c(x, x_c) + beta L_s(x, x_s) + gamma L_e(e, e_s) + delta L_t(t, t_s)

Every term is a squared distance relative to its target or, for envelopes as logarithms, a mean square in nepers: no
term grows with the length, level or number of filters of a sound, so one set of weights serves all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from stylecore.coarse import halved
from stylecore.encoded import (
    ContentLayer,
    LayerTargets,
    StyleLayer,
    encoded_distances,
    gram,
    padded,
    relative_distance,
    salience,
)
from stylecore.encoder import Encoder, frame_mask
from stylecore.envelopes import (
    Scale,
    frame_weights,
    resampled,
    rhythm_envelopes,
    spectral_envelope,
    temporal_envelope,
)
from stylecore.settings import Settings


class LossTerms(NamedTuple):
    """Content, style, temporal and spectral loss, each `[B]` and without its weight."""

    content: Tensor
    style: Tensor
    temporal: Tensor
    spectral: Tensor

    def total(self, weights: Tensor) -> Tensor:
        """Return `alpha L_c + beta L_s + gamma L_e + delta L_t`, `[B]`, from weights `[B, 4]`."""
        return (torch.stack(self, dim=1) * weights).sum(1)


@dataclass(frozen=True)
class ContentTarget:
    """What is kept of one content sound.

    Encodings `[C, F', T']` and the `salience` `[F', T']` of their positions by layer, temporal envelopes `[K, T]`, and
    how much each frame counts in a spectral envelope, `[1, T]`. `reach`: of the rhythm's local mean, in frames of this
    resolution. `halved` is the same of the sound's picture at half the
    resolution, where the optimisation begins; None where it does not.
    """

    encodings: dict[int, Tensor]
    saliences: dict[int, Tensor]
    temporal: Tensor
    rhythm: Tensor
    frame_weights: Tensor
    reach: int = 0
    halved: ContentTarget | None = None

    @property
    def frames(self) -> int:
        """Frames of the content, and so of the result."""
        return self.temporal.shape[-1]

    @property
    def n_bytes(self) -> int:
        """Bytes held, for a cache with a limit."""
        by_layer = (*self.encodings.values(), *self.saliences.values())
        own = sum(t.nbytes for t in (*by_layer, self.temporal, self.rhythm, self.frame_weights))
        return own + (self.halved.n_bytes if self.halved else 0)


@dataclass(frozen=True)
class StyleTarget:
    """What is kept of one style sound: Gram matrices `[bands, C, C]` by layer, spectral and temporal envelopes.

    The spectral envelope is one vector per resolution, the temporal ones are `[K, T]`. `halved` as for `ContentTarget`.
    """

    grams: dict[int, Tensor]
    spectral: tuple[Tensor, ...]
    temporal: Tensor
    rhythm: Tensor
    halved: StyleTarget | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes held, for a cache with a limit."""
        own = sum(t.nbytes for t in (*self.grams.values(), *self.spectral, self.temporal, self.rhythm))
        return own + (self.halved.n_bytes if self.halved else 0)


@torch.no_grad()
def encode_content(encoder: Encoder, picture: Tensor, settings: Settings) -> ContentTarget:
    """Encode one content picture `[F, T]`."""
    found = _content_target(encoder, picture, settings, settings.temporal_reach)
    if not settings.coarse_iterations:
        return found
    return replace(found, halved=_content_target(encoder, halved(picture), settings, -(-settings.temporal_reach // 2)))


def _content_target(encoder: Encoder, picture: Tensor, settings: Settings, reach: int) -> ContentTarget:
    encodings = encoder(picture[None], depth=max(settings.content_layers))
    return ContentTarget(
        encodings={layer: encodings[layer - 1][0] for layer in settings.content_layers},
        saliences={layer: salience(encoder, picture, layer, settings.salience) for layer in settings.content_layers},
        temporal=temporal_envelope(picture[None], settings.envelopes)[0],
        rhythm=rhythm_envelopes(picture[None], None, settings.temporal_bands, reach)[0],
        frame_weights=frame_weights(picture[None], settings.envelopes)[0],
        reach=reach,
    )


@torch.no_grad()
def encode_style(encoder: Encoder, picture: Tensor, settings: Settings) -> StyleTarget:
    """Encode one style picture `[F, T]`."""
    found = _style_target(encoder, picture, settings, settings.temporal_reach)
    if not settings.coarse_iterations:
        return found
    return replace(found, halved=_style_target(encoder, halved(picture), settings, -(-settings.temporal_reach // 2)))


def _style_target(encoder: Encoder, picture: Tensor, settings: Settings, reach: int) -> StyleTarget:
    encodings = encoder(picture[None], depth=max(settings.style_layers))
    weights = frame_weights(picture[None], settings.envelopes)
    spectral = spectral_envelope(picture[None], weights, settings.envelopes, settings.spectral_bands)
    return StyleTarget(
        grams={layer: gram(encodings[layer - 1], None, settings.style_bands)[0] for layer in settings.style_layers},
        spectral=tuple(envelope[0] for envelope in spectral),
        temporal=temporal_envelope(picture[None], settings.envelopes)[0],
        rhythm=rhythm_envelopes(picture[None], None, settings.temporal_bands, reach)[0],
    )


@dataclass(frozen=True)
class Problem:
    """Equation 1 for a batch: the terms, each pair's weights `[B, 4]`, and the settings that all pairs share."""

    objective: Objective
    weights: Tensor
    settings: Settings


class Objective:
    """The four terms for a batch of pairs, in one forward pass of the network.

    Parameters
    ----------
    encoder : Encoder
        Frozen filters.
    contents, styles : sequences
        Encoded targets, one of each per pair; contents may differ in length and are padded to the longest.
    settings : Settings
        Layers, bands and scales; the weights are each pair's own and are applied by the caller.
    """

    def __init__(
        self,
        encoder: Encoder,
        contents: Sequence[ContentTarget],
        styles: Sequence[StyleTarget],
        settings: Settings,
    ) -> None:
        self.encoder = encoder
        self.settings = settings
        lengths = [content.frames for content in contents]
        device = contents[0].temporal.device
        self.longest = max(lengths)
        self.reach = contents[0].reach
        self.frames = torch.tensor(lengths, device=device)
        self.padded_frames = None if min(lengths) == self.longest else self.frames
        self.mask = None if self.padded_frames is None else frame_mask(self.frames, self.longest)[:, 0]
        self.layers = self._layer_targets(contents, styles)
        self.spectral = [torch.stack(envelopes) for envelopes in zip(*(s.spectral for s in styles), strict=True)]
        self.frame_weights = padded([content.frame_weights for content in contents])
        references: Sequence[ContentTarget | StyleTarget] = (
            contents if settings.temporal_reference == "content" else styles
        )
        self.temporal = padded([_fitted(r.temporal, n) for r, n in zip(references, lengths, strict=True)])
        self.rhythm = padded([_fitted(r.rhythm, n) for r, n in zip(references, lengths, strict=True)])

    def _layer_targets(self, contents: Sequence[ContentTarget], styles: Sequence[StyleTarget]) -> LayerTargets:
        return LayerTargets(
            content={
                layer: ContentLayer([c.encodings[layer] for c in contents], [c.saliences[layer] for c in contents])
                for layer in self.settings.content_layers
            },
            style={
                layer: StyleLayer([s.grams[layer] for s in styles], self._own_columns(layer))
                for layer in self.settings.style_layers
            },
        )

    def _own_columns(self, layer: int) -> Tensor | None:
        return None if self.padded_frames is None else self.encoder.own_columns(self.padded_frames, layer)

    def __call__(self, picture: Tensor) -> LossTerms:
        """Return the terms of pictures `[B, F, T]`; frames beyond an item's own do not count and get no gradient."""
        if self.mask is not None:
            picture = picture * self.mask
        content, style = encoded_distances(picture, self.encoder, self.padded_frames, self.layers)
        return LossTerms(content, style, self._temporal(picture), self._spectral(picture))

    def _temporal(self, picture: Tensor) -> Tensor:
        """L_e: distance of the temporal energy envelopes over an item's own frames, whole and by band."""
        settings = self.settings
        envelope = temporal_envelope(picture, settings.envelopes)
        if self.mask is not None:
            envelope = envelope * self.mask
        whole = _envelope_distance(envelope, self.temporal, self.frames, settings.envelopes)
        if settings.temporal_bands == 0:
            return whole
        rhythm = rhythm_envelopes(picture, self.mask, settings.temporal_bands, self.reach)
        return whole + _envelope_distance(rhythm, self.rhythm, self.frames, "log")

    def _spectral(self, picture: Tensor) -> Tensor:
        """L_t: distance of the spectral energy envelopes, at each resolution."""
        settings = self.settings
        envelopes = spectral_envelope(picture, self.frame_weights, settings.envelopes, settings.spectral_bands)
        if settings.envelopes == "energy":
            return relative_distance(envelopes[0], self.spectral[0])
        distances = [
            (found - wanted).square().mean(1)
            for found, wanted in zip(envelopes, self.spectral, strict=True)
            if wanted.shape[1]
        ]
        # Levels are of energies, twice as many nepers as the picture's of amplitudes.
        return distances[0] + sum(distances[1:]) / 4


def _envelope_distance(estimate: Tensor, reference: Tensor, lengths: Tensor, scale: Scale) -> Tensor:
    if scale == "energy":
        return relative_distance(estimate, reference)
    return (estimate - reference).square().sum((1, 2)) / (lengths * estimate.shape[1])


def _fitted(envelope: Tensor, n_frames: int) -> Tensor:
    """Return an envelope `[K, T]` as long as the result; only a style's (the paper's reference) has to be stretched."""
    if envelope.shape[-1] == n_frames:
        return envelope
    return resampled(envelope[None], n_frames)[0] if len(envelope) else envelope.new_zeros(0, n_frames)
