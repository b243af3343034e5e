"""The objective (Verma & Smith 2018, equation 1): its terms (`stylecore/terms/`) for a batch of pairs, one value each.

    x_r = argmin_x  alpha L_c(x, x_c) + beta L_s(x, x_s) + gamma L_e(e, e_s) + delta L_t(t, t_s)

Every term is a squared distance relative to its target or, for envelopes as logarithms, a mean square in nepers: no
term grows with the length, level or number of filters of a sound, so one set of weights serves all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylecore.coarse import halved
from stylecore.encoded import encoded_distances
from stylecore.encoder import Encoder, frame_mask
from stylecore.settings import Settings
from stylecore.terms import TERMS
from stylecore.terms.term import Batch, EncodedTerm, Kept, SpectrogramTerm, TargetSound, Term


class LossTerms(dict[str, Tensor]):
    """The terms by name, each `[B]` and without its weight, in the order of equation 1."""

    @property
    def stacked(self) -> Tensor:
        """All of them, `[B, K]`."""
        return torch.stack(list(self.values()), dim=1)

    def total(self, weights: Tensor) -> Tensor:
        """Return `alpha L_c + beta L_s + gamma L_e + delta L_t`, `[B]`, from weights `[B, K]`."""
        return (self.stacked * weights).sum(1)


@dataclass(frozen=True)
class Target:
    """What is kept of one sound.

    Attributes
    ----------
    kept : mapping
        What each term keeps, by its name.
    frames : int
        Of the sound.
    reach : int
        Of the rhythm's local mean, in frames of this resolution.
    halved : Target or None
        The same at half the resolution, where the optimisation begins; None where it does not.
    """

    kept: Mapping[str, Kept]
    frames: int
    reach: int
    halved: Target | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes held, for a cache with a limit."""
        return sum(tensor.nbytes for tensor in self.tensors()) + (self.halved.n_bytes if self.halved else 0)

    def tensors(self) -> Iterator[Tensor]:
        """Yield all tensors at this resolution."""
        for kept in self.kept.values():
            yield from _tensors_in(kept)


def _tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors_in(part)


def encode_content(
    encoder: Encoder, log_spectrogram: Tensor, settings: Settings, content: Tensor | None = None
) -> Target:
    """Encode one content log-spectrogram `[F, T]`; or the style laid along it, and then the `content` `[F, T]` too."""
    return _target(encoder, log_spectrogram, content, settings, lambda term, sound: term.of_content(sound))


def encode_style(encoder: Encoder, log_spectrogram: Tensor, settings: Settings) -> Target:
    """Encode one style log-spectrogram `[F, T]`."""
    return _target(encoder, log_spectrogram, None, settings, lambda term, sound: term.of_style(sound))


@torch.no_grad()
def _target(
    encoder: Encoder,
    log_spectrogram: Tensor,
    content: Tensor | None,
    settings: Settings,
    of: Callable[[Term, TargetSound], Kept],
) -> Target:
    def at(log_spectrogram: Tensor, content: Tensor | None, reach: int) -> Target:
        sound = TargetSound(log_spectrogram, content, encoder, settings, reach)
        return Target({term.name: of(term, sound) for term in TERMS}, log_spectrogram.shape[-1], reach)

    found = at(log_spectrogram, content, settings.temporal_reach)
    if not settings.coarse_iterations:
        return found
    half = None if content is None else halved(content)
    return replace(found, halved=at(halved(log_spectrogram), half, -(-settings.temporal_reach // 2)))


def mean_target(targets: Sequence[tuple[float, Target]]) -> Target:
    """Return the weighted mean of what is kept of several styles, as long as the first of them."""
    (so_far, found), *others = targets
    for share, other in others:
        so_far += share
        found = _between(found, other, share / so_far)
    return found


def _between(one: Target, other: Target, share: float) -> Target:
    kept = {term.name: term.between(one.kept[term.name], other.kept[term.name], share) for term in TERMS}
    halves = one.halved, other.halved
    half = None if halves[0] is None or halves[1] is None else _between(halves[0], halves[1], share)
    return replace(one, kept=kept, halved=half)


@dataclass(frozen=True)
class Problem:
    """Equation 1 for a batch: the terms, each pair's weights `[B, K]`, and the settings that all pairs share."""

    objective: Objective
    weights: Tensor
    settings: Settings


class Objective:
    """The terms for a batch of pairs, in one forward pass of the network.

    Parameters
    ----------
    encoder : Encoder
        Frozen filters.
    contents, styles : sequences of Target
        One of each per pair; contents may differ in length and are padded to the longest.
    settings : Settings
        Layers, bands and scales; the weights are each pair's own and are applied by the caller.
    """

    def __init__(
        self, encoder: Encoder, contents: Sequence[Target], styles: Sequence[Target], settings: Settings
    ) -> None:
        lengths = [content.frames for content in contents]
        longest, device = max(lengths), encoder.input_mean.device
        self.frames = torch.tensor(lengths, device=device)
        mask = None if min(lengths) == longest else frame_mask(self.frames, longest)[:, 0]
        self.batch = Batch(self.frames, mask, encoder, settings, contents[0].reach)
        self.encoded, self.distances = {}, {}
        for term in TERMS:
            kept = [content.kept[term.name] for content in contents], [style.kept[term.name] for style in styles]
            if isinstance(term, EncodedTerm):
                self.encoded[term.name] = term.layers(*kept, self.batch)
            elif isinstance(term, SpectrogramTerm):
                self.distances[term.name] = term.distance(*kept, self.batch)

    def __call__(self, log_spectrogram: Tensor) -> LossTerms:
        """Return the terms of log-spectrograms `[B, F, T]`; padding does not count and gets no gradient."""
        batch = self.batch
        if batch.mask is not None:
            log_spectrogram = log_spectrogram * batch.mask
        values = encoded_distances(log_spectrogram, batch.encoder, batch.padded_frames, list(self.encoded.values()))
        found = dict(zip(self.encoded, values, strict=True))
        found |= {name: distance(log_spectrogram) for name, distance in self.distances.items()}
        return LossTerms({term.name: found[term.name] for term in TERMS})
