"""How tonal a sound is, band by band: flatness and crest of its spectrum from frame to frame.

Content and output are equalised to the style first (`stylecore.equalising`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stylecore.distances import share_travelled
from stylecore.equalising import SAMPLE_RATE

N_FFT, HOP = 1024, 320
"""64 ms: partials 50 Hz apart are told apart."""
EDGES_HZ = (90.0, 300.0, 600.0, 1_000.0, 1_600.0, 2_400.0, 3_500.0, 5_000.0, 7_500.0)
LOUD_DB = 40.0
AUDIBLE_DB = 50.0
FLOOR_DB = 90.0
"""How far under the sound's brightest cell the spectrum counts: what lies deeper is rounding, and equally loud."""
NEGLIGIBLE_DB = 0.2

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tonality:
    """Flatness and crest of one sound.

    Attributes
    ----------
    values_db : ndarray of float64
        Flatness (geometric over arithmetic mean of the power) and crest (maximum over arithmetic mean) of each band,
        means over loud frames, `[8, 2]`.
    weights : ndarray of float64
        How much each band counts, 0 to 1, `[8]`.
    """

    values_db: Array
    weights: Array


def tonality(samples: Array) -> Tonality | None:
    """Return the flatness and crest of one sound, mono at 16 kHz, `[N]`; None for silence and less than 64 ms."""
    if len(samples) < N_FFT:
        return None
    frames = sliding_window_view(samples, N_FFT)[::HOP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(N_FFT + 1)[:N_FFT], axis=1)))
    if not power.max() > 0:
        return None
    energy = power.sum(axis=1)
    loud = power[energy > energy.max() * 10 ** (-LOUD_DB / 10)] + power.max() * 10 ** (-FLOOR_DB / 10)
    edges = np.searchsorted(np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE), EDGES_HZ)
    bands = [loud[:, low:high] for low, high in pairwise(edges)]
    level_db = np.array([10 * np.log10(band.sum(axis=1).mean()) for band in bands])
    return Tonality(
        values_db=np.array([_flatness_and_crest_db(band) for band in bands]),
        weights=np.clip(1 + (level_db - level_db.max()) / AUDIBLE_DB, 0, 1),
    )


def tonality_transfer(output: Tonality, content: Tonality, style: Tonality) -> float | None:
    """Return how far flatness and crest moved from the content's (0) to the style's (1)."""
    sounds = output.values_db, content.values_db, style.values_db
    return share_travelled(*sounds, style.weights[:, None], NEGLIGIBLE_DB)


def _flatness_and_crest_db(band: Array) -> tuple[float, float]:
    mean_db = 10 * np.log10(band.mean(axis=1))
    flatness_db = 10 * np.log10(band).mean(axis=1) - mean_db
    crest_db = 10 * np.log10(band.max(axis=1)) - mean_db
    return float(flatness_db.mean()), float(crest_db.mean())
