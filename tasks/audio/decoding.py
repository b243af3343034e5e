"""Bytes to samples, in a child process (`tasks.audio.sandbox_worker`): libsndfile parses what anybody may have made.

Whatever is wrong with a file becomes an `AudioError` with a type from `manifests.schema.ERROR_TYPES` and a message
with the path.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.lengths import LONGEST_S, refuse_short
from tasks.audio.sound_errors import AudioError
from tasks.audio.streams import SoundInfo, measure, samples_of

SILENCE_PEAK = 2.0**-14
"""Peak, -84 dBFS, up to which a sound counts as silence: the dither of 16-bit silence stays under it."""

LOUDEST = 2.0**32
"""Largest sample that is believed: full scale is 1, and of integers that were written as if they were numbers 2^31."""

CANCELLED_SHARE = 0.05
"""Energy of the mean of N channels, as a share of what N unrelated channels leave, below which they cancel out."""


def inspect(data: bytes | memoryview, uri: str, longest_s: float = LONGEST_S) -> SoundInfo:
    """Find out how long a sound is, from the size of its data or by decoding it.

    Parameters
    ----------
    data : bytes
        The whole file.
    uri : str
        Its name, for messages.
    longest_s : float
        How long it may be.

    Raises
    ------
    AudioError
        Types `empty`, `truncated`, `not_audio`, `too_long` and `decode_limit`.
    MemoryError
        If it takes more memory than there is.
    """
    return measure(data, uri, longest_s)


def decode(data: bytes | memoryview, uri: str, sample_rate: int, excerpt: Excerpt = WHOLE) -> NDArray[np.float32]:
    """Return a sound, or an excerpt of it, as mono at one sampling rate, at its own level: `[N]`, full scale is 1.

    Parameters
    ----------
    data : bytes
        The whole file.
    uri : str
        Its name, for messages.
    sample_rate : int
        Of the result, in Hz.
    excerpt : Excerpt
        Which samples of the file are read, before they get the other rate.

    Raises
    ------
    AudioError
        As `inspect`, and `too_short`, `beyond_end`, `silent` and `not_finite`.
    MemoryError
        As `inspect`.
    """
    channels, own_rate = samples_of(data, uri, excerpt)
    name = excerpt.named(uri)
    refuse_short(len(channels) / own_rate, name)
    _refuse_extremes(channels, name)
    mono = downmix(channels)
    samples = _resampled(mono, own_rate, sample_rate)
    # Also after resampling: a sound wholly above the new band is silent too. A constant is a sound at its ends only.
    constant = float(mono.mean(dtype=np.float64))
    heard = samples if abs(constant) <= SILENCE_PEAK else _resampled(mono - np.float32(constant), own_rate, sample_rate)
    if min(_peak(mono - np.float32(constant)), _peak(heard)) <= SILENCE_PEAK:
        peak = f"peak at most {20 * np.log10(SILENCE_PEAK):.0f} dBFS"
        around = "" if abs(constant) <= SILENCE_PEAK else f" around a constant {constant:.3g}"
        raise AudioError("silent", f"{name} is silent ({peak}{around})")
    return samples


def _refuse_extremes(channels: NDArray[np.float32], name: str) -> None:
    # The ends of a range hold NaN if anything does, and need no copy of the sound.
    low, high = float(channels.min()), float(channels.max())
    if not np.isfinite([low, high]).all():
        raise AudioError("not_finite", f"{name} holds NaN or Inf samples")
    peak = max(-low, high)
    if peak > LOUDEST:
        raise AudioError("not_finite", f"{name} holds a sample of {peak:.3g}, where 1 is full scale: it is damaged")


def _resampled(samples: NDArray[np.floating], own_rate: int, sample_rate: int) -> NDArray[np.float32]:
    resampled: NDArray[np.float32] = soxr.resample(samples, own_rate, sample_rate, quality="HQ").astype(np.float32)
    return resampled


def _peak(samples: NDArray[np.floating]) -> float:
    return float(np.abs(samples).max(initial=0))


def downmix(channels: NDArray[np.floating]) -> NDArray[np.floating]:
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
    mean: NDArray[np.floating] = channels.mean(axis=1)
    # One channel at a time: all of them in float64 would be three times the sound.
    energies = np.array([_energy(channels[:, channel]) for channel in range(channels.shape[1])])
    unrelated = energies.mean() / len(energies)
    if _energy(mean) < CANCELLED_SHARE * unrelated:
        return channels[:, energies.argmax()]
    return mean


def _energy(samples: NDArray[np.floating]) -> float:
    """Return the energy of what can be heard: a constant has none."""
    mean = samples.mean(dtype=np.float64)
    return float(np.square(samples, dtype=np.float64).sum() - len(samples) * mean * mean)
