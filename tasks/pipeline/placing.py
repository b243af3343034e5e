"""From a mono result at the rate of the computation to the samples of its file: rate, stereo image, level."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from tasks.audio.decoding import fitted
from tasks.audio.sound_files import quantised
from tasks.pair_state import ResultSpace

PEAK_LIMIT = 10.0 ** (-1.0 / 20.0)
"""-1 dBFS."""

Samples = NDArray[np.float32]


class Placed(NamedTuple):
    """Samples of a file, `[N]` or `[N, channels]`, in its steps of 24 bits, and the gain that they have got here."""

    samples: Samples
    gain: float


def placed_in(space: ResultSpace, samples: Samples, sample_rate: int) -> Placed:
    """Return a result `[N]` of a sampling rate in Hz as it is heard in its space.

    The image is that of the content's channels; together they have the content's RMS, or a peak of -1 dBFS if that is
    less. A result of one channel keeps its level, unless resampling has raised a peak over that.
    """
    if space.channels is None and space.sample_rate == sample_rate:
        return Placed(samples, 1.0)
    sound = soxr.resample(samples, sample_rate, space.sample_rate, quality="HQ").astype(np.float32)
    sound, wanted = fitted(sound, space.length), 1.0
    if space.channels is not None:
        from stylecore.stereo_image import placed

        sound = placed(sound, space.channels, space.sample_rate)
        wanted = _rms(space.channels) / max(_rms(sound), 1e-30)
    gain = min(wanted, PEAK_LIMIT / max(float(np.abs(sound).max(initial=0)), 1e-30))
    return Placed(quantised(sound * np.float32(gain)), gain)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
