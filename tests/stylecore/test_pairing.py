"""Two analysed sounds and the settings: what equation 1 is asked to compare with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylecore.alignment import lay_along
from stylecore.analysis import Analysis, analyse
from stylecore.encoder import Encoder
from stylecore.losses import Target, encode_content, encode_style
from stylecore.pairing import paired
from stylecore.settings import Notes, Settings
from stylecore.synthesis import synthesise

N_SAMPLES = 6_400
SAMPLE_RATE = 16_000
Sounds = tuple[Analysis, Analysis]


@pytest.fixture(scope="module")
def sounds(sound: Callable[[str, int], Tensor]) -> Sounds:
    content, style = sound("harp_phrase", N_SAMPLES), sound("violin_sustained", 4_800)
    return analyse(content, SAMPLE_RATE), analyse(style, SAMPLE_RATE)


def _same(first: Target, second: Target) -> bool:
    one, other = list(first.tensors()), list(second.tensors())
    return len(one) == len(other) > 3 and all(map(torch.equal, one, other))


def test_with_the_styles_notes_both_sounds_are_encoded_as_they_are(encoder: Encoder, sounds: Sounds) -> None:
    settings = Settings(notes="style", start="noise")
    pair = paired(*sounds, N_SAMPLES, encoder, settings)
    assert _same(pair.content, encode_content(encoder, sounds[0].log_spectrogram, settings))
    assert _same(pair.style, encode_style(encoder, sounds[1].log_spectrogram, settings))
    assert pair.settings == settings
    assert pair.start is None


def test_there_strength_weighs_what_draws_towards_the_style(encoder: Encoder, sounds: Sounds) -> None:
    settings = Settings(notes="style", strength=0.5)
    alpha, beta, gamma, delta = paired(*sounds, N_SAMPLES, encoder, settings).settings.weights
    assert (alpha, gamma) == (settings.alpha, settings.gamma)
    assert (beta, delta) == (settings.beta / 2, settings.delta / 2)
    assert Settings(strength=0.5).weights == Settings().weights


def test_with_the_contents_notes_both_targets_are_the_style_laid_out(encoder: Encoder, sounds: Sounds) -> None:
    settings = Settings()
    pair = paired(*sounds, N_SAMPLES, encoder, settings)
    laid = lay_along(*sounds, SAMPLE_RATE)
    assert pair.start is not None
    assert torch.equal(pair.start.log_spectrogram, laid.log_spectrogram)
    assert torch.equal(pair.start.phase, laid.phase)
    assert _same(pair.style, encode_style(encoder, laid.log_spectrogram, settings))
    assert _same(pair.content, encode_content(encoder, laid.log_spectrogram, settings, sounds[0].log_spectrogram))


def test_no_strength_asks_for_the_content(encoder: Encoder, sounds: Sounds) -> None:
    settings = Settings(strength=0.0)
    pair = paired(*sounds, N_SAMPLES, encoder, settings)
    assert pair.start is not None
    torch.testing.assert_close(pair.start.log_spectrogram, sounds[0].log_spectrogram)
    assert _same(pair.style, encode_style(encoder, pair.start.log_spectrogram, settings))


def test_noise_to_begin_with_has_no_target(encoder: Encoder, sounds: Sounds) -> None:
    assert paired(*sounds, N_SAMPLES, encoder, Settings(start="noise")).start is None


def test_the_rhythm_that_is_asked_for_is_halfway_from_the_laid_out_style_to_the_content(
    encoder: Encoder, sounds: Sounds
) -> None:
    settings, content = Settings(), sounds[0].log_spectrogram
    laid = lay_along(*sounds, SAMPLE_RATE).log_spectrogram
    asked = encode_content(encoder, laid, settings, content).kept["temporal"]
    ends = [encode_content(encoder, one, settings).kept["temporal"] for one in (laid, content)]
    for name, envelope in asked.items():
        torch.testing.assert_close(envelope, (ends[0][name] + ends[1][name]) / 2)


@pytest.fixture(scope="module")
def other(sound: Callable[[str, int], Tensor]) -> Analysis:
    return analyse(sound("glass_rub", 5_600), SAMPLE_RATE)


def test_a_blend_is_the_weighted_mean_of_what_each_style_laid_out_would_be(
    encoder: Encoder, sounds: Sounds, other: Analysis
) -> None:
    content, style = sounds
    pair = paired(content, [(0.25, style), (0.5, other), (0.25, style)], N_SAMPLES, encoder, Settings())
    one, two = (lay_along(content, each, SAMPLE_RATE).log_spectrogram for each in (style, other))
    assert pair.start is not None
    torch.testing.assert_close(pair.start.log_spectrogram, (one + two) / 2)
    torch.testing.assert_close(pair.start.phase.abs(), torch.ones_like(one))
    assert _same(pair.style, encode_style(encoder, pair.start.log_spectrogram, Settings()))


@pytest.mark.parametrize("notes", ["content", "style"])
def test_a_blend_of_one_is_that_style(encoder: Encoder, sounds: Sounds, notes: Notes) -> None:
    settings = Settings(notes=notes)
    single, blend = (
        paired(sounds[0], style, N_SAMPLES, encoder, settings) for style in (sounds[1], [(1.0, sounds[1])])
    )
    assert _same(single.content, blend.content)
    assert _same(single.style, blend.style)


def test_with_the_styles_notes_what_terms_keep_is_averaged(encoder: Encoder, sounds: Sounds, other: Analysis) -> None:
    """Sounds of other lengths, at both resolutions; envelopes over time are stretched to the first's."""
    settings = Settings(notes="style", temporal_reference="style", coarse_iterations=2)
    styles = [sounds[1], other]
    pair = paired(sounds[0], [(0.25, styles[0]), (0.75, styles[1])], N_SAMPLES, encoder, settings)
    ends = [encode_style(encoder, style.log_spectrogram, settings) for style in styles]
    assert ends[0].frames != ends[1].frames
    for mean, one, two in ((pair.style, *ends), (pair.style.halved, ends[0].halved, ends[1].halved)):
        assert mean is not None
        assert one is not None
        assert two is not None
        assert mean.frames == one.frames
        for layer, grams in mean.kept["style"]["grams"].items():
            expected = 0.25 * one.kept["style"]["grams"][layer] + 0.75 * two.kept["style"]["grams"][layer]
            torch.testing.assert_close(grams, expected)
        for found, *parts in zip(*(target.kept["spectral"]["spectral"] for target in (mean, one, two)), strict=True):
            torch.testing.assert_close(found, 0.25 * parts[0] + 0.75 * parts[1])
        assert mean.kept["temporal"]["temporal"].shape == one.kept["temporal"]["temporal"].shape
    (result,) = synthesise([pair], encoder)
    assert torch.isfinite(result.waveform).all()
