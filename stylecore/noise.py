"""How clean a sound is: its harmonics-to-noise ratio, and the bright blips that only a result has.

Neither figure compares with the style alone: both say whether the result is a sound that anybody would want to hear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

HNR_FRAME = 1024
"""64 ms: nearly five periods of the lowest pitch."""
HNR_HOP = 320
HNR_LOWEST_HZ, HNR_HIGHEST_HZ = 75.0, 2000.0
HNR_LOUD_DB = 30.0
HNR_OVERSAMPLING = 8
HNR_LEAST_DB, HNR_MOST_DB = -20.0, 60.0
"""Under the least there is no period at all; beyond the most the interpolation errs."""

BLIP_FFT, BLIP_WINDOW, BLIP_HOP = 512, 480, 160
BLIP_CONTRAST_DB = 15.0
BLIP_AUDIBLE_DB = 45.0
BLIP_FRAMES = (3, 4, 5)
"""30 to 50 ms before and after: beyond the window that a burst of 20 ms smears over."""
BLIP_BINS = (6, 7, 8)
"""190 to 250 Hz above and below."""
BLIP_NEIGHBOURS = 5
"""A blip is the brightest cell within so many frames and bins: one burst is counted once."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Blips:
    """Isolated bright cells of one sound: where they are, and how long the sound is."""

    count: int
    duration_s: float

    @property
    def per_s(self) -> float:
        """Blips per second."""
        return self.count / self.duration_s


def harmonics_to_noise_db(samples: NDArray[np.floating]) -> float | None:
    """Return the median over loud frames of the harmonics-to-noise ratio.

    The autocorrelation of a windowed frame, divided by that of the window, has at a lag of one period the height `r`:
    the periodic part of the power. The ratio is `10 log10(r / (1 - r))`, `r` the highest maximum between the lags of
    2000 and 75 Hz. A sine has more than 50 dB, a sung vowel 15 to 25, white noise about -8.

    Parameters
    ----------
    samples : ndarray of float
        Mono at 16 kHz, `[N]`, at any level.

    Returns
    -------
    float or None
        In dB, from -20 to 60. None for silence, and for sounds shorter than a frame (64 ms).

    References
    ----------
    Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
    sound" (1993), equations 4 and 9. Departure: the median over frames within 30 dB of the loudest stands for the
    voiced frames that Boersma's path finder picks.
    """
    sound = np.asarray(samples, dtype=np.float64)
    if len(sound) < HNR_FRAME:
        return None
    frames = sliding_window_view(sound, HNR_FRAME)[::HNR_HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    energy = np.square(frames).sum(axis=1)
    loud = energy > energy.max() * 10 ** (-HNR_LOUD_DB / 10)
    if not loud.any():
        return None
    return float(np.median(_ratio_db(np.concatenate([_periodic_share(part) for part in _chunks(frames[loud])]))))


def blips(samples: NDArray[np.floating]) -> Blips:
    """Count the isolated bright cells of a sound.

    A blip is a cell of the STFT (31.25 Hz, 10 ms) within 45 dB of the brightest that outshines by 15 dB all of 30 to
    50 ms before and after at its frequency, and all of 190 to 250 Hz above and below at its time.

    Parameters
    ----------
    samples : ndarray of float
        Mono at 16 kHz, `[N]`, at any level, not empty.

    Returns
    -------
    Blips
    """
    level_db = _level_db(np.asarray(samples, dtype=np.float64))
    found = level_db > level_db.max() - BLIP_AUDIBLE_DB
    for axis, offsets in ((0, BLIP_BINS), (1, BLIP_FRAMES)):
        for side in (-1, 1):
            for offset in offsets:
                found &= level_db > _shifted(level_db, side * offset, axis) + BLIP_CONTRAST_DB
    count = sum(_is_brightest(level_db, bin_, frame) for bin_, frame in np.argwhere(found))
    return Blips(count, len(samples) / SAMPLE_RATE)


def added_blips_per_s(output: Blips, content: Blips, style: Blips) -> float:
    """Return the output's blips per second beyond those of the content and of the style, whichever has more."""
    return max(0.0, output.per_s - max(content.per_s, style.per_s))


def blips_per_s(output: NDArray[np.floating], content: NDArray[np.floating], style: NDArray[np.floating]) -> float:
    """Return `added_blips_per_s` of three sounds, mono at 16 kHz, `[N]`.

    >>> time_s = np.arange(16_000) / 16_000
    >>> tone = np.sin(2_000 * time_s)
    >>> burst = np.exp(-(((time_s - 0.5) / 0.006) ** 2)) * np.sin(15_000 * time_s)
    >>> blips_per_s(tone + 0.3 * burst, tone, tone), blips_per_s(tone, tone, tone)
    (1.0, 0.0)
    """
    return added_blips_per_s(blips(output), blips(content), blips(style))


def _chunks(frames: Array) -> list[Array]:
    """Return frames in parts whose oversampled autocorrelations take some megabytes."""
    return [frames[start : start + 64] for start in range(0, len(frames), 64)]


def _periodic_share(frames: Array) -> Array:
    """Return the highest maximum of each frame's normalised autocorrelation, `[T]`."""
    window = np.hanning(HNR_FRAME + 1)[:HNR_FRAME]
    lags = slice(0, int(HNR_OVERSAMPLING * SAMPLE_RATE / HNR_LOWEST_HZ) + 2)
    # Boersma's equation 9: what the window takes from the longer lags is given back.
    own = _autocorrelation(window[None])[:, lags]
    heard = _autocorrelation(frames * window)[:, lags]
    heights = heard / heard[:, :1] / (own / own[:, :1])
    inner = heights[:, 1:-1]
    maximum = (inner >= heights[:, :-2]) & (inner > heights[:, 2:])
    # Lag 0 is the highest of all and says nothing, and so do the flanks beside it, where nothing is a maximum.
    maximum[:, : int(HNR_OVERSAMPLING * SAMPLE_RATE / HNR_HIGHEST_HZ) - 1] = False
    return np.where(maximum, inner, 0.0).max(axis=1)


def _autocorrelation(frames: Array) -> Array:
    """Return autocorrelations at steps of an eighth of a sample (zeros after the spectrum interpolate), `[T, lags]`."""
    power = np.square(np.abs(np.fft.rfft(frames, 2 * HNR_FRAME)))
    return np.fft.irfft(power, 2 * HNR_FRAME * HNR_OVERSAMPLING)


def _ratio_db(periodic: Array) -> Array:
    least, most = (10 ** (limit / 10) for limit in (HNR_LEAST_DB, HNR_MOST_DB))
    share = np.clip(periodic, least / (1 + least), most / (1 + most))
    return np.asarray(10 * np.log10(share / (1 - share)))


def _level_db(sound: Array) -> Array:
    """Return the STFT's levels, centred frames, `[257, T]`; 200 dB under the loudest stands for nothing."""
    window = np.hanning(BLIP_WINDOW + 1)[:BLIP_WINDOW]
    padded = np.pad(sound, BLIP_WINDOW // 2)
    frames = sliding_window_view(padded, BLIP_WINDOW)[::BLIP_HOP]
    power = np.square(np.abs(np.fft.rfft(frames * window, BLIP_FFT).T))
    loudest = power.max()
    return np.asarray(10 * np.log10(np.maximum(power / loudest, 1e-20))) if loudest > 0 else np.zeros_like(power)


def _shifted(level_db: Array, offset: int, axis: int) -> Array:
    """Return the levels `offset` cells later along an axis; beyond the edge there is silence."""
    padded = np.pad(
        level_db, [(abs(offset),) * 2 if along == axis else (0, 0) for along in (0, 1)], constant_values=-200
    )
    start = abs(offset) + offset
    return np.take(padded, np.arange(start, start + level_db.shape[axis]), axis=axis)


def _is_brightest(level_db: Array, bin_: int, frame: int) -> bool:
    reach = BLIP_NEIGHBOURS
    around = level_db[max(0, bin_ - reach) : bin_ + reach + 1, max(0, frame - reach) : frame + reach + 1]
    return bool(level_db[bin_, frame] == around.max())
