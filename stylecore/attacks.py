"""How a sound rises and falls: the distribution of the slopes of its level, whenever they come.

Content and output are equalised to the style first (`stylecore.equalising`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stylecore.distances import distance
from stylecore.equalising import SAMPLE_RATE

N_FFT, WINDOW, HOP = 512, 320, 160
"""Frames of 20 ms every 10 ms."""
EDGES_HZ = (50.0, 400.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0)
LOUD_DB = 40.0
AUDIBLE_DB = 50.0
FLOOR_DB = 60.0
"""Levels end so far under the band's highest: what lies deeper is heard as silence."""
QUANTILES = (np.arange(100) + 0.5) / 100
NEGLIGIBLE_DB = 0.02

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Attacks:
    """Slopes of one sound's level.

    Attributes
    ----------
    slopes_db : ndarray of float64
        Quantiles .005 to .995 of the change in dB per 10 ms over loud frames: of the whole and of 5 bands, `[6, 100]`.
    weights : ndarray of float64
        How much each row counts, 0 to 1, `[6]`.
    """

    slopes_db: Array
    weights: Array


def attacks(samples: Array) -> Attacks | None:
    """Return the slopes of one sound, mono at 16 kHz, `[N]`; None for silence and for less than three frames."""
    if len(samples) < WINDOW + 2 * HOP:
        return None
    frames = sliding_window_view(samples, WINDOW)[::HOP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(WINDOW + 1)[:WINDOW], N_FFT, axis=1)))
    edges = np.searchsorted(np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE), EDGES_HZ)
    bands = [power[:, low:high].sum(axis=1) for low, high in pairwise(edges)]
    levels = np.stack([power.sum(axis=1), *bands])
    if not levels.max() > 0:
        return None
    highest = levels.max(axis=1, keepdims=True)
    level_db = 10 * np.log10(np.maximum(levels / np.maximum(highest, 1e-300), 10 ** (-FLOOR_DB / 10)))
    # An attack out of silence counts, and so does a release into it: one loud frame of the two is enough.
    loud = level_db[0] > -LOUD_DB
    slopes = np.diff(level_db, axis=1)[:, loud[1:] | loud[:-1]]
    mean_db = 10 * np.log10(np.maximum(levels.mean(axis=1) / levels[1:].mean(axis=1).max(), 1e-30))
    return Attacks(
        slopes_db=np.quantile(slopes, QUANTILES, axis=1).T,
        weights=np.clip(1 + np.minimum(mean_db, 0) / AUDIBLE_DB, 0, 1),
    )


def attack_transfer(output: Attacks, content: Attacks, style: Attacks) -> float | None:
    """Return how far the distribution of slopes moved from the content's (0) to the style's (1).

    The distance is Wasserstein's: the difference of the quantiles, here with its square so that the rare and steep
    slopes, which are the attacks, are not lost among the many small ones.
    """
    weights = style.weights[:, None]
    whole = distance(content.slopes_db, style.slopes_db, weights)
    left = distance(output.slopes_db, style.slopes_db, weights)
    return None if whole is None or left is None or whole <= NEGLIGIBLE_DB else 1 - left / whole
