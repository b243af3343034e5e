"""Notes and voice in a spectrum: the pitch of what has one, none in noise and drums, and the two parts of a picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from stylecore.analysis import analyse
from stylecore.fine_structure import LOWEST_NOTE, STEPS_PER_SEMITONE, envelope, salience
from stylecore.spectrogram import log_spectrogram
from tests.stylecore.tones import SAMPLE_RATE, hertz, noise, sawtooth

QUARTER_TONE = 1 / STEPS_PER_SEMITONE


@pytest.mark.parametrize("f0_hz", [110.0, 138.6, 150.0, 175.0, 220.0, 311.1, 440.0, 523.3, 700.0, 880.0, 1000.0])
def test_a_sawtooth_is_most_salient_at_its_pitch(f0_hz: float) -> None:
    found = analyse(sawtooth(f0_hz, 8_000), SAMPLE_RATE).salience[:, 5:-5]
    notes = LOWEST_NOTE + found.argmax(0) / STEPS_PER_SEMITONE
    assert (notes - (69 + 12 * np.log2(f0_hz / 440))).abs().max() <= QUARTER_TONE


def test_two_notes_at_once_are_both_salient() -> None:
    both = sawtooth(hertz(57), 8_000) + sawtooth(hertz(64), 8_000)
    found = analyse(both, SAMPLE_RATE).salience[:, 25]
    fifth, octave_apart = (int((note - LOWEST_NOTE) * STEPS_PER_SEMITONE) for note in (64, 57))
    elsewhere = found.clone()
    for note in (fifth, octave_apart):
        elsewhere[note - 1 : note + 2] = 0
    assert found[octave_apart] > 0.5 * found.max()
    assert found[fifth] > 0.2 * found.max()


def test_saliences_have_unit_norm_or_none() -> None:
    sound = torch.cat([torch.zeros(8_000), sawtooth(220.0, 8_000)])
    norms = torch.linalg.vector_norm(analyse(sound, SAMPLE_RATE).salience, dim=0)
    torch.testing.assert_close(norms[55:95], torch.ones(40))
    assert not norms[:45].any()


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_pitch(seed: int) -> None:
    assert analyse(noise(16_000, seed), SAMPLE_RATE).tonality.pitched == 0.0


@pytest.mark.parametrize(
    ("name", "pitched"),
    [
        ("drum_loop", 0.0),
        ("harp_phrase", 1.0),
        ("singing_phrase", 1.0),
        ("flute_phrase", 1.0),
        ("cello_phrase", 1.0),
        ("violin_sustained", 1.0),
        ("glass_rub", 1.0),
        ("tuning_fork_440", 1.0),
    ],
)
def test_drums_have_no_notes_and_melodies_do(sound: Callable[[str, int], Tensor], name: str, pitched: float) -> None:
    assert analyse(sound(name, 32_000), SAMPLE_RATE).tonality.pitched == pitched


def test_one_note_at_a_time_is_single_and_a_chord_is_not() -> None:
    chord = sum((sawtooth(hertz(note), 8_000) for note in (57, 61, 64, 68)), torch.zeros(8_000))
    single, several = (analyse(sound, SAMPLE_RATE).tonality for sound in (sawtooth(hertz(57), 8_000), chord))
    assert single == (1.0, 1.0)
    assert several.pitched > 0.5
    assert several.single < 0.1


def test_an_envelope_does_not_follow_the_partials_of_a_high_note() -> None:
    partials = torch.cos(2 * torch.pi * torch.arange(257) / 24)[:, None].repeat(1, 2)  # 750 Hz apart
    low, high = envelope(partials, torch.tensor([150.0, 750.0])).std(0)
    assert high < 0.5 * low


def test_envelope_and_fine_structure_are_the_log_spectrogram(sound: Callable[[str, int], Tensor]) -> None:
    analysis = analyse(sound("harp_phrase", 16_000), SAMPLE_RATE)
    torch.testing.assert_close(analysis.envelope + analysis.fine, analysis.log_spectrogram)


def test_an_envelope_keeps_what_is_smooth_and_loses_partials() -> None:
    bins = torch.arange(257, dtype=torch.float64)
    hump = 3 + torch.cos(2 * torch.pi * bins / 256)[:, None]
    partials = torch.cos(2 * torch.pi * bins / 8)[:, None]  # 250 Hz apart
    torch.testing.assert_close(envelope(hump), hump, rtol=0, atol=1e-5)
    assert envelope(partials).abs().max() < 1e-5


def test_a_transposition_moves_the_pitches_and_no_more() -> None:
    """One sawtooth, five semitones apart: the saliences are each other's, ten quarter tones away."""
    low, high = (analyse(sawtooth(hertz(note), 8_000), SAMPLE_RATE).salience[:, 25] for note in (55, 60))
    assert torch.nn.functional.cosine_similarity(low[:-10], high[10:], dim=0) > 0.9
    assert torch.nn.functional.cosine_similarity(low, high, dim=0) < 0.5


def test_silence_has_no_salience() -> None:
    silent = log_spectrogram(torch.zeros(1, 4_000), SAMPLE_RATE)[0]
    assert not salience(silent, silent - envelope(silent)).any()
