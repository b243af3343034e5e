"""Channels of a sound, down to the one that is computed with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CANCELLED_SHARE = 0.05
"""Energy of the mean of N channels, as a share of what N unrelated channels leave, below which they cancel out."""

Samples = NDArray[np.floating[Any]]


def downmix(channels: Samples) -> Samples:
    """Return the mean of the channels, or the loudest channel where the mean cancels them out.

    Stereo in anti-phase has a silent mean. Unrelated channels keep `1 / N` of their energy in the mean, and so does a
    lone channel among silent ones; less than a twentieth of that is cancellation.

    Parameters
    ----------
    channels : ndarray of float
        `[N, channels]`.

    Returns
    -------
    ndarray of float
        `[N]`.

    Examples
    --------
    >>> downmix(np.array([[1.0, 0.5], [0.0, 1.0]]))
    array([0.75, 0.5 ])
    >>> downmix(np.array([[1.0, -1.0], [0.5, -0.5]]))
    array([1. , 0.5])
    """
    mean: Samples = channels.mean(axis=1)
    # One channel at a time: all of them in float64 would be three times the sound.
    energies = np.array([_energy(channels[:, channel]) for channel in range(channels.shape[1])])
    unrelated = energies.mean() / len(energies)
    if _energy(mean) < CANCELLED_SHARE * unrelated:
        return channels[:, energies.argmax()]
    return mean


def _energy(samples: Samples) -> float:
    """Return the energy of what can be heard: a constant has none."""
    mean = samples.mean(dtype=np.float64)
    return float(np.square(samples, dtype=np.float64).sum() - len(samples) * mean * mean)
