"""The figures agree with given values, with an independent transcription, and with what they are meant to say."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stylecore.errors import SignalError
from stylecore.features import SoundFeatures, descriptors, features
from stylecore.figures import spectral_convergence_db
from stylecore.metrics import compare, figures
from tests.reference import figures_numpy
from tests.reference.figures_numpy import REFERENCE, demo_sound, output_of

Array = NDArray[np.float64]

ROWS = json.loads(REFERENCE.read_text())["rows"]
NAMES = (
    "timbre_transfer",
    "texture_transfer",
    "modulation_transfer",
    "tonality_transfer",
    "attack_transfer",
    "rhythm_kept",
    "dynamics_kept",
    "pitch_kept",
    "melody_kept",
    "style_leak",
    "bandwidth_shift",
    "noise_hnr_db",
    "blips_per_s",
)
TRANSFERS = tuple(name for name in NAMES if name.endswith("transfer"))


def random_sound(seed: int, n_samples: int = 16_000) -> Array:
    """Return a few decaying harmonic notes in noise."""
    generator = np.random.default_rng(seed)
    time_s = np.arange(n_samples) / 16_000
    sound = 0.003 * generator.standard_normal(n_samples)
    for start_s in generator.uniform(0, time_s[-1], 4):
        since_s = np.maximum(time_s - start_s, 0)
        partials = np.arange(1, generator.integers(3, 12))
        tones = np.sin(2 * np.pi * generator.uniform(100, 600) * partials[:, None] * since_s)
        sound += np.exp(-generator.uniform(2, 9) * since_s) * (tones / partials[:, None]).sum(axis=0)
    return sound


def phrase(seed: int, n_samples: int = 16_000) -> Array:
    """Return four notes, one after the other, in little noise."""
    generator = np.random.default_rng(seed)
    sound = 0.001 * generator.standard_normal(n_samples)
    for start, length in ((at * n_samples // 4, n_samples // 4) for at in range(4)):
        time_s = np.arange(length) / 16_000
        partials = np.arange(1, 8)[:, None]
        tones = np.sin(2 * np.pi * generator.uniform(150, 600) * partials * time_s) / partials ** generator.uniform(
            0.5, 2
        )
        sound[start : start + length] += np.exp(-generator.uniform(1, 4) * time_s) * tones.sum(axis=0)
    return sound


@pytest.fixture(scope="module")
def sounds() -> tuple[Array, Array, Array]:
    return random_sound(1), random_sound(2), random_sound(3)


@cache
def features_of(name: str) -> SoundFeatures:
    return features(demo_sound(name))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['content'][:5]}-{row['output'][:11]}")
def test_given_values(row: dict[str, Any]) -> None:
    content, style = demo_sound(row["content"]), demo_sound(row["style"])
    output = output_of(row["output"], content, style)
    measured = features(output), features_of(row["content"]), features_of(row["style"])
    found = compare(*measured)
    assert found.keys() == row["figures"].keys()
    for name, value in row["figures"].items():
        assert found[name] == pytest.approx(value, abs=0.01), name
    given = compare(*measured, notes="style")
    for name, value in row["given"].items():
        assert given[name] == pytest.approx(value, abs=0.01), name
    for name, sound in {"content": content, "style": style, "output": output}.items():
        assert descriptors(sound)["bandwidth_hz"] == pytest.approx(row["bandwidth_hz"][name], rel=0.01), name


@pytest.mark.parametrize("seed", range(6))
def test_independent_transcription(seed: int) -> None:
    output, content, style = (random_sound(10 * seed + part, 12_000 + 1_000 * part) for part in range(3))
    expected = figures_numpy.figures(output, content, style)
    assert figures(output, content, style) == pytest.approx(expected, abs=1e-5)
    assert descriptors(output) == pytest.approx(figures_numpy.descriptors(output), rel=1e-6)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_independent_transcription_of_melodies(seed: int) -> None:
    content, style = phrase(10 * seed), phrase(10 * seed + 1, 14_000)
    output = 0.7 * content + 0.3 * np.resize(style, len(content))
    expected = figures_numpy.figures(output, content, style)
    assert None not in (expected["melody_kept"], expected["style_leak"])
    assert figures(output, content, style) == pytest.approx(expected, abs=1e-5)


class TestMeaning:
    def test_the_content_itself_keeps_all_and_transfers_nothing(self) -> None:
        content, style = phrase(1), phrase(5)
        kept = figures(content, content, style)
        assert {name: kept[name] for name in TRANSFERS} == pytest.approx(dict.fromkeys(TRANSFERS, 0))
        assert [kept[name] for name in ("rhythm_kept", "dynamics_kept")] == pytest.approx([1, 1])
        assert kept["pitch_kept"] == pytest.approx(1)
        assert kept["melody_kept"] == 1
        assert kept["style_leak"] == kept["bandwidth_shift"] == kept["blips_per_s"] == 0

    def test_the_style_itself_transfers_all(self, sounds: tuple[Array, Array, Array]) -> None:
        content, style, _ = sounds
        transferred = figures(style, content, style, notes="style")
        for name in (*TRANSFERS, "bandwidth_shift"):
            assert transferred[name] == pytest.approx(1), name

    def test_levels_do_not_matter(self, sounds: tuple[Array, Array, Array]) -> None:
        output, content, style = sounds
        quieter = figures(0.01 * output, 0.3 * content, 7 * style)
        assert quieter == pytest.approx(figures(output, content, style), abs=1e-5)

    @pytest.mark.parametrize(("longer", "shorter"), [(0, 1), (1, 0)])
    def test_what_one_has_longer_does_not_matter(
        self, sounds: tuple[Array, Array, Array], longer: int, shorter: int
    ) -> None:
        lengths = {longer: 16_000, shorter: 11_111}
        output, content = sounds[0][: lengths[0]], sounds[1][: lengths[1]]
        expected = figures(output[:11_111], content[:11_111], sounds[2])
        assert figures(output, content, sounds[2]) == expected
        measured = compare(features(output), features(content), features(sounds[2]))
        assert measured == pytest.approx(expected, abs=1e-5)

    def test_a_low_pass_lowers_centroid_bandwidth_and_rolloff(self) -> None:
        noise = np.random.default_rng(0).standard_normal(16_000)
        smooth = np.convolve(noise, np.hanning(16), mode="same")
        for name in ("centroid_hz", "bandwidth_hz", "rolloff_hz", "flatness"):
            bright, dull = descriptors(noise)[name], descriptors(smooth)[name]
            assert bright is not None
            assert dull is not None
            assert dull < 0.5 * bright, name

    def test_a_tone_lies_where_it_is(self) -> None:
        tone = descriptors(np.sin(2 * np.pi * 2_000 * np.arange(16_000) / 16_000))
        assert tone["centroid_hz"] == pytest.approx(2_000, abs=5)
        assert tone["rolloff_hz"] == pytest.approx(2_000, abs=32)
        assert tone["flatness"] == pytest.approx(0, abs=1e-3)

    def test_a_semitone_up_loses_pitch_and_an_octave_up_keeps_it(self) -> None:
        def note(ratio: float) -> Array:
            return np.asarray(np.sin(2 * np.pi * 880 * ratio * np.arange(16_000) / 16_000))

        semitone = figures(note(2 ** (1 / 12)), note(1), note(1))["pitch_kept"]
        octave = figures(note(2), note(1), note(1))["pitch_kept"]
        assert semitone is not None
        assert octave is not None
        assert semitone < 0.8
        assert octave > 0.98


class TestWhatDoesNotExist:
    @pytest.fixture
    def none(self) -> dict[str, None]:
        return dict.fromkeys(NAMES)

    def test_silence_has_no_figures(self, none: dict[str, None], sounds: tuple[Array, Array, Array]) -> None:
        silence = np.zeros(16_000)
        assert figures(silence, silence, silence) == none | {"blips_per_s": 0.0}
        noise_db = features(sounds[0]).hnr_db
        assert figures(sounds[0], silence, sounds[2]) == none | {"blips_per_s": 0.0, "noise_hnr_db": noise_db}
        assert set(descriptors(silence).values()) == {None}
        # All pitch of a content is lost in a silent output; every other figure needs a sound.
        lost = {"pitch_kept": 0.0, "melody_kept": 0.0, "blips_per_s": 0.0}
        assert figures(silence, sounds[1], sounds[2]) == none | lost

    def test_a_style_that_is_the_content_has_no_transfer(self, sounds: tuple[Array, Array, Array]) -> None:
        same = figures(sounds[0], sounds[1], 0.5 * sounds[1])
        assert {same[name] for name in (*TRANSFERS, "bandwidth_shift")} == {None}
        assert same["rhythm_kept"] is not None

    def test_a_style_of_nearly_the_contents_bandwidth_has_no_shift(self) -> None:
        noise = np.random.default_rng(0).standard_normal(16_000)
        assert figures(noise, noise, np.convolve(noise, [1, 0.1]))["bandwidth_shift"] is None
        assert figures(noise, noise, np.convolve(noise, np.hanning(16)))["bandwidth_shift"] == 0

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
    def test_nothing_is_ever_nan(self, seed: int) -> None:
        odd = {
            "zeros": np.zeros(8_000),
            "constant": np.ones(8_000),
            "click": np.eye(1, 8_000, 4_000)[0],
            "tiny": np.full(8_000, 5e-324),
            "loud": np.full(8_000, 1e300),
            "noise": np.random.default_rng(seed).standard_normal(8_000),
            "half silent": np.concatenate([np.zeros(4_000), random_sound(seed, 4_000)]),
            "alternating": np.tile([1.0, -1.0], 4_000),
            "short": random_sound(seed, 3_200),
        }
        measured: dict[str, SoundFeatures] = {name: features(sound) for name, sound in odd.items()}
        for output in measured.values():
            for content in measured.values():
                values = compare(output, content, measured["noise"]) | output.descriptors
                assert all(value is None or math.isfinite(value) for value in values.values())

    @pytest.mark.parametrize(
        "sound", [np.zeros(511), np.zeros((2, 8_000)), np.full(8_000, np.nan), np.r_[np.zeros(8_000), np.inf]]
    )
    def test_what_is_no_sound_is_refused(self, sound: Array) -> None:
        with pytest.raises(SignalError):
            features(sound)


class TestSpectralConvergence:
    def test_formula(self) -> None:
        generator = np.random.default_rng(0)
        spectrum = generator.standard_normal((257, 20)) + 1j * generator.standard_normal((257, 20))
        log_spectrogram = generator.uniform(0, 2, (257, 20))
        error = math.sqrt(((np.abs(spectrum) - log_spectrogram) ** 2).sum()) / math.sqrt((log_spectrogram**2).sum())
        assert spectral_convergence_db(spectrum, log_spectrogram) == pytest.approx(20 * math.log10(error))

    def test_ten_percent_off_is_minus_twenty_db(self) -> None:
        log_spectrogram = np.random.default_rng(0).uniform(0, 2, (257, 20))
        assert spectral_convergence_db(0.9 * log_spectrogram, log_spectrogram) == pytest.approx(-20)

    def test_without_a_ratio_it_does_not_exist(self) -> None:
        log_spectrogram = np.ones((257, 20))
        assert spectral_convergence_db(log_spectrogram, np.zeros((257, 20))) is None
        assert spectral_convergence_db(log_spectrogram, log_spectrogram) is None

    def test_what_cannot_be_compared_is_refused(self) -> None:
        with pytest.raises(ValueError, match="shapes differ"):
            spectral_convergence_db(np.ones((257, 20)), np.ones((257, 1)))
        with pytest.raises(SignalError, match="NaN or Inf"):
            spectral_convergence_db(np.full((257, 20), np.nan), np.ones((257, 20)))
