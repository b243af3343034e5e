"""The whole method on small sounds: what decides a result, and what must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stylecore.encoder import Encoder
from stylecore.losses import encode_content, encode_style
from stylecore.refinement import refine
from stylecore.settings import Settings
from stylecore.spectrogram import (
    REFERENCE_RMS,
    SignalError,
    frame_count,
    log_magnitude,
    log_spectrogram,
    magnitude,
    stft,
)
from stylecore.synthesis import (
    Pair,
    Synthesis,
    equation_1,
    losses_of,
    reconstruct,
    sound_log_spectrogram,
    starting_log_spectrogram,
    starting_log_spectrograms,
    synthesise,
)
from stylecore.terms import TERMS

RATE = 16_000
# Weights under which so many evaluations already descend smoothly: rounding stays rounding, and faults show.
QUICK = Settings(
    coarse_iterations=3,
    iterations=12,
    sound_iterations=5,
    griffin_lim_iterations=8,
    griffin_lim_momentum=0.99,
    alpha=10.0,
    beta=10.0,
    gamma=30.0,
    delta=30.0,
)
MakePair = Callable[..., Pair]


@pytest.fixture(scope="module")
def pair(encoder: Encoder, log_spectrogram_of: Callable[[str, int], Tensor]) -> MakePair:
    """Return a maker of pairs of demo sounds."""

    def made(content: str, style: str, n_samples: int, settings: Settings = QUICK) -> Pair:
        return Pair(
            encode_content(encoder, log_spectrogram_of(content, n_samples), settings),
            encode_style(encoder, log_spectrogram_of(style, 4_000), settings),
            n_samples,
            settings,
        )

    return made


@pytest.fixture(scope="module")
def mixed(pair: MakePair) -> list[Pair]:
    """Return pairs that differ in all that a batch allows."""
    return [
        pair("harp_phrase", "violin_sustained", 4_810),
        pair("singing_phrase", "glass_rub", 3_200, QUICK.resolve({"seed": 5, "iterations": 9, "alpha": 3.0})),
        pair("drum_loop", "violin_sustained", 4_000, QUICK.resolve({"seed": 6, "delta": 4.0, "gamma": 0.0})),
    ]


@pytest.fixture(scope="module")
def together(mixed: list[Pair], encoder: Encoder) -> list[Synthesis]:
    """Return the results of the mixed batch."""
    return synthesise(mixed, encoder)


def _relative(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def test_the_same_seed_gives_the_same_samples(mixed: list[Pair], together: list[Synthesis], encoder: Encoder) -> None:
    torch.manual_seed(123)  # what else draws in the process must not matter
    again = synthesise(mixed, encoder)
    for first, second in zip(together, again, strict=True):
        assert torch.equal(first.waveform, second.waveform)
        assert torch.equal(first.log_spectrogram, second.log_spectrogram)
        assert first.loss_curve == second.loss_curve


def test_another_seed_gives_other_samples(pair: MakePair, encoder: Encoder) -> None:
    first, second = synthesise(
        [pair("harp_phrase", "glass_rub", 3_200, QUICK.resolve({"seed": seed})) for seed in (0, 1)], encoder
    )
    assert _relative(first.waveform, second.waveform) > 0.1


def test_a_pair_in_a_mixed_batch_is_the_pair_alone(mixed: list[Pair], encoder: Encoder) -> None:
    """Up to the phase; from there on Griffin-Lim makes more of a rounding error than a test can tell from a fault."""
    pairs = [replace(own, settings=own.settings.resolve({"sound_iterations": 0})) for own in mixed]
    for own, found in zip(pairs, synthesise(pairs, encoder), strict=True):
        (alone,) = synthesise([own], encoder)
        assert found.evaluations == alone.evaluations == own.settings.coarse_iterations + own.settings.iterations
        assert found.stop_reason == alone.stop_reason == "iterations"
        assert found.loss_curve == pytest.approx(alone.loss_curve, rel=1e-4)
        assert found.first_terms == pytest.approx(alone.first_terms, rel=1e-5)
        terms, expected = (losses_of(own, encoder, one.waveform) for one in (found, alone))
        assert terms == pytest.approx(expected, rel=1e-2)
        assert _relative(found.log_spectrogram, alone.log_spectrogram) < 5e-3
        assert _relative(found.waveform, alone.waveform) < 1e-2


def test_a_sound_refined_in_a_mixed_batch_is_the_sound_alone(mixed: list[Pair], encoder: Encoder) -> None:
    starts = [
        result.waveform
        for result in synthesise(
            [replace(own, settings=own.settings.resolve({"sound_iterations": 0})) for own in mixed], encoder
        )
    ]
    sounds, log_spectrograms, minimum = refine(equation_1(mixed, encoder), starts, lambda: None)
    for item, (own, start) in enumerate(zip(mixed, starts, strict=True)):
        (sound,), (log_spectrogram_alone,), alone = refine(equation_1([own], encoder), [start], lambda: None)
        assert minimum.own_curve(item) == pytest.approx(alone.own_curve(0), rel=1e-4)
        assert _relative(sounds[item], sound) < 1e-3
        assert _relative(log_spectrograms[item], log_spectrogram_alone) < 1e-3
        assert minimum.own_curve(item)[-1] < minimum.own_curve(item)[0]


def test_a_pair_by_adam_in_a_batch_is_the_pair_alone(pair: MakePair, encoder: Encoder) -> None:
    settings = QUICK.resolve({"optimiser": "adam", "iterations": 6})
    pairs = [pair("harp_phrase", "glass_rub", n, settings) for n in (4_000, 3_200)]
    for own, found in zip(pairs, synthesise(pairs, encoder), strict=True):
        (alone,) = synthesise([own], encoder)
        assert found.loss_curve == pytest.approx(alone.loss_curve, rel=2e-3)
        assert found.loss_curve[-1] < found.loss_curve[0]
        assert _relative(found.log_spectrogram, alone.log_spectrogram) < 5e-3


def test_results_have_the_contents_length_and_a_whole_curve(mixed: list[Pair], together: list[Synthesis]) -> None:
    for own, found in zip(mixed, together, strict=True):
        assert found.waveform.shape == (own.n_samples,)
        assert found.log_spectrogram.shape == (257, frame_count(own.n_samples, RATE))
        assert bool(torch.isfinite(found.waveform).all())
        assert len(found.loss_curve) == found.evaluations
        coarse, curve = own.settings.coarse_iterations, found.loss_curve
        fine = coarse + own.settings.iterations
        assert all(stage == sorted(stage, reverse=True) for stage in (curve[:coarse], curve[coarse:fine], curve[fine:]))
        assert found.loss_curve[-1] < 0.5 * found.loss_curve[0]
        assert not found.diverged
        assert found.seconds_optimise > 0
        assert found.seconds_phase > 0


def test_the_curve_begins_with_the_weighted_sum_of_the_terms(mixed: list[Pair], together: list[Synthesis]) -> None:
    for own, found in zip(mixed, together, strict=True):
        assert _weighted(found.first_terms, own.settings) == pytest.approx(found.loss_curve[0], rel=1e-5)


def test_the_curve_ends_with_the_weighted_sum_of_the_terms_of_what_is_heard(
    mixed: list[Pair], together: list[Synthesis], encoder: Encoder
) -> None:
    for own, found in zip(mixed, together, strict=True):
        # And with the distance between log-spectrogram and sound, which is weighed as well.
        distance = (sound_magnitudes(found.waveform) - magnitude(found.log_spectrogram)).norm() / magnitude(
            found.log_spectrogram
        ).norm()
        whole = (
            _weighted(losses_of(own, encoder, found.waveform), own.settings)
            + own.settings.consistency * distance.item() ** 2
        )
        assert whole == pytest.approx(found.loss_curve[-1], rel=1e-2)


def test_without_the_stage_on_the_sound_the_log_spectrogram_is_left_as_it_is(pair: MakePair, encoder: Encoder) -> None:
    settings = QUICK.resolve({"sound_iterations": 0})
    (found,) = synthesise([pair("harp_phrase", "glass_rub", 3_200, settings)], encoder)
    assert found.evaluations == 3 + 12
    assert torch.equal(found.waveform, reconstruct(found.log_spectrogram, 3_200, settings))


def test_the_stage_on_the_sound_lowers_what_is_heard_and_makes_the_log_spectrogram_possible(
    pair: MakePair, encoder: Encoder
) -> None:
    own = pair("harp_phrase", "violin_sustained", 4_810)
    before, after = (
        synthesise([replace(own, settings=own.settings.resolve({"sound_iterations": n}))], encoder)[0] for n in (0, 12)
    )
    losses = [_weighted(losses_of(own, encoder, one.waveform), QUICK) for one in (before, after)]
    assert losses[1] < 0.8 * losses[0]
    distances = [
        (
            (sound_magnitudes(r.waveform) - magnitude(r.log_spectrogram)).norm() / magnitude(r.log_spectrogram).norm()
        ).item()
        for r in (before, after)
    ]
    assert distances[1] < 0.3 * distances[0]


def _weighted(terms: dict[str, float], settings: Settings) -> float:
    return sum(
        weight * terms[name] for weight, name in zip(settings.weights, (term.name for term in TERMS), strict=True)
    )


def sound_magnitudes(waveform: Tensor) -> Tensor:
    """Return the magnitudes of a sound's STFT, `[F, T]`."""
    return stft(waveform[None], RATE)[0].abs()


def test_one_forward_pass_serves_a_batch(mixed: list[Pair], encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    convolved = encoder.convolved

    def counted(x: torch.Tensor, layer: int) -> torch.Tensor:
        if layer == 1:
            batches.append(len(x))
        return convolved(x, layer)

    monkeypatch.setattr(encoder, "convolved", counted)
    results = synthesise(mixed, encoder)
    assert batches == [len(mixed)] * len(batches)
    assert len(batches) == max(r.evaluations for r in results) == 3 + 12 + 5


def test_each_pair_has_its_own_weights(pair: MakePair, encoder: Encoder) -> None:
    """Other weights beside it in the batch, another trade between timbre and dynamics."""
    timbre = QUICK.resolve({"alpha": 0.0, "beta": 0.0, "gamma": 3.0, "delta": 100.0})
    pairs = [pair("harp_phrase", "glass_rub", 3_200, s) for s in (QUICK, timbre)]
    made = zip(pairs, synthesise(pairs, encoder), strict=True)
    plain, bright = (losses_of(own, encoder, found.waveform) for own, found in made)
    assert bright["spectral"] < 0.9 * plain["spectral"]
    assert bright["temporal"] > 1.5 * plain["temporal"]


def test_a_loss_of_weight_zero_is_still_measured(mixed: list[Pair], together: list[Synthesis]) -> None:
    assert mixed[2].settings.gamma == 0.0
    assert together[2].first_terms["temporal"] > 0.0


@pytest.mark.parametrize("name", ["style_bands", "tolerance", "optimiser", "envelopes"])
def test_settings_that_one_optimisation_cannot_serve_are_refused(pair: MakePair, encoder: Encoder, name: str) -> None:
    changes = {"style_bands": 8, "tolerance": 0.5, "optimiser": "adam", "envelopes": "energy"}
    pairs = [
        pair("harp_phrase", "glass_rub", 3_200),
        pair("harp_phrase", "glass_rub", 3_200, QUICK.resolve({name: changes[name]})),
    ]
    with pytest.raises(ValueError, match=f"pairs of one batch differ in {name}"):
        synthesise(pairs, encoder)


def test_the_starting_log_spectrogram_depends_on_shape_and_seed_alone(encoder: Encoder) -> None:
    first = starting_log_spectrogram(encoder, 257, 40, QUICK)
    torch.manual_seed(99)
    assert torch.equal(
        starting_log_spectrogram(encoder, 257, 40, QUICK.resolve({"alpha": 2.0, "iterations": 3})), first
    )
    assert not torch.equal(starting_log_spectrogram(encoder, 257, 40, QUICK.resolve({"seed": 1})), first)
    assert first.shape == (257, 40)
    assert first.mean().item() == pytest.approx(encoder.input_mean.item(), abs=0.05)
    assert first.std().item() == pytest.approx(1.0 / encoder.input_scale.item(), rel=0.05)


def test_levels_begin_silent_where_the_network_does_not_see(encoder: Encoder) -> None:
    noise, level = (
        starting_log_spectrogram(encoder, 257, 40, QUICK.resolve({"envelopes": e})) for e in ("log", "level")
    )
    assert torch.equal(level[:256], noise[:256])
    assert bool((level[256] == 0).all())
    assert bool((noise[256] != 0).any())


def test_the_start_is_the_same_for_any_content_and_any_companion(pair: MakePair, encoder: Encoder) -> None:
    once = QUICK.resolve({"iterations": 1})
    contents = [
        pair("harp_phrase", "glass_rub", 3_200, once),
        pair("drum_loop", "violin_sustained", 3_200, once),
        pair("singing_phrase", "glass_rub", 4_800, once),
    ]
    points = starting_log_spectrograms(contents, encoder, 257)
    start = starting_log_spectrogram(encoder, 257, frame_count(3_200, RATE), once)
    assert torch.equal(points[0, :, :21], start)
    assert torch.equal(points[1, :, :21], start)
    assert torch.equal(points[2], starting_log_spectrogram(encoder, 257, 31, once))


class _Stop(Exception):
    """Raised by a caller that has to go."""


def test_a_caller_can_stop_before_any_evaluation(mixed: list[Pair], encoder: Encoder) -> None:
    calls: list[int] = []

    def stop_at_the_fifth() -> None:
        calls.append(len(calls))
        if len(calls) == 5:
            raise _Stop

    with pytest.raises(_Stop):
        synthesise(mixed, encoder, stop_at_the_fifth)
    assert len(calls) == 5


def test_a_pair_that_diverges_says_so_and_leaves_its_companion_alone(pair: MakePair, encoder: Encoder) -> None:
    sound, broken = (pair("harp_phrase", "glass_rub", 3_200) for _ in range(2))
    broken.style.kept["spectral"]["spectral"][0].fill_(float("nan"))
    beside = synthesise([broken, sound], encoder)
    (alone,) = synthesise([sound], encoder)
    assert [r.diverged for r in beside] == [True, False]
    assert beside[0].stop_reason == "diverged"
    assert bool(torch.isfinite(beside[0].waveform).all())
    assert beside[1].loss_curve[0] == pytest.approx(alone.loss_curve[0], rel=1e-5)
    # Products of another batch round differently, and each evaluation follows the rounding of those before it.
    assert beside[1].loss_curve == pytest.approx(alone.loss_curve, rel=1e-2)
    assert _relative(beside[1].log_spectrogram, alone.log_spectrogram) < 1e-2


def test_the_result_follows_style_in_frequency_and_content_in_time(pair: MakePair, encoder: Encoder) -> None:
    own = pair("drum_loop", "violin_sustained", 4_800, QUICK.resolve({"iterations": 40}))
    (found,) = synthesise([own], encoder)
    last = losses_of(own, encoder, found.waveform)
    for name in (term.name for term in TERMS):
        assert last[name] < 0.7 * found.first_terms[name], name
    assert last["temporal"] < 0.05 * found.first_terms["temporal"]
    assert last["spectral"] < 0.05 * found.first_terms["spectral"]


def test_a_possible_log_spectrogram_is_reconstructed(sound: Callable[[str, int], Tensor]) -> None:
    samples = sound("violin_sustained", 4_800)[None]
    wanted = log_spectrogram(samples, RATE)[0]
    found = reconstruct(wanted, 4_800, Settings(griffin_lim_iterations=32, griffin_lim_momentum=0.99))
    assert found.shape == (4_800,)
    magnitudes, rebuilt = (torch.expm1(p) for p in (wanted, log_spectrogram(found[None], RATE)[0]))
    assert 20 * torch.log10((rebuilt - magnitudes).norm() / magnitudes.norm()) < -15.0


def test_frames_that_do_not_belong_to_the_length_are_refused() -> None:
    with pytest.raises(ValueError, match="21 frames do not belong to 4800 samples"):
        reconstruct(torch.zeros(257, 21), 4_800, Settings())


def test_a_sound_is_log_spectrogramd_at_the_reference_level(sound: Callable[[str, int], Tensor]) -> None:
    samples = sound("harp_phrase", 3_200).double()
    expected = log_magnitude(
        torch.expm1(log_spectrogram(samples[None], RATE)[0]) * 0.01 * REFERENCE_RMS / samples.square().mean().sqrt()
    )
    torch.testing.assert_close(sound_log_spectrogram(samples, RATE), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(sound_log_spectrogram(0.01 * samples, RATE), expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(SignalError, match="silent"):
        sound_log_spectrogram(torch.zeros(3_200), RATE)
