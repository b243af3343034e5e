"""A result that keeps the melody has it, and one that plays the style's note is caught."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from stylecore.melody import Melody, melody, melody_kept, own_pitches, style_leak

Array = NDArray[np.float64]

NOTES = (60, 62, 64, 65, 67, 62)
HELD = 68


def hz(note: float) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


def played(notes: tuple[float, ...], decay: float, note_s: float = 0.4) -> Array:
    """Return notes of twelve partials, one after the other, the peak at 1."""
    time_s = np.arange(round(note_s * 16_000)) / 16_000
    edge = np.minimum(1, np.minimum(time_s, time_s[::-1]) / 0.01)
    partials = np.arange(1, 13)[:, None]
    parts = [edge * (np.sin(2 * np.pi * hz(note) * partials * time_s) / partials**decay).sum(axis=0) for note in notes]
    sound = np.concatenate(parts)
    return np.asarray(sound / np.abs(sound).max())


def noise(seed: int) -> Array:
    sound = np.random.default_rng(seed).standard_normal(38_400)
    return np.asarray(sound / np.abs(sound).max())


def mixed(one: Array, other: Array) -> Array:
    sound = one / one.std() + other / other.std()
    return np.asarray(sound / np.abs(sound).max())


CONTENT, STYLE = played(NOTES, 1.5), played((HELD,) * 6, 1.0)


@pytest.fixture(scope="module")
def content() -> Melody:
    return melody(CONTENT)


@pytest.fixture(scope="module")
def style() -> Melody:
    return melody(STYLE)


class TestMelodyKept:
    def test_on_another_instrument_it_is_kept(self, content: Melody) -> None:
        assert melody_kept(content, content) == 1
        assert melody_kept(melody(played(NOTES, 0.7)), content) == pytest.approx(1, abs=0.05)

    @pytest.mark.parametrize(
        ("cents", "least", "most"), [(30, 0.95, 1), (80, 0, 0.05), (1200, 0, 0.05), (-1200, 0, 0.05)]
    )
    def test_half_a_semitone_off_is_another_pitch_and_so_is_an_octave(
        self, content: Melody, cents: float, least: float, most: float
    ) -> None:
        kept = melody_kept(melody(played(tuple(note + cents / 100 for note in NOTES), 1.5)), content)
        assert kept is not None
        assert least <= kept <= most

    def test_half_of_it_is_a_half(self, content: Melody) -> None:
        half = melody(played((*NOTES[:3], 72, 72, 72), 1.5))
        assert melody_kept(half, content) == pytest.approx(0.5, abs=0.05)

    def test_noise_and_silence_keep_nothing_and_have_nothing_to_keep(self, content: Melody) -> None:
        for sound in (noise(1), np.zeros(38_400)):
            unpitched = melody(sound)
            assert unpitched.median_hz is None
            assert melody_kept(unpitched, content) == 0
            assert melody_kept(content, unpitched) is None

    def test_a_short_note_is_too_little(self) -> None:
        brief = np.concatenate([played((60,), 1.5, note_s=0.2), np.zeros(16_000)])
        assert not melody(brief).is_pitched

    def test_the_median_is_the_pitch_of_a_held_note(self, style: Melody) -> None:
        assert style.median_hz == pytest.approx(hz(HELD), rel=0.01)

    def test_threads_find_the_same(self, content: Melody) -> None:
        with ThreadPoolExecutor(4) as threads:
            for found in threads.map(melody, [CONTENT] * 8):
                np.testing.assert_array_equal(found.pitch_hz, content.pitch_hz)
                np.testing.assert_array_equal(found.confidence, content.confidence)


class TestStyleLeak:
    def test_the_content_leaks_nothing_a_mix_a_part_and_the_style_all(self, content: Melody, style: Melody) -> None:
        assert style_leak(content, content, style) == 0
        assert style_leak(melody(played(NOTES, 0.7)), content, style) == pytest.approx(0, abs=0.02)
        mix = style_leak(melody(mixed(CONTENT, STYLE)), content, style)
        assert mix is not None
        assert 0.3 <= mix <= 0.55
        assert style_leak(style, content, style) == pytest.approx(1, abs=0.05)

    def test_what_neither_has_is_no_leak(self, content: Melody, style: Melody) -> None:
        assert style_leak(melody(played((57,) * 6, 1.0)), content, style) == pytest.approx(0, abs=0.05)

    def test_the_contents_octaves_are_no_leak(self, content: Melody) -> None:
        low = melody(played((60,) * 6, 1.5))
        high = melody(played((72,) * 6, 1.0))
        assert style_leak(high, low, high) == 0
        assert style_leak(high, content, high) == pytest.approx(5 / 6, abs=0.15)

    def test_a_held_note_is_one_pitch_and_a_phrase_has_more(self, content: Melody, style: Melody) -> None:
        held, phrase = own_pitches(style.activity), own_pitches(content.activity)
        steps = 3 * (HELD - 40)
        assert held[steps]
        assert held.sum() <= 5
        assert all(phrase[3 * (note - 40)] for note in NOTES)

    def test_without_pitch_there_is_none(self, content: Melody, style: Melody) -> None:
        unpitched = melody(noise(2))
        assert style_leak(content, unpitched, style) is None
        assert style_leak(content, content, unpitched) is None
        assert style_leak(melody(np.zeros(38_400)), content, style) is None
