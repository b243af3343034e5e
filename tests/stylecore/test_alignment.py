"""The style laid along the content: its voice, the content's notes and levels, for sounds of any length and kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from stylecore.alignment import STROKES, lay_along, towards, with_turns
from stylecore.analysis import BANK_FRAMES, Analysis, analyse
from stylecore.fine_structure import LOWEST_NOTE, STEPS_PER_SEMITONE, envelope, salience
from stylecore.mosaic import LARGEST_SWELL_DB, coloured, in_own_voice, stretched
from stylecore.spectrogram import Polar, magnitude
from stylecore.splicing import spliced_spectrum
from tests.stylecore.tones import SAMPLE_RATE, hertz, noise, sawtooth, sawtooth_melody

MELODY = (57, 60, 64, 62, 69)
NOTE_FRAMES = 40


def _analysed(sound: Tensor) -> Analysis:
    return analyse(sound, SAMPLE_RATE)


def _notes(log_spectrogram: Tensor) -> Tensor:
    """Return the most salient pitch of each frame as a MIDI number, `[T]`."""
    found = salience(log_spectrogram, log_spectrogram - envelope(log_spectrogram))
    return LOWEST_NOTE + found.argmax(0) / STEPS_PER_SEMITONE


def _levels_db(log_spectrogram: Tensor) -> Tensor:
    return 10 * torch.log10(magnitude(log_spectrogram).square().sum(0) + 1e-12)


def _apart(found: Tensor, wanted: Tensor) -> float:
    """Return the distance of magnitudes, relative to the wanted ones."""
    return float((magnitude(found) - magnitude(wanted)).norm() / magnitude(wanted).norm())


def _laid(content: Analysis, style: Analysis) -> Tensor:
    return lay_along(content, style, SAMPLE_RATE).log_spectrogram


@pytest.fixture(scope="module")
def melody() -> Analysis:
    return _analysed(sawtooth_melody(MELODY, 160 * NOTE_FRAMES))


@pytest.mark.parametrize(
    ("name", "limit"),
    [("harp_phrase", 0.15), ("singing_phrase", 0.25), ("cello_phrase", 0.1), ("drum_loop", 0.02)],
)
def test_a_sound_laid_along_itself_is_nearly_itself(
    sound: Callable[[str, int], Tensor], name: str, limit: float
) -> None:
    """Not quite where there are notes: an envelope is mixed with the usual one, which moves levels as well.

    Without the edges: there the STFT sees the sound mirrored, and the frames that are spliced see silence.
    """
    own = _analysed(sound(name, 24_000))
    other = _analysed(sound("flute_phrase", 24_000))
    inside = slice(3, -3)
    assert _apart(_laid(own, own)[:, inside], own.log_spectrogram[:, inside]) < limit
    assert _apart(_laid(own, other)[:, inside], own.log_spectrogram[:, inside]) > 0.5


@pytest.mark.parametrize("f0_hz", [185.0, 220.0, 330.0, 523.3])
def test_one_note_laid_along_a_melody_plays_the_melody(melody: Analysis, f0_hz: float) -> None:
    laid = _laid(melody, _analysed(sawtooth(f0_hz, 16_000)))
    found = _notes(laid)
    for number, note in enumerate(MELODY):
        steady = found[number * NOTE_FRAMES + 5 : (number + 1) * NOTE_FRAMES - 5]
        assert (steady == note).all(), note


@pytest.mark.parametrize("semitones", [-12, -5, 0, 3, 7, 12])
def test_a_transposed_voice_has_the_transposed_pitch(semitones: int) -> None:
    """The style's alone, without what the content adds of its own."""
    style = _analysed(sawtooth(hertz(60), 16_000))
    moments, shifts = torch.full((3,), 50), torch.full((3,), float(semitones))
    spliced = spliced_spectrum(style, moments, shifts, SAMPLE_RATE)
    assert (_notes(in_own_voice(spliced, style, moments, 2.0 ** (shifts / 12))) == 60 + semitones).all()


def test_a_stretched_envelope_has_its_peak_at_the_ratio() -> None:
    peak = torch.exp(-(((torch.arange(257.0) - 80) / 8) ** 2))[:, None].repeat(1, 3)
    found = stretched(peak, torch.tensor([0.8, 1.0, 1.25]))
    assert found.argmax(0).tolist() == [64, 80, 100]
    torch.testing.assert_close(found[:, 1], peak[:, 1])


def test_an_envelope_leans_with_the_pitch_and_less_than_it(sound: Callable[[str, int], Tensor]) -> None:
    """A high note is brighter than a low one of the same moment, yet no tape that runs faster."""
    style = _analysed(sound("cello_phrase", 16_000))
    moments = torch.full((1,), 50)

    def centre(semitones: float) -> float:
        shifts = torch.tensor([semitones])
        spliced = spliced_spectrum(style, moments, shifts, SAMPLE_RATE)
        smooth = envelope(in_own_voice(spliced, style, moments, 2.0 ** (shifts / 12)))[:, 0].exp()
        return float((torch.arange(257) * smooth).sum() / smooth.sum())

    assert centre(-7) < centre(0) < centre(7) < centre(0) * 2 ** (7 / 12)


def test_a_legato_begins_a_note_where_only_the_pitch_is_new() -> None:
    """Of two tones the one fades in while the other fades out: no onset, and a note all the same."""
    share = torch.cat([torch.zeros(7_200), torch.linspace(0, 1, 1_600), torch.ones(7_200)])
    low, high = (sawtooth(hertz(note), 16_000) for note in (57, 62))
    content = _analysed((1 - share) * low + share * high + 0.01 * noise(16_000, 0))
    inside = slice(10, -10)
    assert not content.starts[inside].any()
    followed = with_turns(content)
    found = torch.nonzero(followed.starts[inside])[:, 0] + 10
    assert len(found) == 1
    assert abs(int(found[0]) - 50) <= 4
    assert followed.since[found[0] + 5] == 5
    assert followed.novelty[found[0]] == 1


def test_a_vibrato_and_noise_have_no_turns() -> None:
    times = torch.arange(24_000) / SAMPLE_RATE
    phase = torch.cumsum(220 * 2 ** (0.4 / 12 * torch.sin(2 * torch.pi * 6 * times)) / SAMPLE_RATE, 0)
    wave = sum(torch.sin(2 * torch.pi * k * phase) / k for k in range(1, 12))
    own = _analysed(wave)
    assert torch.equal(with_turns(own).starts, own.starts)


def test_the_voice_is_the_styles(melody: Analysis) -> None:
    """Of a dull style the result is dull, of a bright one bright, at the same notes."""
    tone = sawtooth(220.0, 16_000)
    low_passed = torch.fft.irfft(torch.fft.rfft(tone) * (torch.arange(8_001) < 1_500), n=16_000)
    bright, dull = (magnitude(_laid(melody, _analysed(style))) for style in (tone, low_passed))
    above = [float(m[64:].square().sum() / m.square().sum()) for m in (bright, dull)]  # 2 kHz and more
    assert above[1] < 0.25 * above[0]


def test_colouring_moves_towards_the_styles_bands_and_not_beyond() -> None:
    dull, bright = (3 + slope * torch.linspace(-1, 1, 257)[:, None].repeat(1, 30) for slope in (-1.0, 1.0))

    def brightness(log_spectrogram: Tensor) -> float:
        energy = magnitude(log_spectrogram).square().sum(1)
        return float(10 * torch.log10(energy[129:].sum() / energy[1:129].sum()))

    before, after, aim = (brightness(log_spectrogram) for log_spectrogram in (dull, coloured(dull, bright), bright))
    assert before + 0.2 * (aim - before) < after < aim
    torch.testing.assert_close(coloured(bright, bright), bright)


def test_frames_have_the_contents_level_and_notes_swell_a_little_as_the_styles_do(
    melody: Analysis, sound: Callable[[str, int], Tensor]
) -> None:
    heard = melody.level_db > -40
    for style in ("violin_sustained", "harp_phrase"):
        found = _levels_db(_laid(melody, _analysed(sound(style, 16_000))))[heard]
        apart = found - _levels_db(melody.log_spectrogram)[heard]
        assert apart.abs().max() < LARGEST_SWELL_DB
        assert apart.abs().max() > 0.01


def test_where_the_content_is_as_loud_as_ever_no_note_swells(sound: Callable[[str, int], Tensor]) -> None:
    steady = _analysed(sawtooth(220.0, 16_000))
    inside = slice(5, -5)
    steady = replace(steady, level_db=torch.zeros_like(steady.level_db))
    found = _levels_db(_laid(steady, _analysed(sound("harp_phrase", 16_000))))
    torch.testing.assert_close(found[inside], _levels_db(steady.log_spectrogram)[inside], rtol=0, atol=0.01)


def test_strokes_keep_some_of_their_own_levels(sound: Callable[[str, int], Tensor]) -> None:
    drums = _analysed(sound("drum_loop", 24_000))
    laid = _laid(drums, _analysed(sound("harp_phrase", 24_000)))
    heard = drums.level_db > -40
    found, wanted = _levels_db(laid)[heard], _levels_db(drums.log_spectrogram)[heard]
    assert (found - wanted).abs().max() > 1
    assert torch.corrcoef(torch.stack([found, wanted]))[0, 1] > STROKES.levels


def test_the_same_sounds_are_laid_out_the_same(melody: Analysis, sound: Callable[[str, int], Tensor]) -> None:
    first, second = (_laid(melody, _analysed(sound("singing_phrase", 24_000))) for _ in range(2))
    assert torch.equal(first, second)


def _usable(laid: Tensor, content: Analysis) -> bool:
    return laid.shape == content.log_spectrogram.shape and bool(torch.isfinite(laid).all()) and bool((laid >= 0).all())


def test_a_style_far_longer_than_is_looked_through_works(melody: Analysis, sound: Callable[[str, int], Tensor]) -> None:
    """And its loudest part counts: what is 60 dB under it is not heard of."""
    voice = sound("violin_sustained", 32_000).repeat(6)
    quiet = 1e-3 * voice.abs().max() * noise(160_000, 0)
    style = _analysed(torch.cat([quiet, voice]))
    assert style.log_spectrogram.shape[1] > 2 * BANK_FRAMES
    laid = _laid(melody, style)
    assert _usable(laid, melody)
    assert _notes(laid)[NOTE_FRAMES + 5 : 2 * NOTE_FRAMES - 5].eq(MELODY[1]).all()


def test_what_is_to_be_looked_through_may_be_all(melody: Analysis) -> None:
    """Only the last, soft second has pitches: the loudest ten seconds on end have none."""
    style = _analysed(torch.cat([noise(10 * SAMPLE_RATE, 0), 0.1 * sawtooth(hertz(57), SAMPLE_RATE)]))
    whole = replace(style, bank_frames=style.n_frames, tonality=melody.tonality)
    part = replace(style, tonality=melody.tonality)
    heard = slice(NOTE_FRAMES + 5, 2 * NOTE_FRAMES - 5)
    assert _notes(_laid(melody, whole))[heard].eq(MELODY[1]).float().mean() > 0.9
    assert _apart(_laid(melody, part), _laid(melody, whole)) > 0.1


def test_no_way_goes_on_across_a_joint(melody: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a style are joined with 40 ms of silence."""
    pieces = [sawtooth_melody([note], SAMPLE_RATE) for note in (57, 62, 66)]
    gap = torch.zeros(640)
    style = _analysed(torch.cat([pieces[0], gap, pieces[1], gap, pieces[2]]))
    ways: list[Tensor] = []

    def spliced(style: Analysis, moments: Tensor, *rest: Any) -> Tensor:
        ways.append(moments)
        return spliced_spectrum(style, moments, *rest)

    monkeypatch.setattr("stylecore.alignment.spliced_spectrum", spliced)
    _laid(melody, style)
    (moments,) = ways
    assert len(set((moments // 104).tolist())) > 1  # it is in several pieces
    for joint in (102, 206):
        crossed = (moments[:-1] < joint) & (moments[1:] >= joint) & (moments.diff() == 1)
        assert not crossed.any()


def test_a_style_of_a_fifth_of_a_second_works(melody: Analysis, sound: Callable[[str, int], Tensor]) -> None:
    laid = _laid(melody, _analysed(sound("violin_sustained", 3_200)))
    assert _usable(laid, melody)
    assert _notes(laid)[NOTE_FRAMES + 5 : 2 * NOTE_FRAMES - 5].eq(MELODY[1]).all()


@pytest.mark.parametrize("samples", [3_200, 16_000])
def test_noise_works_on_either_side(melody: Analysis, samples: int) -> None:
    hiss, other = _analysed(noise(samples, 1)), _analysed(noise(16_000, 2))
    assert _usable(_laid(melody, hiss), melody)
    assert _usable(_laid(hiss, melody), hiss)
    assert _usable(_laid(other, hiss), other)


def test_a_melody_on_noise_keeps_most_of_its_notes(melody: Analysis) -> None:
    """A style without notes has none to transpose: the content's own stay on it."""
    laid = _laid(melody, _analysed(noise(16_000, 1)))
    heard = melody.level_db > -20
    assert (_notes(laid) == _notes(melody.log_spectrogram))[heard].float().mean() > 0.9


def test_strength_leads_from_the_content_to_the_style(melody: Analysis) -> None:
    own = Polar(melody.log_spectrogram, melody.phase(SAMPLE_RATE))
    laid = lay_along(melody, _analysed(noise(16_000, 1)), SAMPLE_RATE)
    for strength, end in ((0.0, own), (1.0, laid)):
        found = towards(own, laid, strength)
        torch.testing.assert_close(found.log_spectrogram, end.log_spectrogram)
        heard = end.log_spectrogram > 0.1
        torch.testing.assert_close(found.phase[heard], end.phase[heard], rtol=0, atol=1e-3)
    half = towards(own, laid, 0.5)
    torch.testing.assert_close(half.log_spectrogram, (own.log_spectrogram + laid.log_spectrogram) / 2)
    torch.testing.assert_close(half.phase.abs(), torch.ones_like(half.log_spectrogram))
    assert torch.equal(towards(own, laid, 1.5).phase, laid.phase)
