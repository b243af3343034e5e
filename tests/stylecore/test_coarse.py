"""The beginning at half the resolution: what halving keeps, and what it is good for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stylecore.coarse import enlarged, halved
from stylecore.encoder import Encoder
from stylecore.losses import encode_content, encode_style
from stylecore.settings import Settings
from stylecore.spectrogram import log_magnitude, magnitude
from stylecore.synthesis import Pair, equation_1, optimise_log_spectrogram, starting_log_spectrograms, synthesise

N_SAMPLES = 8_000
COARSE = Settings(coarse_iterations=12, iterations=4, sound_iterations=0, griffin_lim_iterations=4)
PLAIN = COARSE.resolve({"coarse_iterations": 0})


@pytest.fixture(scope="module")
def pair(encoder: Encoder, log_spectrogram_of: Callable[[str, int], Tensor]) -> Pair:
    """Return a pair of demo sounds, encoded at both resolutions."""
    content, style = log_spectrogram_of("harp_phrase", N_SAMPLES), log_spectrogram_of("violin_sustained", N_SAMPLES)
    targets = encode_content(encoder, content, COARSE), encode_style(encoder, style, COARSE)
    return Pair(*targets, N_SAMPLES, COARSE)


def test_halving_keeps_the_mean_energy_of_four_cells() -> None:
    magnitudes = torch.tensor([[3.0, 4.0, 7.0], [0.0, 5.0, 7.0], [7.0, 7.0, 7.0]])
    found = magnitude(halved(log_magnitude(magnitudes)))
    assert found.shape == (1, 1)  # what has no partner is left out
    assert found.item() == pytest.approx(((9 + 16 + 0 + 25) / 4) ** 0.5, rel=1e-5)


def test_silence_stays_silence() -> None:
    assert torch.equal(enlarged(halved(torch.zeros(257, 31)), 257, 31), torch.zeros(257, 31))


@pytest.mark.parametrize(("n_bins", "n_frames"), [(257, 31), (257, 30), (256, 258)])
def test_enlarging_puts_each_cell_back_where_it_was(n_bins: int, n_frames: int) -> None:
    slope = torch.arange(n_bins)[:, None] * 0.5 + torch.arange(n_frames) * 0.25
    coarse = torch.nn.functional.avg_pool2d(slope[None], 2)[0]
    found = enlarged(coarse, n_bins, n_frames)
    assert found.shape == slope.shape
    torch.testing.assert_close(found[1:-2, 1:-2], slope[1:-2, 1:-2])
    assert (found - slope).abs().max() <= 1.5 * (0.5 + 0.25)  # at an edge a cell is repeated


def test_where_full_resolution_begins_is_far_below_noise(pair: Pair, encoder: Encoder) -> None:
    problem = equation_1([pair], encoder)
    coarse, fine = optimise_log_spectrogram([pair], problem, encoder, lambda: None)
    noise = starting_log_spectrograms([pair], encoder, 257)
    at_noise = problem.objective(noise).total(problem.weights)
    assert fine.curve[0] < 0.25 * at_noise
    assert coarse.point.shape == (1, 128, pair.content.frames // 2)
    assert fine.point.shape == (1, 257, pair.content.frames)


def test_evaluations_at_half_the_resolution_are_worth_their_price(pair: Pair, encoder: Encoder) -> None:
    """Twelve of them cost as much as three others, and bring the loss lower than three others do."""
    assert COARSE.full_evaluations == 7
    others = replace(pair, settings=PLAIN.resolve({"iterations": 7}))
    begun_coarse, plain = (synthesise([own], encoder)[0].loss_curve[-1] for own in (pair, others))
    assert begun_coarse < 0.9 * plain


def test_sounds_that_were_encoded_without_are_refused(pair: Pair, encoder: Encoder) -> None:
    bare = replace(pair, content=replace(pair.content, halved=None))
    with pytest.raises(ValueError, match="coarse_iterations=12: the sounds were encoded without"):
        synthesise([bare], encoder)


def test_without_coarse_evaluations_nothing_is_encoded_for_them(
    encoder: Encoder, log_spectrogram_of: Callable[[str, int], Tensor], pair: Pair
) -> None:
    found = encode_content(encoder, log_spectrogram_of("harp_phrase", N_SAMPLES), PLAIN)
    assert found.halved is None
    assert found.n_bytes < pair.content.n_bytes < 1.5 * found.n_bytes
