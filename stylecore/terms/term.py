"""What a term of the objective is, and what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from stylecore.encoded import EncodedLayer
    from stylecore.encoder import Encoder
    from stylecore.settings import Settings

Kept = Mapping[str, Any]
"""What a term keeps of a sound: tensors by name, or tables and tuples of them."""


@dataclass(frozen=True)
class Weight:
    """The setting that weighs a term: its name, its value by default and in the preset `paper`, a line for users."""

    name: str
    default: float
    paper: float
    description: str


@dataclass(frozen=True)
class TargetSound:
    """A sound that a result is compared with.

    Attributes
    ----------
    log_spectrogram : Tensor
        Its log-spectrogram, `[F, T]`.
    content : Tensor or None
        That of the content, where this is the style laid along it; else None.
    encoder : Encoder
        The network.
    settings : Settings
        Layers, bands and scales.
    reach : int
        Of the rhythm's local mean, in frames of this resolution.
    """

    log_spectrogram: Tensor
    content: Tensor | None
    encoder: Encoder
    settings: Settings
    reach: int

    def encodings(self, depth: int) -> list[Tensor]:
        """Return the encodings `[C, F', T']` of layers 1 to `depth`."""
        return [encoding[0] for encoding in self.encoder(self.log_spectrogram[None], depth=depth)]


@dataclass(frozen=True)
class Batch:
    """What the pairs of a batch share.

    Attributes
    ----------
    frames : Tensor
        Each item's own number of frames, `[B]`.
    mask : Tensor or None
        `[B, 1, T]`, zero where an item is padded; None when all are equally long.
    encoder : Encoder
        The network.
    settings : Settings
        Layers, bands and scales; the weights are each pair's own.
    reach : int
        As for `TargetSound`.
    """

    frames: Tensor
    mask: Tensor | None
    encoder: Encoder
    settings: Settings
    reach: int

    @property
    def padded_frames(self) -> Tensor | None:
        """The frames, if any item is padded."""
        return None if self.mask is None else self.frames


class Term(ABC):
    """One term of the objective.

    Attributes
    ----------
    place : int
        In equation 1, from 1.
    name : str
        In columns of the results (`loss_first_<name>`).
    meaning : str
        For users, after "weight of the".
    weight : Weight
        Its setting.
    draws_to_style : bool
        Whether it pulls towards the style: where nothing is laid out, `strength` scales it.
    share_laid_out : float
        The share of the weight that counts where the style is laid along the content.
    """

    place: int
    name: str
    meaning: str
    weight: Weight
    draws_to_style: bool = False
    share_laid_out: float = 1.0

    def of_content(self, sound: TargetSound) -> Kept:
        """Return what is kept of a content."""
        return {}

    def of_style(self, sound: TargetSound) -> Kept:
        """Return what is kept of a style."""
        return {}

    def between(self, one: Kept, other: Kept, share: float) -> Kept:
        """Return what is so far on the way from what is kept of one style to what is of another: 0 the one."""
        kept: Kept = mixed(one, other, share)
        return kept


def mixed(one: Any, other: Any, share: float) -> Any:
    """Return tensors, or tables and tuples of them, mixed with others like them.

    >>> mixed({"a": (1.0, 3.0)}, {"a": (2.0, 5.0)}, 0.5)
    {'a': (1.5, 4.0)}
    """
    if isinstance(one, Mapping):
        return {name: mixed(value, other[name], share) for name, value in one.items()}
    if isinstance(one, tuple):
        return tuple(mixed(*values, share) for values in zip(one, other, strict=True))
    return one + share * (other - one)


class SpectrogramTerm(Term):
    """A term that compares log-spectrograms themselves."""

    @abstractmethod
    def distance(self, contents: Sequence[Kept], styles: Sequence[Kept], batch: Batch) -> Callable[[Tensor], Tensor]:
        """Return the distance of log-spectrograms `[B, F, T]`, zero where padded, from a batch's targets, `[B]`."""


class EncodedTerm(Term):
    """A term that compares encodings: the network is gone through once for all of these."""

    @abstractmethod
    def layers(self, contents: Sequence[Kept], styles: Sequence[Kept], batch: Batch) -> dict[int, EncodedLayer]:
        """Return the distance at each layer that is looked at, with its gradient; the term is their mean."""
