"""A spectrum as an envelope and what stands on it: whose voice it is, and which notes it plays.

The envelope is the slow part of a log-magnitude spectrum along frequency (cepstral smoothing: Oppenheim & Schafer
1975), the fine structure is the rest: partials and the gaps between them. A sound transposed keeps the envelope and
stretches the fine structure.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from stylecore.spectrogram import BIN_HZ, PAPER_RATE

CEPSTRA = 24
"""Cepstral coefficients per 8 kHz that make an envelope: it does not follow partials less than 670 Hz apart."""

CEPSTRA_OF_HIGH_NOTES = 10
"""Of a high note, whose partials are further apart: it does not follow those less than 1.6 kHz apart."""
HIGH_HZ = 350.0, 600.0
"""Pitches from one to the other count more and more as high."""

LOWEST_NOTE, HIGHEST_NOTE, STEPS_PER_SEMITONE = 28, 98, 2
"""Pitches that are looked for, as MIDI numbers: 41 Hz to 2.3 kHz, in quarter tones."""

LOWEST_APART = 38
"""The lowest note, 73 Hz, whose partials the log-spectrogram tells apart; of lower ones any noise has some."""

HARMONICS, DECAY, BETWEEN = 8, 0.8, 0.5
"""A pitch is as salient as its harmonics stand out, each less than the one below; what stands out half-way between
them speaks for another pitch."""

STEADY_FRAMES = 4
NOISE_TO_TONE = 0.17, 0.27
"""Salience times steadiness of noise and drums is below the first, of a melody, a chord or a voice above the second."""
CHORD_TO_NOTE = 0.6, 0.75
"""The salience of the best pitch in chords is below the first, in single notes above the second."""


def envelope(log_spectrogram: Tensor, pitch_hz: Tensor | None = None, bin_hz: float = BIN_HZ) -> Tensor:
    """Return the smooth spectral envelope of log-magnitudes `[F, T]`, as they are, along frequency.

    Parameters
    ----------
    log_spectrogram : Tensor
        `[F, T]`.
    pitch_hz : Tensor, optional
        Of each frame, `[T]`: where partials are far apart the envelope is smoother, or it would follow them. None for
        the smoother one everywhere, under which any note stands out.
    bin_hz : float
        Width of a bin.
    """

    def smoothed(cepstra: int) -> Tensor:
        return _smoother(len(log_spectrogram), cepstra, bin_hz).to(log_spectrogram) @ log_spectrogram

    smoother = smoothed(CEPSTRA_OF_HIGH_NOTES)
    if pitch_hz is None:
        return smoother
    high = ((pitch_hz - HIGH_HZ[0]) / (HIGH_HZ[1] - HIGH_HZ[0])).clamp(0, 1)
    return torch.lerp(smoothed(CEPSTRA), smoother, high)


@lru_cache(maxsize=8)
def _smoother(n_bins: int, cepstra_per_8_khz: int, bin_hz: float) -> Tensor:
    """Return cepstral smoothing as a matrix `[F, F]`: a window on the cepstrum of the mirrored spectrum."""
    cepstra_kept = round(cepstra_per_8_khz * (n_bins - 1) * bin_hz / (PAPER_RATE / 2))
    spectra = torch.eye(n_bins, dtype=torch.float64)
    cepstra = torch.fft.rfft(torch.cat([spectra, spectra[1:-1].flip(0)]), dim=0)
    index = torch.arange(len(cepstra), dtype=torch.float64)
    half = cepstra_kept // 2
    fade = ((index - half) / (cepstra_kept - half)).clamp(0, 1)
    window = 0.5 * (1 + torch.cos(math.pi * fade))
    return torch.fft.irfft(cepstra * window[:, None], n=2 * (n_bins - 1), dim=0)[:n_bins].float()


def standing_out(log_spectrogram: Tensor, fine: Tensor) -> Tensor:
    """Return what stands out of the envelope, `[F, T]`, each bin by its log-magnitude: a loud partial counts more."""
    weights = log_spectrogram.clamp_min(0) / log_spectrogram.max().clamp_min(1e-6)
    weighted = fine.clamp_min(0) * weights
    weighted[:2] = 0  # a constant, and what leaks from it, is no note
    return weighted


def salience(log_spectrogram: Tensor, fine: Tensor, bin_hz: float = BIN_HZ) -> Tensor:
    """Return how much each pitch is there, `[pitches, T]`, frames of unit norm or zero (harmonic summation).

    Parameters
    ----------
    log_spectrogram, fine : Tensor
        Log-magnitudes and their fine structure, `[F, T]`.
    bin_hz : float
        Width of a bin.
    """
    out = standing_out(log_spectrogram, fine)
    if bin_hz < BIN_HZ:  # a partial in tune to a quarter tone is in tune
        out = torch.nn.functional.max_pool1d(out.T[:, None], 3, 1, 1)[:, 0].T
    sums = (_harmonic_sums(len(log_spectrogram), bin_hz).to(log_spectrogram) @ out).clamp_min(0)
    sharpened = sums.square() / sums.amax(0, keepdim=True).clamp_min(1e-6)
    return torch.nn.functional.normalize(sharpened, dim=0, eps=1e-6)


def pitch_hz(saliences: Tensor) -> Tensor:
    """Return the most salient pitch of each frame, `[T]`, from `salience`, the median of eleven frames."""
    steps = saliences.argmax(0).float()
    steps = torch.nn.functional.pad(steps[None, None], (5, 5), mode="replicate")[0, 0].unfold(0, 11, 1).median(1).values
    return 440.0 * 2.0 ** ((LOWEST_NOTE + steps / STEPS_PER_SEMITONE - 69) / 12)


@lru_cache(maxsize=4)
def _harmonic_sums(n_bins: int, bin_hz: float = BIN_HZ) -> Tensor:
    """Return the weights `[pitches, F]` of bins at, and between, the harmonics of each pitch."""
    steps = (HIGHEST_NOTE - LOWEST_NOTE) * STEPS_PER_SEMITONE + 1
    notes = LOWEST_NOTE + torch.arange(steps) / STEPS_PER_SEMITONE
    pitches = 440.0 * 2.0 ** ((notes - 69) / 12) / bin_hz
    weights = torch.zeros(steps, n_bins)
    for harmonic in range(1, HARMONICS + 1):
        strength = DECAY ** (harmonic - 1)
        for multiple, weight in ((harmonic, strength), (harmonic - 0.5, -BETWEEN * strength)):
            position = pitches * multiple
            rows = torch.nonzero(position < n_bins - 2)[:, 0]
            lower = position[rows].long()
            share = position[rows] - lower
            weights[rows, lower] += weight * (1 - share)
            weights[rows, lower + 1] += weight * share
    return weights


class Pitchedness(NamedTuple):
    """What kind of sound it is, two numbers from 0 to 1.

    `pitched`: 0 for noise and drums, 1 for notes; `single`: 0 for chords and noise, 1 for one note at a time.
    """

    pitched: float
    single: float


def tonality(log_spectrogram: Tensor, fine: Tensor, loud: Tensor) -> Pitchedness:
    """Return what kind of sound it is: how well one pitch explains a frame, and whether partials last.

    Parameters
    ----------
    log_spectrogram, fine : Tensor
        Log-magnitudes and their fine structure, `[F, T]`.
    loud : Tensor
        How much each frame counts, `[T]`.
    """
    if log_spectrogram.shape[1] <= STEADY_FRAMES or not bool(loud.sum() > 0):
        return Pitchedness(0.0, 0.0)
    out = standing_out(log_spectrogram, fine)
    told_apart = _harmonic_sums(len(log_spectrogram))[(LOWEST_APART - LOWEST_NOTE) * STEPS_PER_SEMITONE :]
    sums = (told_apart.to(log_spectrogram) @ out).amax(0)
    salient = _weighted(sums / torch.linalg.vector_norm(out, dim=0).clamp_min(1e-3), loud)
    unit = torch.nn.functional.normalize(fine, dim=0, eps=1e-6)
    lasting = _weighted((unit[:, :-STEADY_FRAMES] * unit[:, STEADY_FRAMES:]).sum(0), loud[:-STEADY_FRAMES])
    return Pitchedness(_ramp(salient * lasting, *NOISE_TO_TONE), _ramp(salient, *CHORD_TO_NOTE))


def _weighted(values: Tensor, weights: Tensor) -> float:
    return float((values * weights).sum() / weights.sum().clamp_min(1e-6))


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
