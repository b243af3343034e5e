"""A sound filtered to the third-octave spectrum of another, so that what is compared afterwards is not the spectrum.

An equaliser changes only this; a figure that is computed after it gives an equaliser nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
BLOCK = 8_000
"""Transforms are of whole half seconds: a length without large prime factors."""

LOWEST_HZ, N_BANDS, BANDS_PER_OCTAVE = 50.0, 23, 3
"""Third octaves from 50 Hz to 8 kHz."""
GAIN_LIMIT_DB = 40.0
FLOOR_DB = -100.0
PASSES = 2
"""Gains are smooth and bands overlap: a second pass brings what the first has missed."""

Array = NDArray[np.float64]


def padded_length(n_samples: int) -> int:
    """Return the length of the transform for a sound: whole blocks, with zeros of 50 ms at least after the sound.

    >>> padded_length(8_000), padded_length(7_000)
    (16000, 8000)
    """
    return BLOCK * -(-(n_samples + 800) // BLOCK)


def transform(samples: Array) -> NDArray[np.complex128]:
    """Return the spectrum of a whole sound `[N]`, zero-padded to `padded_length`."""
    return np.asarray(np.fft.rfft(samples, padded_length(len(samples))))


def third_octaves_db(samples: Array) -> Array | None:
    """Return a sound's long-term spectrum, dB under its whole energy, `[23]`; None for silence.

    Bands are triangles over the logarithm of frequency, a third of an octave wide at half their height.
    """
    return _bands_db(np.square(np.abs(transform(samples))))


def equalised(samples: Array, wanted_db: Array) -> Array:
    """Return a sound filtered so that its third-octave spectrum is another's.

    The filter has no phase: phrase and pitch stay where they are. Its gains, 40 dB at most either way, are linear in dB
    over the logarithm of frequency between the middles of the bands.

    Parameters
    ----------
    samples : ndarray of float64
        Mono at 16 kHz, `[N]`.
    wanted_db : ndarray of float64
        What `third_octaves_db` says of the other sound, `[23]`.

    Returns
    -------
    ndarray of float64
        `[N]`, at any level. Silence stays silence.
    """
    spectrum = transform(samples)
    power = np.square(np.abs(spectrum))
    positions = np.clip(_positions(len(power)), 0, N_BANDS - 1)
    gains_db = np.zeros(N_BANDS)
    for _ in range(PASSES):
        given_db = _bands_db(power * 10 ** (np.interp(positions, np.arange(N_BANDS), gains_db) / 10))
        if given_db is None:
            return samples
        gains_db = np.clip(gains_db + wanted_db - given_db, -GAIN_LIMIT_DB, GAIN_LIMIT_DB)
    gains = 10 ** (np.interp(positions, np.arange(N_BANDS), gains_db) / 20)
    return np.asarray(np.fft.irfft(gains * spectrum, padded_length(len(samples)))[: len(samples)])


def _bands_db(power: Array) -> Array | None:
    whole = power.sum()
    if not whole > 0:
        return None
    positions = _positions(len(power))
    inside = (positions > -1) & (positions < N_BANDS)
    below = np.floor(positions[inside]).astype(int)
    above_share = positions[inside] - below
    # A bin between the middles of two bands belongs to both, to the nearer one more; band -1 is dropped.
    split = (below, 1 - above_share), (below + 1, above_share)
    lower, upper = (np.bincount(band + 1, share * power[inside], N_BANDS + 2) for band, share in split)
    bands = (lower + upper)[1 : N_BANDS + 1]
    return np.asarray(10 * np.log10(np.maximum(bands / whole, 10 ** (FLOOR_DB / 10))))


def _positions(n_bins: int) -> Array:
    """Return where each bin of a transform lies, in bands from the lowest, `[n_bins]`; under the lowest, below 0."""
    frequencies_hz = np.linspace(0, SAMPLE_RATE / 2, n_bins)
    return np.asarray(BANDS_PER_OCTAVE * np.log2(np.maximum(frequencies_hz, 1.0) / LOWEST_HZ))
