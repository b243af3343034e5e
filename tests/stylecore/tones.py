"""Sounds made of a formula, of which pitch and beginning are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

SAMPLE_RATE = 16_000


def sawtooth(f0_hz: float, n_samples: int) -> Tensor:
    """Return a sawtooth `[n_samples]` of all its harmonics under 7.6 kHz, with 10 ms of fade at both ends."""
    time_s = torch.arange(n_samples) / SAMPLE_RATE
    harmonics = range(1, int(7_600 // f0_hz) + 1)
    wave = sum((torch.sin(2 * math.pi * f0_hz * k * time_s) / k for k in harmonics), torch.zeros(n_samples))
    fade = (torch.arange(n_samples) / 160).clamp(0, 1)
    return wave * fade * fade.flip(0)


def sawtooth_melody(notes: Sequence[int], samples_each: int) -> Tensor:
    """Return MIDI notes as decaying sawtooths, one after the other, `[len(notes) * samples_each]`."""
    decay = torch.linspace(1.0, 0.3, samples_each)
    return torch.cat([sawtooth(hertz(note), samples_each) * decay for note in notes])


def noise(n_samples: int, seed: int) -> Tensor:
    """Return white Gaussian noise `[n_samples]`."""
    return torch.randn(n_samples, generator=torch.Generator().manual_seed(seed))


def hertz(note: float) -> float:
    """Return the frequency of a MIDI note in Hz.

    >>> hertz(69), round(hertz(60), 2)
    (440.0, 261.63)
    """
    return float(440.0 * 2.0 ** ((note - 69) / 12))
