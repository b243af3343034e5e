"""A style at another pitch is the same instrument there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stylecore.features import comparison, features
from stylecore.figures import timbre_transfer
from stylecore.timbre import mean_mfcc, transposed

Array = NDArray[np.float64]

TIME_S = np.arange(16_000) / 16_000
BODY_HZ = (700.0, 2_600.0)


def instrument(f0_hz: float) -> Array:
    """Return a note whose partials lie under an envelope that stays where it is."""
    partials_hz = f0_hz * np.arange(1, int(7_800 / f0_hz))[:, None]
    levels = sum(np.exp(-(((partials_hz - middle) / 500) ** 2)) for middle in BODY_HZ) + 0.01
    # A little vibrato, so that the tracker hears a voice and not a buzzer.
    phase = TIME_S + 0.0002 * np.sin(2 * np.pi * 5 * TIME_S)
    return np.asarray((levels * np.sin(2 * np.pi * partials_hz * phase)).sum(axis=0))


def test_a_transposed_note_is_nearer_to_the_same_instrument_at_that_pitch() -> None:
    high = features(instrument(500)).mfcc
    low, shifted = (mean_mfcc(magnitude) for magnitude in (log_spectrogram(), transposed(log_spectrogram(), 2.0)))
    assert low is not None
    assert high is not None
    assert shifted is not None
    assert np.linalg.norm(shifted - high) < 0.8 * np.linalg.norm(low - high)


def test_partials_move_and_the_body_stays() -> None:
    magnitude = magnitude_of(instrument(500))
    moved = transposed(magnitude, 1.5)
    bins = [round(hz / 31.25) for hz in (750, 1_500, 2_250)]
    between = [round(hz / 31.25) for hz in (500, 1_000, 2_000)]
    assert (moved[bins].mean(axis=1) > 3 * magnitude[bins].mean(axis=1)).sum() >= 2
    assert (moved[between].mean(axis=1) < 0.5 * magnitude[between].mean(axis=1)).all()


@pytest.mark.parametrize("f0_hz", [150.0, 300.0])
def test_no_transposition_changes_nothing(f0_hz: float) -> None:
    magnitude = magnitude_of(instrument(f0_hz))
    loud = magnitude > 1e-4 * magnitude.max()
    np.testing.assert_allclose(transposed(magnitude, 1.0)[loud], magnitude[loud], rtol=1e-9)


@pytest.mark.parametrize("ratio", [0.3, 0.7, 1.6])
def test_the_top_is_filled_and_the_envelope_kept(ratio: float) -> None:
    """In twelve broad bands the mean level in dB stays within what a few partials more or less can do."""
    level_db, moved_db = (
        20 * np.log10(magnitude + 1e-9) for magnitude in (log_spectrogram(), transposed(log_spectrogram(), ratio))
    )
    bands = [(part[20 * band : 20 * band + 20]).mean() for part in (level_db, moved_db) for band in range(12)]
    assert np.abs(np.subtract(bands[:12], bands[12:])).max() < 8


def test_where_both_have_a_pitch_the_aim_is_the_style_at_the_contents() -> None:
    content, style = features(sung(200.0)), features(sung(330.0))
    assert content.melody.median_hz == pytest.approx(200, rel=0.02)
    assert style.melody.median_hz == pytest.approx(330, rel=0.02)
    aim = mean_mfcc(transposed(magnitude_of(style.samples), 200 / 330))
    output = features(instrument(440))
    assert aim is not None
    assert output.mfcc is not None
    assert content.mfcc is not None
    expected = 1 - np.linalg.norm(output.mfcc - aim) / np.linalg.norm(content.mfcc - aim)
    assert timbre_transfer(comparison(output, content, style, "content")) == pytest.approx(expected, abs=0.02)
    assert timbre_transfer(comparison(style, content, style, "style")) == pytest.approx(1)


def log_spectrogram() -> Array:
    return magnitude_of(instrument(250))


def sung(f0_hz: float) -> Array:
    """Return a note with partials that fall off steadily, which the tracker is sure of."""
    partials = np.arange(1, 13)[:, None]
    return np.asarray((np.sin(2 * np.pi * f0_hz * partials * TIME_S) / partials).sum(axis=0))


def magnitude_of(sound: Array) -> Array:
    """Return the magnitudes of centred frames, `[257, T]`."""
    window = np.pad(np.hanning(481)[:480], 16)
    padded = np.pad(sound, 256)
    frames = [np.abs(np.fft.rfft(window * padded[at : at + 512])) for at in range(0, len(sound) + 1, 160)]
    return np.array(frames).T
