"""What a note may sound like from another instrument, in another room, on another recording.

A network that knows one soundfont by its equaliser and its noise knows nothing of the instrument; each crop is heard
through another chain (docs/experiments.md): body and tuning, chord, envelope, room, noise, equaliser, gaps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylecore.spectrogram import HOP_S, at_reference_level, log_magnitude, stft

CROP_FRAMES = 128
CENTS = (50.0, 200.0)
CHORD_SHARE = 0.1
CHORD_DB = (-12.0, 0.0)
ENVELOPE_SHARE = 0.3
ENVELOPE_DB = 3.0
ENVELOPE_KNOTS = 6
ROOM_SHARE = 0.3
ROOM_RT60_S = (0.1, 1.2)
ROOM_WET_DB = (-25.0, -6.0)
NOISE_SNR_DB = (15.0, 70.0)
EQUALISER_DB = (2.0, 6.0)
EQUALISER_LIMIT_DB = 15.0
EQUALISER_KNOTS = 8
LOW_PASS_SHARE = 0.15
LOW_PASS_HZ = (3000.0, 7500.0)
LOW_PASS_DB_PER_OCTAVE = (12.0, 48.0)
LEVEL_DB = 10.0
GAP_SHARE = 0.3
GAP_FRAMES = 16
GAP_BINS = 20


def augmented_log_spectrograms(
    notes: Tensor, companions: Tensor, sample_rate: int, generator: torch.Generator
) -> Tensor:
    """Return a random crop of each note through a random chain.

    Parameters
    ----------
    notes, companions : Tensor
        Samples `[B, N]`; a companion is another note of the same instrument, for chords.
    sample_rate : int
        In Hz.
    generator : torch.Generator
        Of every draw.

    Returns
    -------
    Tensor
        Log-spectrograms `[B, 257, 128]`.
    """
    n_samples = round((CROP_FRAMES - 1) * HOP_S * sample_rate)
    crops = at_reference_level(_retuned_crops(notes, n_samples, generator) + 1e-7)
    crops = _with_chords(crops, at_reference_level(_retuned_crops(companions, n_samples, generator) + 1e-7), generator)
    crops = _in_rooms(crops * _envelopes(crops, generator), sample_rate, generator)
    crops = _with_noise(at_reference_level(crops), generator)
    spectrum = stft(crops, sample_rate).abs()
    spectrum = spectrum * _equaliser(len(notes), spectrum.shape[1], sample_rate, generator)
    return _with_gaps(log_magnitude(spectrum), generator)


def plain_log_spectrograms(notes: Tensor, sample_rate: int) -> Tensor:
    """Return the first 1.28 s of each note as it was rendered, `[B, 257, 128]`: what evaluation hears."""
    n_samples = round((CROP_FRAMES - 1) * HOP_S * sample_rate)
    return log_magnitude(stft(at_reference_level(notes[:, :n_samples] + 1e-7), sample_rate).abs())


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, generator=generator)


def _chosen(count: int, share: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, 1, generator=generator) < share


def _gain(level_db: Tensor) -> Tensor:
    return 10.0 ** (level_db / 20.0)


def _curve(count: int, knots: int, length: int, generator: torch.Generator) -> Tensor:
    """Return random curves `[B, length]` through normally distributed knots."""
    values = torch.randn(count, 1, knots, generator=generator)
    return torch.nn.functional.interpolate(values, length, mode="linear", align_corners=True)[:, 0]


def _retuned_crops(notes: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
    """Cut at a random moment, read at a random speed (linear interpolation).

    Half of the crops are out of tune by up to 50 cents, half by up to two semitones: formants and envelopes move
    along, as in a smaller or larger instrument.
    """
    fine, coarse = (_uniform(len(notes), -cents, cents, generator) for cents in CENTS)
    speed = 2.0 ** (torch.where(_chosen(len(notes), 0.5, generator), coarse, fine) / 1200.0)
    latest = notes.shape[1] - n_samples * 2.0 ** (max(CENTS) / 1200.0) - 2
    # Half of the crops begin with the attack, where instruments differ most; the others anywhere in the first second.
    start = _uniform(len(notes), -1.0, 1.0, generator).clamp_min(0.0) * min(latest, sample_limit(notes))
    position = start + torch.arange(n_samples) * speed
    left = position.long()
    fraction = position - left
    return notes.gather(1, left) * (1.0 - fraction) + notes.gather(1, left + 1) * fraction


def sample_limit(notes: Tensor) -> float:
    """Return the latest start of a crop in samples: beyond it most notes have died away."""
    return notes.shape[1] * 0.4


def _with_chords(crops: Tensor, companions: Tensor, generator: torch.Generator) -> Tensor:
    level = _gain(_uniform(len(crops), *CHORD_DB, generator))
    return crops + companions * level * _chosen(len(crops), CHORD_SHARE, generator)


def _envelopes(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Return gains `[B, N]`: other attacks and decays."""
    curve_db = ENVELOPE_DB * _curve(len(crops), ENVELOPE_KNOTS, crops.shape[1], generator)
    return _gain(curve_db * _chosen(len(crops), ENVELOPE_SHARE, generator))


def _in_rooms(crops: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Add the reverberation of random rooms: convolution with noise that decays by 60 dB in RT60 seconds."""
    length = crops.shape[1]
    time_s = torch.arange(length) / sample_rate
    tails = torch.randn(crops.shape, generator=generator)
    tails = tails * 10.0 ** (-3.0 * time_s / _uniform(len(crops), *ROOM_RT60_S, generator))
    tails = tails / tails.square().sum(1, keepdim=True).sqrt()
    size = 1 << (2 * length - 1).bit_length()  # no tail comes round to the beginning
    wet = torch.fft.irfft(torch.fft.rfft(crops, size) * torch.fft.rfft(tails, size), size)[:, :length]
    level = _gain(_uniform(len(crops), *ROOM_WET_DB, generator))
    return crops + wet * level * _chosen(len(crops), ROOM_SHARE, generator)


def _with_noise(crops: Tensor, generator: torch.Generator) -> Tensor:
    snr_db = _uniform(len(crops), *NOISE_SNR_DB, generator)
    noise = torch.randn(crops.shape, generator=generator)
    return crops + noise * crops.square().mean(1, keepdim=True).sqrt() * _gain(-snr_db)


def _equaliser(count: int, n_bins: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Return gains `[B, F, 1]`: a smooth curve over frequency, a low pass on some, a level; all random."""
    curve_db = _uniform(count, *EQUALISER_DB, generator) * _curve(count, EQUALISER_KNOTS, n_bins, generator)
    # Knots evenly spaced in the square root of frequency: finer where partials are dense.
    warped = (torch.linspace(0.0, 1.0, n_bins).sqrt() * (n_bins - 1)).long()
    curve_db = curve_db[:, warped].clamp(-EQUALISER_LIMIT_DB, EQUALISER_LIMIT_DB)
    octaves = (torch.linspace(1.0, sample_rate / 2, n_bins) / _uniform(count, *LOW_PASS_HZ, generator)).log2()
    slope = _uniform(count, *LOW_PASS_DB_PER_OCTAVE, generator) * _chosen(count, LOW_PASS_SHARE, generator)
    level_db = _uniform(count, -LEVEL_DB, LEVEL_DB, generator)
    return _gain(curve_db - slope * octaves.clamp_min(0.0) + level_db)[:, :, None]


def _with_gaps(log_spectrograms: Tensor, generator: torch.Generator) -> Tensor:
    """Silence a band of frames in some log-spectrograms, and a band of bins in some (SpecAugment, Park et al. 2019)."""
    count, n_bins, n_frames = log_spectrograms.shape
    bins = _gap(count, n_bins, GAP_BINS, generator)[:, :, None]
    return log_spectrograms * bins * _gap(count, n_frames, GAP_FRAMES, generator)[:, None]


def _gap(count: int, length: int, longest: int, generator: torch.Generator) -> Tensor:
    """Return `[B, length]`: one, but zero from a random place on for a random number of places."""
    width = _uniform(count, 0.0, min(longest, length // 4), generator) * _chosen(count, GAP_SHARE, generator)
    first = _uniform(count, 0.0, 1.0, generator) * (length - width)
    place = torch.arange(length)
    return ((place < first) | (place >= first + width)).float()
