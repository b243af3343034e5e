"""What is computed after equalising: nothing for the content and for an equaliser, all for the style."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.sound.baselines import matched_equaliser, plain_mix
from benchmarks.speed.clips import demo_pairs
from stylecore.attacks import attacks
from stylecore.equalising import GAIN_LIMIT_DB, equalised, third_octaves_db
from stylecore.texture import MODULATION_EDGES_HZ, texture
from stylecore.tonality import tonality
from stylecore.transfers import NAMES, PARTS, ceilings, model, transfers

Array = NDArray[np.float64]

TIME_S = np.arange(48_000) / 16_000
ALL = (*NAMES, *PARTS)
PAIRS = range(8)


def noise(seed: int, n_samples: int = 48_000) -> Array:
    return np.random.default_rng(seed).standard_normal(n_samples)


@lru_cache(maxsize=8)
def demo_pair(index: int) -> tuple[Array, Array]:
    pair = demo_pairs(8, 4.0)[index]
    return pair.content.samples.astype(np.float64), pair.style.samples.astype(np.float64)


@lru_cache(maxsize=2)
def of_demo_pairs(system: str) -> list[dict[str, float | None]]:
    render = {"equaliser": matched_equaliser, "mix": plain_mix}[system]
    pairs = [demo_pair(index) for index in PAIRS]
    return [transfers(np.asarray(render(*pair), np.float64), pair[0], model(pair[1])) for pair in pairs]


@lru_cache(maxsize=1)
def ceilings_of_demo_pairs() -> list[dict[str, float | None]]:
    return [ceilings(style, content) for content, style in map(demo_pair, PAIRS)]


def mean_of(system: str, name: str) -> float:
    values = [found[name] for found in of_demo_pairs(system)]
    known = [value for value in values if value is not None]
    assert len(known) == len(values)
    return float(np.mean(known))


class TestEnds:
    @pytest.mark.parametrize("index", PAIRS)
    def test_the_content_is_at_0_and_the_style_at_1(self, index: int) -> None:
        content, style = demo_pair(index)
        assert transfers(content, content, model(style)) == pytest.approx(dict.fromkeys(ALL, 0), abs=1e-9)
        # The style is filtered to its own spectrum too, which is as good as not at all.
        assert transfers(style, content, model(style)) == pytest.approx(dict.fromkeys(ALL, 1), abs=1e-6)

    @pytest.mark.parametrize("name", ALL)
    def test_an_equaliser_gets_nothing(self, name: str) -> None:
        assert abs(mean_of("equaliser", name)) <= 0.1

    @pytest.mark.parametrize("name", ALL)
    def test_a_mix_is_between(self, name: str) -> None:
        assert 0.05 < mean_of("mix", name) < 0.75

    @pytest.mark.parametrize("name", ALL)
    def test_a_sound_is_nearer_to_itself_than_an_equaliser_brings_another(self, name: str) -> None:
        found = [pair[name] for pair in ceilings_of_demo_pairs()]
        mean = np.mean([value for value in found if value is not None])
        assert mean_of("equaliser", name) + 0.1 < mean < 1


class TestIndifference:
    def test_levels_do_not_matter(self) -> None:
        content, style = demo_pair(0)
        output = plain_mix(content, style)
        expected = transfers(output, content, model(style))
        assert transfers(0.01 * output, 7 * content, model(0.3 * style)) == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize("index", [1, 2, 6])
    def test_a_style_that_goes_on_is_the_same_style(self, index: int) -> None:
        content, style = demo_pair(index)
        output = plain_mix(content, style)
        once, twice = (transfers(output, content, model(sound)) for sound in (style, np.tile(style, 2)))
        for name in ALL:
            assert twice[name] == pytest.approx(once[name], abs=0.1), name

    @pytest.mark.parametrize("index", [2, 3, 6])
    def test_a_pause_says_nothing_about_a_style(self, index: int) -> None:
        content, style = demo_pair(index)
        output = plain_mix(content, style)
        paused = np.concatenate([style, np.zeros(32_000)])
        whole, longer = (transfers(output, content, model(sound)) for sound in (style, paused))
        for name in ALL:
            assert longer[name] == pytest.approx(whole[name], abs=0.1), name

    def test_alike_or_silent_there_is_no_transfer(self) -> None:
        sound, silence = noise(2), np.zeros(48_000)
        for three in (
            (sound, sound, sound),
            (sound, silence, sound),
            (silence, sound, noise(3)),
            (sound, sound, silence),
        ):
            assert transfers(three[0], three[1], model(three[2])) == dict.fromkeys(ALL)


class TestEqualising:
    def test_the_spectrum_becomes_the_others(self) -> None:
        dark, bright = np.convolve(noise(4), [1, 0.8], mode="same"), noise(5)
        wanted, given = third_octaves_db(bright), third_octaves_db(dark)
        assert wanted is not None
        assert given is not None
        reached = third_octaves_db(equalised(dark, wanted))
        assert reached is not None
        assert np.abs(given - wanted).max() > 8
        assert np.abs(reached - wanted).max() < 1.5
        assert np.abs(reached - wanted)[5:-1].max() < 0.5

    def test_gains_have_a_limit(self) -> None:
        swell = np.sin(np.pi * TIME_S / 3) ** 2
        low = third_octaves_db(swell * np.sin(2 * np.pi * 100 * TIME_S))
        assert low is not None
        tone = swell * np.sin(2 * np.pi * 4_000 * TIME_S)
        lowered_db = 20 * np.log10(equalised(tone, low).std() / tone.std())
        assert lowered_db == pytest.approx(-GAIN_LIMIT_DB, abs=1)

    def test_nothing_moves_in_time(self) -> None:
        click, wanted = np.zeros(16_000), third_octaves_db(np.convolve(noise(6), np.hanning(12)))
        click[5_000] = 1
        assert wanted is not None
        assert np.abs(equalised(click, wanted)).argmax() == 5_000


class TestStatistics:
    @pytest.mark.parametrize(("rate_hz", "band"), [(11, 0), (23, 1), (45, 2), (90, 3)])
    def test_a_tremolo_is_a_modulation_of_its_rate(self, rate_hz: float, band: int) -> None:
        found = texture((1 + 0.9 * np.sin(2 * np.pi * rate_hz * TIME_S)) * np.sin(2 * np.pi * 3_000 * TIME_S))
        assert found is not None
        strongest = found.modulation_db[found.weights.argmax()]
        assert len(strongest) == len(MODULATION_EDGES_HZ) - 1
        assert strongest.argmax() == band
        assert strongest[band] > -2

    def test_bands_that_move_together_are_correlated(self) -> None:
        slow = np.abs(np.convolve(noise(7), np.hanning(801), mode="same"))
        together, alone = texture(slow * noise(8)), texture(noise(8))
        assert together is not None
        assert alone is not None
        assert together.correlation[10, 20] > 0.4 > 0.1 > abs(alone.correlation[10, 20])

    def test_sparse_sounds_vary_more_and_are_skewed(self) -> None:
        dense = noise(9)
        sparse = dense * (np.random.default_rng(10).uniform(size=48_000) < 0.002)
        rare, even = texture(sparse), texture(dense)
        assert rare is not None
        assert even is not None
        assert (rare.shape[10:] > even.shape[10:]).all()

    def test_tones_are_peaked_and_noise_is_flat(self) -> None:
        chord = np.sin(2 * np.pi * np.arange(200, 8_000, 200)[:, None] * TIME_S).sum(axis=0)
        tonal, flat = tonality(chord), tonality(noise(11))
        assert tonal is not None
        assert flat is not None
        assert (tonal.values_db[1:, 0] < -15).all()
        # The power of a bin of white noise is exponential: its mean logarithm lies 2.51 dB under its mean.
        np.testing.assert_allclose(flat.values_db[:, 0], -2.5, atol=0.5)
        assert (tonal.values_db[1:, 1] > flat.values_db[1:, 1]).all()

    def test_plucks_rise_steeply_and_swells_do_not(self) -> None:
        since_s = TIME_S % 0.25
        plucked, swelling = (
            attacks(np.sin(2 * np.pi * 500 * TIME_S) * envelope)
            for envelope in (np.exp(-12 * since_s), np.sin(np.pi * since_s / 0.25))
        )
        assert plucked is not None
        assert swelling is not None
        assert plucked.slopes_db[0, -1] > 10
        assert plucked.slopes_db[0, 50] == pytest.approx(-12 * 0.01 * 8.686, abs=0.1)
        assert swelling.slopes_db[0, 50] == pytest.approx(0, abs=0.2)
