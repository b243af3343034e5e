"""Frames along a way go on from each other: what is spliced of a sound is that sound, at any speed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from stylecore.analysis import analyse
from stylecore.phase import griffin_lim
from stylecore.spectrogram import istft, log_magnitude, log_spectrogram, magnitude, stft, unit
from stylecore.splicing import spliced_spectrum
from tests.stylecore.tones import SAMPLE_RATE, hertz, sawtooth

N = 16_000


def _spliced(style: Tensor, moments: Tensor, shifts: Tensor, wanted: Tensor) -> Tensor:
    """Return the sound `[N]` of wanted magnitudes `[F, T]` with the phases along a way."""
    spectrum = spliced_spectrum(analyse(style, SAMPLE_RATE), moments, shifts, SAMPLE_RATE)
    assert spectrum.shape == wanted.shape
    return istft((wanted * unit(spectrum))[None], SAMPLE_RATE, N)[0]


def _error_db(sound: Tensor, wanted: Tensor) -> float:
    found = stft(sound[None], SAMPLE_RATE)[0].abs()
    return float(20 * torch.log10((found - wanted).norm() / wanted.norm()))


@pytest.mark.parametrize("name", ["singing_phrase", "harp_phrase", "drum_loop"])
def test_along_itself_a_sound_is_itself(sound: Callable[[str, int], Tensor], name: str) -> None:
    own = sound(name, N)
    frames = N // 160 + 1
    wanted = magnitude(log_spectrogram(own[None], SAMPLE_RATE)[0])
    found = _spliced(own, torch.arange(frames), torch.zeros(frames), wanted)
    assert torch.nn.functional.cosine_similarity(found[400:-400], own[400:-400], dim=0) > 0.99


@pytest.mark.parametrize("semitones", [-12, -5, 4, 12])
def test_a_transposed_note_has_one_wave_through_all_frames(semitones: int) -> None:
    """Its magnitudes with these phases are nearly a sound; with random ones, far from it, even after Griffin-Lim."""
    style, wanted_note = sawtooth(hertz(60), N), sawtooth(hertz(60 + semitones), N)
    wanted = magnitude(log_spectrogram(wanted_note[None], SAMPLE_RATE)[0])
    frames = wanted.shape[1]
    found = _spliced(style, torch.arange(frames), torch.full((frames,), float(semitones)), wanted)
    random = torch.polar(torch.ones_like(wanted), torch.rand(wanted.shape, generator=torch.Generator().manual_seed(0)))
    from_random = griffin_lim(wanted[None], random[None], SAMPLE_RATE, N, 2, 0.0)[0]
    assert _error_db(found, wanted) < _error_db(from_random, wanted) - 6


def test_a_jump_goes_on_with_the_same_wave() -> None:
    """From the middle of a note to its beginning and back: no moment of the result is out of phase with the last."""
    style = sawtooth(hertz(57), N)
    frames = N // 160 + 1
    moments = (torch.arange(frames) % 23) + 17
    wanted = magnitude(log_spectrogram(style[None], SAMPLE_RATE)[0])
    found = _spliced(style, moments, torch.zeros(frames), wanted)
    plain = istft((wanted * stft(style[None], SAMPLE_RATE)[0][:, moments].sgn())[None], SAMPLE_RATE, N)[0]
    assert _error_db(found, wanted) < _error_db(plain, wanted) - 6
    assert _error_db(found, wanted) < -15


def test_along_itself_the_magnitudes_are_its_own(sound: Callable[[str, int], Tensor]) -> None:
    own = sound("harp_phrase", N)
    analysis = analyse(own, SAMPLE_RATE)
    frames = analysis.log_spectrogram.shape[1]
    found = log_magnitude(spliced_spectrum(analysis, torch.arange(frames), torch.zeros(frames), SAMPLE_RATE).abs())
    found, wanted = (
        magnitude(one[:, 3:-3]) for one in (found, analysis.log_spectrogram)
    )  # the STFT has mirrored edges
    assert (found - wanted).norm() < 0.01 * wanted.norm()


def test_silence_and_the_ends_are_no_trouble() -> None:
    style = torch.cat([torch.zeros(3_000), sawtooth(220.0, 4_000), torch.zeros(3_000)])
    frames = N // 160 + 1
    moments = torch.linspace(0, 62, frames).long()
    spectrum = spliced_spectrum(analyse(style, SAMPLE_RATE), moments, torch.full((frames,), 36.0), SAMPLE_RATE)
    assert np.isfinite(spectrum.numpy()).all()
