"""The frames of a mosaic: the style's samples, each frame read where its wave goes on from the one before.

A log-spectrogram has no phase, and one that Griffin-Lim finds from nothing blurs attacks and roughens tones. A mosaic
has samples: those of the style, along its way. Each frame is read up to 10 ms earlier or later than the way says, where
it fits best to what the frame before would have gone on with (WSOLA: Verhelst & Roelands 1993). Their magnitudes and
phases are then nearly those of a sound.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylecore.analysis import OVERSAMPLING, Analysis
from stylecore.spectrogram import hop_length, n_fft, spectrum_of_frames

REACH_S = 0.010
COMPARED_S = 0.020
FAR = 0.02
"""Cost of reading as far away as may be, in correlation: of equals the nearest."""
SOFT = 0.3
"""Amplitude of what was, relative to what comes, under which it decides less where that is read."""

Samples = NDArray[np.float32]


def spliced_spectrum(style: Analysis, moments: Tensor, shifts: Tensor, sample_rate: int) -> Tensor:
    """Return the spectra along a way through a style, complex `[F, T]`.

    Parameters
    ----------
    style : Analysis
        With the samples that are read.
    moments, shifts : Tensor
        The way: frame of the style and transposition in semitones for each frame of the content, `[T]`.
    sample_rate : int
        In Hz.
    """
    frames = spliced(style.samples.cpu().numpy(), moments.cpu().numpy(), shifts.cpu().numpy(), sample_rate)
    return spectrum_of_frames(torch.from_numpy(frames).to(style.samples), sample_rate)


def spliced(samples: Samples, moments: NDArray, shifts: NDArray, sample_rate: int) -> Samples:
    """Return the frames `[T, n_fft]` along a way through oversampled samples, each where it goes on from the last."""
    speeds = OVERSAMPLING * 2.0 ** (shifts / 12.0)
    hop = hop_length(sample_rate)
    centres = moments * float(hop * OVERSAMPLING)
    reach, half = round(REACH_S * sample_rate), round(COMPARED_S * sample_rate / 2)
    whole = np.arange(-(n_fft(sample_rate) // 2), n_fft(sample_rate) // 2)
    compared, searched = np.arange(-half, half), np.arange(-half - reach, half + reach)
    far = FAR * np.abs(np.arange(-reach, reach + 1)) / reach
    found = np.empty((len(moments), len(whole)), dtype=np.float32)
    position = 0.0
    for frame, (centre, speed) in enumerate(zip(centres, speeds, strict=True)):
        if frame:
            goes_on = position + hop * speeds[frame - 1]
            fit = _correlations(_read(samples, centre + searched * speed), _read(samples, goes_on + compared * speed))
            centre += (int((fit - far).argmax()) - reach) * speed
        position = centre
        found[frame] = _read(samples, position + whole * speed)
    return found


def _read(samples: Samples, positions: NDArray[np.float64]) -> Samples:
    """Return samples at positions between them, by linear interpolation; mirrored at the ends, as the STFT has it."""
    last = len(samples) - OVERSAMPLING
    positions = last - np.abs(last - np.abs(positions))
    lower = np.floor(positions).astype(np.int64)
    share = (positions - lower).astype(np.float32)
    inside = (lower >= 0) & (lower < len(samples) - 1)
    lower = np.where(inside, lower, 0)
    return np.asarray((samples[lower] * (1 - share) + samples[lower + 1] * share) * inside)


def _correlations(searched: Samples, wanted: Samples) -> NDArray[np.float64]:
    """Return the correlation of each part of a signal with the wanted one, -1 to 1; 0 for silence.

    Less where the wanted one is far softer: a tail says nothing of where a stroke begins.
    """
    energies = np.cumsum(np.concatenate([[0.0], np.square(searched, dtype=np.float64)]))
    parts = np.maximum(energies[len(wanted) :] - energies[: -len(wanted)], 0)
    level = np.sqrt(np.square(wanted, dtype=np.float64).sum())
    norms = np.sqrt(parts) * level
    products = np.correlate(searched, wanted, "valid")
    fits = np.divide(products, norms, out=np.zeros_like(norms), where=norms > 1e-9)
    return np.asarray(fits * min(1.0, level / max(SOFT * np.sqrt(parts.max()), 1e-30)))
