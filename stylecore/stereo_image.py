"""A stereo image: the one sound that was computed, back to where the content's channels had theirs.

The objective knows one sound. Where the content comes from, in each band and at each moment, is kept beside it: how its
energy is shared by the channels, and with which phase. The result is shared likewise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import ShortTimeFFT

from stylecore.channels import downmix

WINDOW_S, HOPS_PER_WINDOW = 0.032, 4
BANDS = 32
"""Of equal width on the scale of equivalent rectangular bandwidths, like those of the ear."""

MEAN_FRAMES = 7
"""An image is a mean over 56 ms: faster changes would be heard as roughness."""

USUAL = 1e-3
"""Share of a band's usual image in that of a moment: where the content is silent it decides, 30 dB below."""

Samples = NDArray[np.floating[Any]]


def placed(sound: Samples, channels: Samples, sample_rate: int) -> NDArray[np.float32]:
    """Return a sound as heard where other channels have theirs.

    In each band and at each moment the sound's energy is shared as the channels share theirs, and each share has the
    phase of its channel relative to their `downmix`, as far as the two go together at all.

    Parameters
    ----------
    sound : ndarray of float
        `[N]`.
    channels : ndarray of float
        `[N, channels]`: whose image it is.
    sample_rate : int
        Of both, in Hz.

    Returns
    -------
    ndarray of float32
        `[N, channels]`; the mean energy of the channels is that of the sound. Equal channels stay equal, a silent one
        stays silent, and one that is another's negative stays so.
    """
    transform = _transform(sample_rate)
    triangles = _bands(transform.f)
    own = np.asarray(downmix(channels), dtype=np.float64)
    gains = _gains(channels, own, transform, triangles)
    spectrum = transform.stft(np.asarray(sound, dtype=np.float64))
    length = len(sound)
    return np.stack(
        [transform.istft(spectrum * (triangles.T @ gain), k1=length)[:length] for gain in gains], axis=1
    ).astype(np.float32)


def _transform(sample_rate: int) -> ShortTimeFFT:
    length = HOPS_PER_WINDOW * round(WINDOW_S * sample_rate / HOPS_PER_WINDOW)
    window = np.hanning(length + 1)[:-1]
    return ShortTimeFFT(window, length // HOPS_PER_WINDOW, sample_rate, fft_mode="onesided")


def _bands(frequencies_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return triangles `[bands, F]` that add up to 1 in every bin (scale: Glasberg & Moore 1990)."""
    position = np.log10(1 + 0.00437 * frequencies_hz)
    position *= (BANDS - 1) / position[-1]
    return np.maximum(0, 1 - np.abs(position - np.arange(BANDS)[:, None]))


def _gains(
    channels: Samples, own: Samples, transform: ShortTimeFFT, triangles: NDArray[np.float64]
) -> list[NDArray[np.complex128]]:
    """Return the complex gain of each channel in each band, `[bands, T]`; over channels their squares' mean is 1."""
    downmixed = transform.stft(own)
    level = _usual(triangles @ np.square(np.abs(downmixed)))
    levels, phases = [], []
    for channel in range(channels.shape[1]):
        spectrum = transform.stft(np.asarray(channels[:, channel], dtype=np.float64))
        levels.append(_usual(triangles @ np.square(np.abs(spectrum))))
        phases.append(_together(_usual(triangles @ (spectrum * downmixed.conj())), level * levels[-1]))
    whole = np.mean(levels, axis=0)
    shares = [np.sqrt(np.divide(one, whole, out=np.ones_like(one), where=whole > 0)) for one in levels]
    return [share * phase for share, phase in zip(shares, phases, strict=True)]


def _usual(values: NDArray[Any]) -> NDArray[Any]:
    """Return a local mean over time of `[bands, T]`, where little is there that of the band, or that of all bands."""
    local = _mean_over_time(values)
    usual = values.mean(axis=1, keepdims=True)
    return np.asarray(local + USUAL * usual + USUAL**2 * usual.mean())


def _mean_over_time(values: NDArray[Any]) -> NDArray[Any]:
    if np.iscomplexobj(values):
        return np.asarray(_mean_over_time(values.real) + 1j * _mean_over_time(values.imag))
    return np.asarray(uniform_filter1d(values, MEAN_FRAMES, axis=1, mode="nearest"))


def _together(cross: NDArray[np.complex128], energies: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return unit complex numbers: the phase of a cross-spectrum where two signals are coherent, else 1."""
    size = np.abs(cross)
    coherence = np.divide(np.square(size), energies, out=np.zeros_like(size), where=energies > 0).clip(0, 1)
    phase = np.divide(cross, size, out=np.ones_like(cross), where=size > 0)
    mixed = coherence * phase + (1 - coherence)
    size = np.abs(mixed)
    return np.divide(mixed, size, out=np.ones_like(mixed), where=size > 1e-6)
