"""What is listened to of a style: all of a short one, pieces from all over a long one.

An hour of a style has the same voice everywhere, and an alignment grows with what it looks through. So a long style is
cut into equal parts, and the loudest few seconds of each are taken: always the same ones, however the file is stored.
A part that is silent gives none. Pieces are joined with a moment of silence between them, which no way through the
style goes on across.

The sound is decoded once from its beginning to its end, a block at a time; memory holds the pieces and no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LISTENED_S = 30.0
"""Of a style in all, s: as much as of one that is taken whole."""

PIECE_S = 3.0
"""Length of a piece of a long style, s: a few notes. Shorter where many clips share what is listened to."""

STEP_S = 0.05
"""Pieces begin at multiples of it, s."""

GAP_S = 0.04
"""Silence between pieces, s: longer than a frame of the analysis."""

FADE_S = 0.01
"""At an end of a piece at which the sound was cut, s."""

SOFTEST_POWER, SILENT_POWER = 1e-4, 2.0**-28
"""Mean square of a piece up to which it is left out: 40 dB under the loudest, and what counts as silence anywhere."""

Samples = NDArray[np.float32]


class HeardStyle(NamedTuple):
    """Samples `[N]` of a style, mono, and how many pieces they are joined of."""

    samples: Samples
    n_pieces: int


def joined_pieces(pieces: Sequence[Samples], sample_rate: int) -> Samples:
    """Return pieces `[N]` or `[N, channels]` one after the other, silence between them."""
    if len(pieces) == 1:
        return pieces[0]
    gap = np.zeros((round(GAP_S * sample_rate), *pieces[0].shape[1:]), dtype=np.float32)
    return np.concatenate([part for piece in pieces for part in (gap, piece)][1:])


def loudest_pieces(blocks: Iterable[Samples], n_samples: int, sample_rate: int, listened_s: float) -> list[Samples]:
    """Return the loudest piece `[N, channels]` of each of a sound's parts, faded where it was cut.

    Parameters
    ----------
    blocks : iterable of ndarray
        The sound, `[N, channels]` at a time.
    n_samples : int
        How long it is.
    sample_rate : int
        In Hz.
    listened_s : float
        How much of it is taken, s.
    """
    step = max(1, round(STEP_S * sample_rate))
    n_parts = max(1, int(listened_s / PIECE_S))
    steps = max(1, round(listened_s / n_parts * sample_rate / step))
    parts = [_Part(steps) for _ in range(n_parts)]
    for place, (taken, energy) in enumerate(_in_steps(blocks, step)):
        parts[min(place * step * n_parts // max(1, n_samples), n_parts - 1)].take(place, taken, energy)
    softest = max(max(part.power for part in parts) * SOFTEST_POWER, SILENT_POWER)
    last, fade = -(-n_samples // step), round(FADE_S * sample_rate)
    return [_faded(part, last, fade) for part in parts if part.power > softest]


@dataclass
class _Part:
    """One part of a sound: the steps of it that were met last, and the loudest run of them so far, the first of equals.

    Energies are added anew for each run, so that equal sounds have equal sums.
    """

    steps: int
    recent: deque[tuple[Samples, float]] = field(default_factory=deque)
    loudest: list[Samples] = field(default_factory=list)
    loudest_energy: float = -1.0
    first: int = 0

    def take(self, place: int, taken: Samples, own_energy: float) -> None:
        """Look at one step more, the number of which is `place`."""
        self.recent.append((taken, own_energy))
        if len(self.recent) > self.steps:
            self.recent.popleft()
        energy = sum(own for _, own in self.recent)
        if (energy, len(self.recent)) > (self.loudest_energy, len(self.loudest)):
            self.loudest, self.loudest_energy = [samples for samples, _ in self.recent], energy
            self.first = place - len(self.recent) + 1

    @property
    def power(self) -> float:
        """Mean square of the loudest run."""
        return self.loudest_energy / max(1, sum(samples.size for samples in self.loudest))


def _energies(steps: Samples) -> NDArray[np.float64]:
    """Return the energy of what can be heard of steps `[S, N, channels]`: a constant has none."""
    constant = np.square(steps.mean(axis=1, dtype=np.float64)).sum(axis=1) * steps.shape[1]
    return np.asarray(np.square(steps).sum(axis=(1, 2), dtype=np.float64) - constant)


def _in_steps(blocks: Iterable[Samples], step: int) -> Iterator[tuple[Samples, float]]:
    """Give samples in steps of one length, whatever the lengths of the blocks, with their energies.

    The last may be shorter.
    """
    left: Samples | None = None
    for block in blocks:
        whole = block if left is None or not len(left) else np.concatenate([left, block])
        end = len(whole) // step * step
        steps = whole[:end].reshape(-1, step, whole.shape[1])
        yield from zip((taken.copy() for taken in steps), _energies(steps).tolist(), strict=True)
        left = whole[end:]
    if left is not None and len(left):
        yield left, float(_energies(left[None])[0])


def _faded(part: _Part, last_step: int, fade: int) -> Samples:
    """Return the samples of a part's loudest run, faded at an end that is not the sound's own."""
    samples = np.concatenate(part.loudest)
    ramp = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))[:, None] ** 2
    if part.first > 0:
        samples[:fade] *= ramp[: len(samples)]
    if part.first + len(part.loudest) < last_step:
        samples[-fade:] *= ramp[::-1][-len(samples) :]
    return samples
