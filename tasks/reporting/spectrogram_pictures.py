"""Spectrograms as pictures: logarithmic frequency, levels in dB, PNG files of a few kilobytes.

Here a picture is drawn for eyes alone: its frames and bands are not those of the method, which are linear.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.floating]

BANDS = 128
"""Height of a picture."""

FRAMES = 400
"""Width of a picture."""

LOWEST_HZ, HIGHEST_HZ = 50.0, 20_000.0

RANGE_DB = 72.0
"""Levels under the peak that are told apart."""

DIFFERENCE_DB = 24.0
"""Difference of levels at which the colour is full."""

FLOOR_DB = 54.0
"""Levels under the content's peak that a difference no longer looks at: what is not heard does not differ."""

_WINDOW_S = 0.06
_STEPS = 29
"""Colours of a picture: 3 dB apart, more cost bytes and show nothing; odd, so that no difference has one of its own."""

_BASE = (13, 11, 24)
"""Colour of silence, and of what does not differ."""

_HEAT = (_BASE, (58, 20, 98), (142, 38, 121), (222, 78, 92), (250, 152, 88), (253, 236, 190))
_LESS_MORE = ((150, 220, 255), (58, 134, 222), _BASE, (240, 128, 52), (255, 226, 150))


def top_hz(sample_rate: int) -> float:
    """Return the highest frequency of a picture of a sound with that rate, in Hz."""
    return min(HIGHEST_HZ, sample_rate / 2)


def band_powers(samples: NDArray[np.floating], sample_rate: int) -> Array:
    """Return the power of a sound in bands of logarithmic width.

    Parameters
    ----------
    samples : ndarray of float
        `[N]`.
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray of float32
        `[BANDS, FRAMES]`, the lowest band first.
    """
    size = 2 ** math.ceil(math.log2(_WINDOW_S * sample_rate))
    padded = np.pad(np.asarray(samples, np.float32), size // 2)
    starts = np.linspace(0, len(samples), FRAMES, endpoint=False).astype(np.int64)
    frames = padded[starts[:, None] + np.arange(size)] * np.hanning(size).astype(np.float32)
    powers = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    bands: Array = (_bands(size, sample_rate) @ powers.T).astype(np.float32)
    return bands


def _bands(size: int, sample_rate: int) -> Array:
    """Return what each bin of a transform counts in each band, `[BANDS, F]`: triangles, a bin wide at least."""
    bin_hz = sample_rate / size
    centres = np.geomspace(LOWEST_HZ, top_hz(sample_rate), BANDS)
    ratio = centres[1] / centres[0]
    widths = np.maximum(centres * (ratio - 1), bin_hz)
    distances = np.abs(np.arange(size // 2 + 1) * bin_hz - centres[:, None]) / widths[:, None]
    weights = np.maximum(0, 1 - distances)
    shares: Array = weights / weights.sum(axis=1, keepdims=True)
    return shares


def spectrogram_png(powers: Array) -> bytes:
    """Return the picture of a sound's band powers, in dB under their peak."""
    peak = float(powers.max()) or 1.0
    levels = _decibels(powers / peak, RANGE_DB) / RANGE_DB + 1
    return _png(levels, _HEAT)


def difference_png(result: Array, content: Array) -> bytes:
    """Return the picture of what a result has more (orange) or less (blue) than its content, level by level."""
    peak = float(content.max()) or 1.0
    more = _decibels(result / peak, FLOOR_DB) - _decibels(content / peak, FLOOR_DB)
    return _png(np.clip(more / DIFFERENCE_DB, -1, 1) / 2 + 0.5, _LESS_MORE)


def _decibels(powers: Array, range_db: float) -> Array:
    least = 10 ** (-range_db / 10)
    levels: Array = 10 * np.log10(np.maximum(powers, least))
    return levels


def _png(levels: Array, colours: tuple[tuple[int, int, int], ...]) -> bytes:
    """Return levels within 0 and 1, the lowest band first, as a PNG with a palette."""
    steps = np.rint(np.clip(levels, 0, 1) * (_STEPS - 1)).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(steps[::-1]))
    picture.putpalette(_palette(colours))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _palette(colours: tuple[tuple[int, int, int], ...]) -> list[int]:
    places = np.linspace(0, len(colours) - 1, _STEPS)
    mixed = [np.interp(places, np.arange(len(colours)), channel) for channel in zip(*colours, strict=True)]
    return [int(value) for value in np.rint(np.stack(mixed, axis=1)).ravel()]
