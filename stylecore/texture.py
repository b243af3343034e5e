"""What a sound is like from moment to moment, without what is played: statistics of cochlear envelopes.

After McDermott & Simoncelli, "Sound texture perception via statistics of the auditory periphery" (2011): how fast the
bands fluctuate, which of them do so together, and how sparsely. Content and output are equalised to the style first
(`stylecore.equalising`), so the average spectrum, which an equaliser can give, is no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stylecore.distances import share_travelled
from stylecore.equalising import SAMPLE_RATE, padded_length

N_BANDS, LOWEST_HZ, HIGHEST_HZ = 32, 50.0, 7_500.0
BAND_RATE = 2_000
"""Samples of a band's envelope per second before the power law; more than the widest band has Hz."""
ENVELOPE_RATE = 400
COMPRESSION = 0.3
MODULATION_EDGES_HZ = (8.0, 16.0, 32.0, 64.0, 128.0, 200.0)
MODULATION_FLOOR = 1e-3
SLOWEST_HZ = 4.0
"""Fluctuations slower than this are what is played, not what it sounds like: they are taken out first. With them, one
half of a sound tells little of the other half, and a phrase on the style's own instrument counts as another texture."""
REACH = 2
"""Bands to either side that statistics are averaged over."""
LOUD_DB = 40.0
"""A moment that is further under the loudest is a pause, which says nothing about texture."""
AUDIBLE_DB = 50.0
"""A band so far under the strongest counts nothing, the strongest fully, one between in proportion."""
EVEN = 0.01
"""Coefficients of variation below this are those of an even envelope."""

MODULATION_NEGLIGIBLE_DB, CORRELATION_NEGLIGIBLE, SHAPE_NEGLIGIBLE = 0.1, 0.005, 0.01

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Texture:
    """Statistics of one sound: of its fluctuations of 4 Hz and more, over its loud moments.

    Attributes
    ----------
    modulation_db : ndarray of float64
        Power of the modulations between `MODULATION_EDGES_HZ` relative to the band's own variance, `[32, 5]`.
    correlation : ndarray of float64
        Of each two bands' envelopes, `[32, 32]`.
    shape : ndarray of float64
        Natural logarithm of the envelope's coefficient of variation, and its skew, `[32, 2]`.
    weights : ndarray of float64
        How much each band counts, 0 to 1, `[32]`.
    """

    modulation_db: Array
    correlation: Array
    shape: Array
    weights: Array


def texture(samples: Array) -> Texture | None:
    """Return the statistics of one sound.

    Parameters
    ----------
    samples : ndarray of float64
        Mono at 16 kHz, `[N]`, at any level.

    Returns
    -------
    Texture or None
        None for silence.
    """
    amplitudes = _amplitudes(samples)
    energy = np.square(amplitudes)
    if not energy.max() > 0:
        return None
    envelopes, loudness = _resampled(amplitudes**COMPRESSION), _resampled(energy.sum(axis=0)[None])[0]
    loud = loudness > loudness.max() * 10 ** (-LOUD_DB / 10)
    level_db = 10 * np.log10(np.maximum(energy.sum(axis=1) / energy.sum(), 1e-30))
    weights = np.clip(1 + (level_db - level_db.max()) / AUDIBLE_DB, 0, 1)
    mean = np.maximum(envelopes[:, loud].mean(axis=1), 1e-30)
    # A pause that went down to silence would shake the envelope on both its sides.
    filled = np.where(loud, envelopes, mean[:, None])
    fluctuations = _modulations(filled, SLOWEST_HZ, ENVELOPE_RATE)
    spread = np.maximum(fluctuations[:, loud].std(axis=1), EVEN * mean)
    standard = fluctuations / spread[:, None]
    shape = np.stack([np.log(spread / mean), (standard[:, loud] ** 3).mean(axis=1)], axis=1)
    smooth = _neighbourhoods(weights)
    return Texture(
        modulation_db=10 * np.log10(smooth @ _modulation_power(standard, loud) + MODULATION_FLOOR),
        correlation=smooth @ (standard[:, loud] @ standard[:, loud].T / loud.sum()) @ smooth.T,
        shape=smooth @ shape,
        weights=weights,
    )


def modulation_transfer(output: Texture, content: Texture, style: Texture) -> float | None:
    """Return how far the power of fast modulations moved from the content's (0) to the style's (1).

    Modulations faster than a band is wide come from the power law alone, and do not count.
    """
    weights = style.weights[:, None] * (MODULATION_EDGES_HZ[:-1] < _widths_hz()[:, None])
    sounds = output.modulation_db, content.modulation_db, style.modulation_db
    return share_travelled(*sounds, weights, MODULATION_NEGLIGIBLE_DB)


def correlation_transfer(output: Texture, content: Texture, style: Texture) -> float | None:
    """Return how far the correlations of bands moved from the content's (0) to the style's (1).

    Neighbours overlap, so they are correlated in any sound, and do not count.
    """
    apart = np.abs(np.subtract.outer(np.arange(N_BANDS), np.arange(N_BANDS))) > 1
    weights = np.sqrt(np.outer(style.weights, style.weights)) * apart
    return share_travelled(output.correlation, content.correlation, style.correlation, weights, CORRELATION_NEGLIGIBLE)


def shape_transfer(output: Texture, content: Texture, style: Texture) -> float | None:
    """Return how far variation and skew of the envelopes moved from the content's (0) to the style's (1)."""
    return share_travelled(output.shape, content.shape, style.shape, style.weights[:, None], SHAPE_NEGLIGIBLE)


def texture_transfer(output: Texture, content: Texture, style: Texture) -> float | None:
    """Return the mean of the transfers of modulation, correlation and shape; None where none of them exists."""
    parts = [part(output, content, style) for part in (modulation_transfer, correlation_transfer, shape_transfer)]
    known = [part for part in parts if part is not None]
    return float(np.mean(known)) if known else None


def _amplitudes(samples: Array) -> Array:
    """Return the Hilbert envelopes of the cochlear bands at `BAND_RATE`, `[32, L]`.

    A band's bins, moved to 0 Hz, are the spectrum of its analytic signal at a lower rate; the moving leaves the
    absolute value as it is.
    """
    spectrum = np.fft.rfft(samples, padded_length(len(samples)))
    n_band = padded_length(len(samples)) * BAND_RATE // SAMPLE_RATE
    bands = np.zeros((N_BANDS, n_band), dtype=np.complex128)
    for band, (first, gains) in enumerate(_filters(len(spectrum))):
        bands[band, : len(gains)] = gains * spectrum[first : first + len(gains)]
    n_sound = -(-len(samples) * BAND_RATE // SAMPLE_RATE)
    return np.asarray(np.abs(np.fft.ifft(bands, axis=1))[:, :n_sound])


@lru_cache(maxsize=8)
def _filters(n_bins: int) -> list[tuple[int, Array]]:
    """Return the first bin and the gains of each band: half-cosines over the ERB scale whose squares add up to 1."""
    frequencies_hz = np.linspace(0, SAMPLE_RATE / 2, n_bins)
    positions, middles = _erb(frequencies_hz), _middles()
    step = middles[1] - middles[0]
    filters = []
    for middle in middles:
        inside = np.flatnonzero(np.abs(positions - middle) < step)
        filters.append((int(inside[0]), np.cos(np.pi / 2 * (positions[inside] - middle) / step)))
    return filters


def _middles() -> Array:
    edges = np.linspace(_erb(np.array(LOWEST_HZ)), _erb(np.array(HIGHEST_HZ)), N_BANDS + 2)
    return np.asarray(edges[1:-1])


def _widths_hz() -> Array:
    """Return how many Hz each band has between its edges, `[32]`."""
    middles = _middles()
    step = middles[1] - middles[0]
    return np.asarray(_hz(middles + step) - _hz(middles - step))


def _erb(frequency_hz: Array) -> Array:
    """Return the number of equivalent rectangular bandwidths below a frequency (Glasberg & Moore 1990)."""
    return np.asarray(9.265 * np.log(1 + frequency_hz / (24.7 * 9.265)))


def _hz(erb: Array) -> Array:
    return np.asarray(24.7 * 9.265 * (np.exp(erb / 9.265) - 1))


def _resampled(envelopes: Array) -> Array:
    """Return envelopes at `ENVELOPE_RATE`, each value the mean of the samples around it."""
    group = BAND_RATE // ENVELOPE_RATE
    n_frames = envelopes.shape[1] // group
    return np.asarray(envelopes[:, : n_frames * group].reshape(len(envelopes), n_frames, group).mean(axis=2))


def _modulations(envelopes: Array, low_hz: float, high_hz: float) -> Array:
    """Return the part of envelopes whose modulations are in a range, `[32, T]`."""
    n_frames = envelopes.shape[1]
    rates_hz = np.fft.rfftfreq(n_frames, 1 / ENVELOPE_RATE)
    inside = (rates_hz >= low_hz) & (rates_hz < high_hz)
    return np.asarray(np.fft.irfft(np.fft.rfft(envelopes, axis=1) * inside, n_frames, axis=1))


def _modulation_power(standard: Array, loud: NDArray[np.bool_]) -> Array:
    parts = [_modulations(standard, low_hz, high_hz)[:, loud] for low_hz, high_hz in pairwise(MODULATION_EDGES_HZ)]
    return np.stack([np.square(part).mean(axis=1) for part in parts], axis=1)


def _neighbourhoods(weights: Array) -> Array:
    """Return the matrix that takes the mean, by weight, of each band and those around it, `[32, 32]`.

    A note further up or down has its partials in the next bands; what the sound is like has not changed.
    """
    near = np.abs(np.subtract.outer(np.arange(N_BANDS), np.arange(N_BANDS))) <= REACH
    shares = near * weights + 1e-9 * np.eye(N_BANDS)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
