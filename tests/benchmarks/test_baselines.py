"""What a sound engineer would try first does what it says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.sound.baselines import average_spectrum, matched_equaliser, plain_mix, third_octave_means

RNG = np.random.default_rng(5)


def noise(slope: float, n_samples: int = 32_000) -> np.ndarray:
    """Return noise whose spectrum falls by `slope` times 6 dB per octave above 100 Hz."""
    spectrum = np.fft.rfft(RNG.normal(size=n_samples))
    frequency = np.fft.rfftfreq(n_samples, 1 / 16_000)
    return np.fft.irfft(spectrum / np.maximum(frequency, 100.0) ** slope, n_samples)


def deviation_db(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(10 * np.log10(average_spectrum(left) / average_spectrum(right))[16:]).mean())


@pytest.mark.parametrize(("content_slope", "style_slope"), [(0.0, 1.5), (1.5, 0.0)])
def test_the_equaliser_reaches_the_spectrum_of_the_style(content_slope: float, style_slope: float) -> None:
    content, style = noise(content_slope), noise(style_slope, 20_000)
    assert deviation_db(content, style) > 10
    assert deviation_db(matched_equaliser(content, style), style) < 1


def test_the_equaliser_leaves_equal_spectra_and_times_alone() -> None:
    content = noise(1.0)
    np.testing.assert_allclose(matched_equaliser(content, content), content, atol=1e-9 * np.abs(content).max())
    click = np.eye(1, 16_000, 8_000)[0]
    assert np.argmax(np.abs(matched_equaliser(click, noise(0.5)))) == 8_000


def test_what_lies_under_the_floor_is_not_raised_without_bounds() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(32_000) / 16_000) * np.hanning(32_000)
    assert np.isfinite(matched_equaliser(tone, noise(0.0))).all()


def test_smoothing_widens_with_frequency() -> None:
    power = np.zeros(1025)
    power[[100, 800]] = 1.0
    smoothed = third_octave_means(power)
    reached = [np.flatnonzero(smoothed[low:high]).size for low, high in ((50, 150), (600, 1_000))]
    assert reached[1] == pytest.approx(8 * reached[0], rel=0.1)


def test_the_mix_holds_both_at_equal_level() -> None:
    content, style = 5 * noise(0.0), 0.1 * noise(1.0, 12_000)
    mixed = plain_mix(content, style)
    looped = np.concatenate([style, style, style])[: len(content)]
    shares = [np.corrcoef(mixed, part)[0, 1] for part in (content, looped)]
    assert len(mixed) == len(content)
    assert shares[0] == pytest.approx(shares[1], abs=0.02)
    assert shares[0] == pytest.approx(np.sqrt(0.5), abs=0.05)
