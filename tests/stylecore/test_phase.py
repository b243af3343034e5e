"""Griffin-Lim: librosa's and torchaudio's from the same start, and a phase that nobody else disturbs."""

from __future__ import annotations

from collections.abc import Callable

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor
from torchaudio.functional import griffinlim

from stylecore.phase import griffin_lim, random_phase
from stylecore.spectrogram import magnitude, stft

RATE = 16_000
N_SAMPLES = 3_210
ITERATIONS = 12
MOMENTA = pytest.mark.parametrize("momentum", [0.0, 0.99])


@pytest.fixture(scope="module")
def magnitudes(sound: Callable[[str, int], Tensor]) -> Tensor:
    """Return magnitudes `[1, F, T]` that are the STFT of no sound: two sounds' larger ones."""
    pair = torch.stack([sound(name, N_SAMPLES).double() for name in ("harp_phrase", "singing_phrase")])
    return stft(pair, RATE).abs().amax(0, keepdim=True)


@MOMENTA
def test_it_is_librosas(magnitudes: Tensor, momentum: float) -> None:
    angles = np.random.default_rng(4).random(size=magnitudes.shape)  # as librosa draws them
    expected = librosa.griffinlim(
        magnitudes.numpy(),
        n_iter=ITERATIONS,
        hop_length=160,
        win_length=480,
        n_fft=512,
        dtype=np.float64,
        length=N_SAMPLES,
        pad_mode="reflect",
        momentum=momentum,
        init="random",
        random_state=np.random.default_rng(4),
    )
    phase = torch.from_numpy(np.exp(2j * np.pi * angles))
    found = griffin_lim(magnitudes, phase, RATE, N_SAMPLES, ITERATIONS, momentum)
    assert found.shape == (1, N_SAMPLES)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-7 * np.abs(expected).max())


@MOMENTA
def test_it_is_torchaudios(magnitudes: Tensor, momentum: float) -> None:
    torch.manual_seed(8)
    phase = torch.rand(magnitudes.shape, dtype=torch.complex128)  # what torchaudio starts from
    torch.manual_seed(8)
    window = torch.hann_window(480, dtype=torch.float64)
    expected = griffinlim(magnitudes, window, 512, 160, 480, 1.0, ITERATIONS, momentum, N_SAMPLES, rand_init=True)
    found = griffin_lim(magnitudes, phase, RATE, N_SAMPLES, ITERATIONS, momentum)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7 * expected.abs().max().item())


def _convergence_db(waveform: Tensor, wanted: Tensor) -> float:
    return 20 * torch.log10((stft(waveform, RATE).abs() - wanted).norm() / wanted.norm()).item()


def test_without_momentum_it_never_gets_worse_and_with_it_gets_further(magnitudes: Tensor) -> None:
    phase = random_phase(tuple(magnitudes.shape), 0).to(torch.complex128)
    plain = [
        _convergence_db(griffin_lim(magnitudes, phase, RATE, N_SAMPLES, n, 0.0), magnitudes) for n in (1, 4, 16, 64)
    ]
    assert plain == sorted(plain, reverse=True)
    fast = _convergence_db(griffin_lim(magnitudes, phase, RATE, N_SAMPLES, 64, 0.99), magnitudes)
    assert fast < plain[-1] - 1.0


def test_the_true_phase_is_left_as_it_is(sound: Callable[[str, int], Tensor]) -> None:
    samples = sound("violin_sustained", N_SAMPLES).double()[None]
    spectrum = stft(samples, RATE)
    phase = spectrum / spectrum.abs()
    found = griffin_lim(spectrum.abs(), phase, RATE, N_SAMPLES, 5, 0.0)
    torch.testing.assert_close(found, samples, rtol=0, atol=1e-9)


def test_silence_stays_silent() -> None:
    found = griffin_lim(magnitude(torch.zeros(1, 257, 11)), random_phase((1, 257, 11), 0), RATE, 1_600, 3, 0.99)
    assert found.shape == (1, 1_600)
    assert not found.any()


def test_a_seed_gives_one_phase_whatever_else_was_drawn() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = random_phase((257, 9), 5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    torch.rand(10)
    assert torch.equal(random_phase((257, 9), 5), first)
    assert not torch.equal(random_phase((257, 9), 6), first)


def test_phases_are_unit_and_spread_over_the_circle() -> None:
    phase = random_phase((257, 40), 0)
    torch.testing.assert_close(phase.abs(), torch.ones(257, 40))
    assert phase.mean().abs() < 0.05
    assert phase.square().mean().abs() < 0.05


def test_griffin_lim_draws_nothing(magnitudes: Tensor) -> None:
    before = torch.get_rng_state()
    griffin_lim(magnitudes, random_phase(tuple(magnitudes.shape), 0).to(torch.complex128), RATE, N_SAMPLES, 2, 0.5)
    assert torch.equal(torch.get_rng_state(), before)
