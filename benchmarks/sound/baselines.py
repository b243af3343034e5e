"""What a sound engineer would try before a neural network: an equaliser and a fader.

Both take sounds at any level and return one as long as the content; whoever writes the result sets its level.
"""

from __future__ import annotations

import librosa
import numpy as np
from numpy.typing import NDArray

N_FFT = 2048
OCTAVES = 1 / 3
FLOOR_DB = -80.0
"""How far under its strongest band a spectrum counts: what lies deeper is noise, and no equaliser should raise it."""

Samples = NDArray[np.floating]


def matched_equaliser(content: Samples, style: Samples) -> Samples:
    """Filter the content so that its long-term average spectrum is the style's, both smoothed over a third octave.

    The filter is a linear-phase FIR of 128 ms whose delay is taken out again: phrase and pitch stay where they are.

    Parameters
    ----------
    content, style : ndarray of float
        Mono at 16 kHz, `[N]` and `[M]`.

    Returns
    -------
    ndarray of float
        `[N]`.
    """
    wanted, given = average_spectrum(style), average_spectrum(content)
    response = np.fft.irfft(np.sqrt(wanted / given))
    taps = np.roll(response, N_FFT // 2) * np.hanning(N_FFT + 1)[:N_FFT]
    return np.convolve(content, taps)[N_FFT // 2 : N_FFT // 2 + len(content)]


def average_spectrum(sound: Samples) -> Samples:
    """Return the long-term average power spectrum, smoothed over a third octave, `[N_FFT / 2 + 1]`, its peak at 1."""
    stft = librosa.stft(np.asarray(sound, np.float64), n_fft=N_FFT)
    smoothed = third_octave_means((np.abs(stft) ** 2).mean(axis=1))
    return np.maximum(smoothed / smoothed.max(), 10.0 ** (FLOOR_DB / 10.0))


def third_octave_means(power: Samples) -> Samples:
    """Return for each bin the mean over the third octave around it, and at least over the bin itself.

    >>> third_octave_means(np.ones(1025)).round(6).tolist() == [1.0] * 1025
    True
    """
    bins = np.arange(len(power))
    low = np.floor(bins * 2.0 ** (-OCTAVES / 2)).astype(int)
    high = np.minimum(np.ceil(bins * 2.0 ** (OCTAVES / 2)).astype(int), len(power) - 1)
    running = np.concatenate([[0.0], np.cumsum(power)])
    return (running[high + 1] - running[low]) / (high + 1 - low)


def plain_mix(content: Samples, style: Samples) -> Samples:
    """Add content and style at equal RMS, the style repeated, or cut, to the content's length.

    >>> plain_mix(np.array([2.0, -2.0, 2.0]), np.array([1.0, -1.0])).tolist()
    [2.0, -2.0, 2.0]
    """
    looped = np.resize(style, len(content))
    return content / _rms(content) + looped / _rms(looped)


def _rms(sound: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
