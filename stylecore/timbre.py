"""The timbre of a sound as its mean MFCCs, and what it would be at another pitch."""

from __future__ import annotations

import librosa
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
MEL_BANDS = 64
MFCC_COUNT = 13
ENVELOPE_CEPSTRA = 24
"""Cepstral coefficients of the smooth envelope: 1.5 ms, shorter than the period of a pitch of 660 Hz."""
FLOOR_DB = 100.0

Array = NDArray[np.float64]


def mean_mfcc(magnitude: Array) -> Array | None:
    """Return the mean MFCCs 1 to 12 of a magnitude STFT `[257, T]`, frames weighted by magnitude; None for silence."""
    weights = magnitude.sum(axis=0)
    if not weights.sum() > 0:
        return None
    mel = librosa.feature.melspectrogram(S=magnitude**2, sr=SAMPLE_RATE, n_mels=MEL_BANDS)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=MFCC_COUNT)
    # Coefficient 0 is the level, which is no part of a timbre.
    return np.asarray(mfcc[1:] @ weights / weights.sum())


def transposed(magnitude: Array, ratio: float) -> Array:
    """Return a sound's magnitude STFT as the same instrument would have it at another pitch.

    The fine structure, the partials, is stretched along frequency. The smooth envelope, the instrument's body, stays
    where it is. Above what is stretched down there is the envelope alone.

    Parameters
    ----------
    magnitude : ndarray of float64
        `[F, T]`.
    ratio : float
        New pitch over old.

    Returns
    -------
    ndarray of float64
        `[F, T]`.
    """
    level = np.log(np.maximum(magnitude, magnitude.max() * 10 ** (-FLOOR_DB / 20)))
    envelope = _envelope(level)
    bins = np.arange(len(level)) / ratio
    below = np.minimum(np.floor(bins).astype(int), len(level) - 2)
    share = np.clip(bins - below, 0, 1)[:, None]
    fine = level - envelope
    stretched = (1 - share) * fine[below] + share * fine[below + 1]
    stretched[bins > len(level) - 1] = 0.0
    return np.asarray(np.exp(envelope + stretched))


def _envelope(level: Array) -> Array:
    """Return the smooth part of log-magnitudes, their first cepstral coefficients, `[F, T]`."""
    cepstra = np.fft.irfft(level, axis=0)
    cepstra[ENVELOPE_CEPSTRA : len(cepstra) - ENVELOPE_CEPSTRA + 1] = 0.0
    return np.asarray(np.fft.rfft(cepstra, axis=0).real)
