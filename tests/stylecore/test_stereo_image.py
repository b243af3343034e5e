"""The image of a content's channels, given to one sound: who was where stays there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stylecore.channels import downmix
from stylecore.stereo_image import placed

RATE = 48_000
Samples = NDArray[np.float64]


def noise(seed: int, duration_s: float = 1.0) -> Samples:
    """Return white noise, `[N]`."""
    return np.random.default_rng(seed).standard_normal(round(duration_s * RATE)) * 0.1


def tone(frequency_hz: float, duration_s: float = 1.0) -> Samples:
    """Return a sine, `[N]`."""
    return 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * RATE)) / RATE)


def level_db(samples: Samples) -> float:
    """Return the RMS in dB, of silence -200."""
    return float(20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64))) + 1e-10))


@pytest.mark.parametrize("channels", [1, 2, 5, 8])
def test_equal_channels_stay_equal(channels: int) -> None:
    result = placed(noise(0), np.repeat(noise(1)[:, None], channels, axis=1), RATE)
    assert result.shape == (RATE, channels)
    for channel in range(channels):
        np.testing.assert_array_equal(result[:, channel], result[:, 0])
    np.testing.assert_allclose(result[:, 0], noise(0), atol=1e-6)


@pytest.mark.parametrize("side", [0, 1])
def test_what_is_on_one_side_stays_there(side: int) -> None:
    channels = np.zeros((RATE, 2))
    channels[:, side] = noise(1)
    result = placed(noise(0), channels, RATE)
    assert not result[:, 1 - side].any()
    assert level_db(result[:, side]) == pytest.approx(level_db(noise(0)) + 3.01, abs=0.05)


def test_anti_phase_survives() -> None:
    result = placed(noise(0), np.stack([noise(1), -noise(1)], axis=1), RATE)
    np.testing.assert_allclose(result[:, 0], -result[:, 1], atol=1e-6)
    assert level_db(result[:, 0]) == pytest.approx(level_db(noise(0)), abs=0.05)


def test_a_low_sound_on_the_left_and_a_high_one_on_the_right_keep_their_sides() -> None:
    content = np.stack([tone(300.0), tone(5_000.0)], axis=1)
    result = placed(tone(300.0) + tone(5_000.0), content, RATE)
    spectra = np.abs(np.fft.rfft(result[4_800:-4_800] * np.hanning(RATE - 9_600)[:, None], axis=0))
    low, high = (round(hz * (RATE - 9_600) / RATE) for hz in (300.0, 5_000.0))
    assert 20 * np.log10(spectra[low, 0] / spectra[low, 1]) > 25
    assert 20 * np.log10(spectra[high, 1] / spectra[high, 0]) > 25


def test_what_moves_is_followed() -> None:
    """A source goes from left to right; noise that is given its image goes along."""
    share = np.linspace(0, 1, 2 * RATE)
    source = noise(1, 2.0)
    content = source[:, None] * np.stack([np.cos(share * np.pi / 2), np.sin(share * np.pi / 2)], axis=1)
    result = placed(noise(0, 2.0), content, RATE)
    for begin in range(RATE // 4, 2 * RATE - RATE // 4, RATE // 4):
        part = slice(begin, begin + RATE // 4)
        found, wanted = (level_db(s[part, 0]) - level_db(s[part, 1]) for s in (result, content))
        assert found == pytest.approx(wanted, abs=0.7)


def test_unrelated_channels_keep_their_levels() -> None:
    content = np.stack([noise(1), 0.5 * noise(2)], axis=1)
    result = placed(noise(0), content, RATE)
    assert level_db(result[:, 0]) - level_db(result[:, 1]) == pytest.approx(6.02, abs=0.5)
    assert level_db(result) == pytest.approx(level_db(noise(0)), abs=0.1)


def test_in_a_pause_of_the_content_the_usual_image_holds() -> None:
    """A tail of the style in the content's silence comes from where the content usually is, not from the middle."""
    content = np.stack([noise(1), 0.1 * noise(1)], axis=1)
    content[RATE // 2 :] = 0.0
    result = placed(noise(0), content, RATE)[RATE // 2 + 4_800 :]
    assert level_db(result[:, 0]) - level_db(result[:, 1]) == pytest.approx(20.0, abs=1.0)


def test_silence_is_placed_in_the_middle() -> None:
    result = placed(noise(0), np.zeros((RATE, 2)), RATE)
    np.testing.assert_allclose(result, np.repeat(noise(0)[:, None], 2, axis=1), atol=1e-6)


def test_the_downmix_is_the_mean_unless_that_cancels() -> None:
    one, other = noise(1), noise(2)
    np.testing.assert_allclose(downmix(np.stack([one, other], axis=1)), (one + other) / 2)
    np.testing.assert_array_equal(downmix(np.stack([one, -0.9 * one], axis=1)), one)
