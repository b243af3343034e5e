"""Join the results of segments: without steps of level, cancelling phases or clicks; memory holds two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.pipeline.placing import PEAK_LIMIT
from tasks.pipeline.segments import OVERLAP_S, Segment

FADE_S = 0.1
"""Length of a crossfade, in the middle of an overlap."""

LARGEST_SHIFT_S = 0.01
"""How far a segment may be moved to where its waves go on as those before it: too little to be heard as rhythm."""

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class SegmentSound:
    """A segment's result: `load` gives its samples `[N, channels]`, of which there are so many.

    `level` is their RMS over that of the content's segment: less than 1 where a peak was in the way.
    """

    segment: Segment
    load: Callable[[], Samples]
    level: float | None

    def start(self, sample_rate: int) -> int:
        """Return where it begins in the whole, in samples."""
        return round(self.segment.start_s * sample_rate)


def joined(parts: Sequence[SegmentSound], sample_rate: int, n_samples: int) -> Iterator[Samples]:
    """Give the whole, `[N, channels]` at a time, `n_samples` in all; each part is loaded twice.

    All get one level, that of the part with the least room: a step from one to the next would be heard. Nor may a
    crossfade pass -1 dBFS.
    """
    least = min((part.level for part in parts if part.level is not None), default=1.0)
    leveled = [SegmentSound(part.segment, _at_level(part, least), part.level) for part in parts]
    peak = max(float(np.abs(block).max(initial=0)) for block in _joined(leveled, sample_rate, n_samples))
    gain = np.float32(min(1.0, PEAK_LIMIT / max(peak, 1e-30)))
    for block in _joined(leveled, sample_rate, n_samples):
        yield block * gain


def _at_level(part: SegmentSound, level: float) -> Callable[[], Samples]:
    gain = 1.0 if part.level is None else level / part.level
    return lambda: part.load() * np.float32(gain)


def _joined(parts: Sequence[SegmentSound], sample_rate: int, n_samples: int) -> Iterator[Samples]:
    fade, most = round(FADE_S * sample_rate), round(LARGEST_SHIFT_S * sample_rate)
    at, begin = 0, 0  # where the samples of `before` begin in the whole, and up to where it was given
    before = parts[0].load()
    for part in parts[1:]:
        after, start = part.load(), part.start(sample_rate)
        seam = start + (round(OVERLAP_S * sample_rate) - fade) // 2
        fading = before[seam - at : seam - at + fade]
        first = seam - start - most
        shift = best_shift(fading, after[first : first + fade + 2 * most])
        yield before[begin - at : seam - at]
        coming = after[first + shift : first + shift + fade]
        yield crossfaded(fading, coming)
        at, before, begin = seam - (first + shift), after, seam + fade
    rest = before[begin - at : n_samples - at]
    yield np.pad(rest, [(0, n_samples - begin - len(rest)), (0, 0)])


def best_shift(fading: Samples, coming: Samples) -> int:
    """Return from which sample on what comes, `[N + M, channels]`, goes on most like what fades, `[N, channels]`.

    By the correlation over all channels, which are moved as one; where nothing decides, the middle.

    >>> wave = np.sin(np.arange(300, dtype=np.float32) / 8)[:, None]
    >>> best_shift(wave[7:107], wave[:120])
    7
    """
    shifts = len(coming) - len(fading)
    products = sum(np.correlate(coming[:, channel], fading[:, channel]) for channel in range(fading.shape[1]))
    energy = np.concatenate([[0.0], np.cumsum(np.square(coming, dtype=np.float64).sum(axis=1))])
    norms = np.sqrt(np.maximum(energy[len(fading) :] - energy[: shifts + 1], 0.0))
    likeness = np.where(norms > 1e-9, products / np.maximum(norms, 1e-9), 0.0)
    return int(likeness.argmax()) if likeness.max() > 0 else shifts // 2


def crossfaded(fading: Samples, coming: Samples) -> Samples:
    """Return one sound that becomes the other, both `[N, channels]`, at an even power.

    Of two that are the same wave, amplitudes add up; of two that have nothing to do with each other, powers do.

    >>> rng = np.random.default_rng(0)
    >>> one, other = rng.standard_normal((2, 100_000, 1)).astype(np.float32)
    >>> [round(float(np.sqrt(np.mean(np.square(crossfaded(one, two))))), 2) for two in (one, other)]
    [1.0, 1.0]
    """
    steps = (np.arange(len(fading), dtype=np.float32)[:, None] + 0.5) / len(fading)
    rise = np.square(np.sin(0.5 * np.pi * steps))
    fall = 1.0 - rise
    powers = [float(np.square(sound, dtype=np.float64).sum()) for sound in (fading, coming)]
    product = float((fading.astype(np.float64) * coming).sum())
    likeness = max(0.0, product / max(float(np.sqrt(powers[0] * powers[1])), 1e-30))
    mixed: Samples = (fall * fading + rise * coming) / np.sqrt(fall**2 + rise**2 + 2 * fall * rise * likeness)
    return mixed.astype(np.float32)
