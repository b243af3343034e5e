"""The ratio of harmonics to noise is the one a sound was made with, and blips are counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stylecore.noise import blips, blips_per_s, harmonics_to_noise_db

Array = NDArray[np.float64]

TIME_S = np.arange(48_000) / 16_000


def note(f0_hz: float) -> Array:
    partials = np.arange(1, int(7_500 / f0_hz))[:, None]
    return np.asarray((np.sin(2 * np.pi * f0_hz * partials * TIME_S) / partials).sum(axis=0))


def noise(seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(len(TIME_S))


def with_bursts(sound: Array, count: int, seed: int, duration_s: float = 0.02, level: float = 0.1) -> Array:
    """Add short sines at random frequencies, at least 0.1 s apart."""
    generator = np.random.default_rng(seed)
    slots_s = 0.2 + 2.6 * (np.arange(count) + generator.uniform(0.2, 0.8, count)) / count
    bursts = [
        np.exp(-(((TIME_S - at_s) / (duration_s / 2)) ** 2)) * np.sin(2 * np.pi * hz * TIME_S)
        for at_s, hz in zip(slots_s, generator.uniform(2_000, 7_000, count), strict=True)
    ]
    return np.asarray(sound + level * np.sum(bursts, axis=0))


class TestHarmonicsToNoise:
    @pytest.mark.parametrize("ratio_db", [5, 10, 20, 30])
    @pytest.mark.parametrize("f0_hz", [98.3, 220.7, 701.9])
    def test_it_is_the_ratio_that_a_sound_was_mixed_with(self, f0_hz: float, ratio_db: float) -> None:
        tone = note(f0_hz)
        mixed = tone + 10 ** (-ratio_db / 20) * tone.std() * noise(1)
        assert harmonics_to_noise_db(mixed) == pytest.approx(ratio_db, abs=1)

    @pytest.mark.parametrize("f0_hz", [98.3, 220.7, 701.9, 1_500.3])
    def test_a_note_is_clean_and_noise_is_not(self, f0_hz: float) -> None:
        clean, noisy = harmonics_to_noise_db(note(f0_hz)), harmonics_to_noise_db(noise(2))
        assert clean is not None
        assert noisy is not None
        assert clean > 35
        assert noisy < -5

    def test_dark_noise_is_not_taken_for_a_tone(self) -> None:
        """Its autocorrelation stays high at short lags, but has no maximum there."""
        dark = harmonics_to_noise_db(np.convolve(noise(3), np.hanning(200), mode="same"))
        assert dark is not None
        assert dark < 0

    def test_neither_level_nor_pauses_matter(self) -> None:
        mixed = note(220.7) + 0.1 * noise(4)
        expected = harmonics_to_noise_db(mixed)
        assert harmonics_to_noise_db(1e-3 * mixed) == pytest.approx(expected, abs=1e-6)
        paused = np.concatenate([mixed, 1e-3 * noise(5)])
        assert harmonics_to_noise_db(paused) == pytest.approx(expected, abs=0.5)

    def test_silence_and_what_is_too_short_have_none(self) -> None:
        assert harmonics_to_noise_db(np.zeros(16_000)) is None
        assert harmonics_to_noise_db(note(220.7)[:512]) is None


class TestBlips:
    @pytest.mark.parametrize("count", [1, 7, 15])
    @pytest.mark.parametrize("duration_s", [0.01, 0.02])
    def test_every_burst_is_counted_once(self, count: int, duration_s: float) -> None:
        sound = np.sin(2 * np.pi * 440 * TIME_S)
        assert blips(sound).count == 0
        assert blips(with_bursts(sound, count, count, duration_s)).count == count

    def test_noise_notes_and_clicks_have_none(self) -> None:
        click = np.zeros(len(TIME_S))
        click[24_000] = 1
        for sound in (noise(6), note(220.7), click, note(220.7) * np.exp(-4 * (TIME_S % 0.5)), np.zeros(48_000)):
            assert blips(sound).count == 0

    def test_what_nobody_hears_is_not_counted(self) -> None:
        sound = np.sin(2 * np.pi * 440 * TIME_S)
        assert blips(with_bursts(sound, 5, 1, level=0.003)).count == 0

    def test_only_what_neither_content_nor_style_has_counts(self) -> None:
        tone = np.sin(2 * np.pi * 440 * TIME_S)
        output, some = with_bursts(tone, 9, 7), with_bursts(tone, 3, 8)
        assert blips_per_s(output, tone, tone) == pytest.approx(3)
        assert blips_per_s(output, some, tone) == blips_per_s(output, tone, some) == pytest.approx(2)
        assert blips_per_s(some, output, tone) == 0
