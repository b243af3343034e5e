"""The log-spectrogram: against librosa, and there and back."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylecore.errors import SignalError
from stylecore.spectrogram import (
    MAGNITUDE_FLOOR,
    REFERENCE_RMS,
    at_reference_level,
    frame_count,
    hop_length,
    istft,
    log_magnitude,
    log_spectrogram,
    magnitude,
    n_fft,
    stft,
    win_length,
)

RATE = 16_000


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("sample_rate", "sizes"),
    [(16_000, (512, 480, 160)), (32_000, (1024, 960, 320)), (48_000, (1536, 1440, 480))],
)
def test_a_bin_is_31_25_hz_and_a_frame_10_ms_at_any_rate(sample_rate: int, sizes: tuple[int, int, int]) -> None:
    assert (n_fft(sample_rate), win_length(sample_rate), hop_length(sample_rate)) == sizes


@pytest.mark.parametrize("n_samples", [257, 3_200, 5_000, 41_120])
def test_the_stft_is_librosas(n_samples: int) -> None:
    samples = _noise(2, n_samples)
    expected = librosa.stft(samples.numpy(), n_fft=512, win_length=480, hop_length=160, pad_mode="reflect")
    found = stft(samples, RATE).numpy()
    assert found.shape == (2, 257, frame_count(n_samples, RATE))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_a_spectrum_of_no_sound_is_inverted_as_librosa_does() -> None:
    spectrum = torch.polar(_noise(1, 257, 41).abs(), _noise(1, 257, 41, seed=1))
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].abs().to(spectrum.dtype)
    expected = librosa.istft(spectrum.numpy(), n_fft=512, win_length=480, hop_length=160, length=6_400)
    np.testing.assert_allclose(istft(spectrum, RATE, 6_400).numpy(), expected, rtol=0, atol=1e-11)


def test_a_tone_is_where_its_frequency_is() -> None:
    tone = torch.sin(2 * torch.pi * 1_000.0 * torch.arange(RATE) / RATE)
    peaks = log_spectrogram(tone[None], RATE)[0].argmax(0)
    assert set(peaks[2:-2].tolist()) == {32}  # 1000 Hz / 31.25 Hz


@settings(max_examples=25, derandomize=True, database=None)
@given(
    n_samples=st.integers(257, 4_000),
    sample_rate=st.sampled_from([16_000, 32_000]),
    level=st.sampled_from([1e-6, 1.0, 1e3]),
    seed=st.integers(0, 99),
)
def test_there_and_back(n_samples: int, sample_rate: int, level: float, seed: int) -> None:
    n_samples = n_samples * sample_rate // 16_000
    samples = level * _noise(1, n_samples, seed=seed)
    back = istft(stft(samples, sample_rate), sample_rate, n_samples)
    assert back.shape == samples.shape
    torch.testing.assert_close(back, samples, rtol=1e-9, atol=1e-10 * level)


@settings(max_examples=25, derandomize=True, database=None)
@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=8))
def test_the_logarithm_is_inverted(values: list[float]) -> None:
    magnitudes = torch.tensor(values, dtype=torch.float64)
    compressed = log_magnitude(magnitudes)
    assert bool((compressed >= 0).all())
    torch.testing.assert_close(magnitude(compressed), magnitudes, rtol=1e-9, atol=1e-12)


def test_silence_is_zero_and_below_silence_is_silence() -> None:
    assert not log_spectrogram(torch.zeros(1, 800), RATE).any()
    assert magnitude(torch.tensor([-3.0, -1e-9, 0.0])).tolist() == [0.0, 0.0, 0.0]
    assert log_magnitude(torch.tensor(MAGNITUDE_FLOOR)).item() == pytest.approx(np.log(2.0))


def test_log_spectrograms_have_gradients_at_silence() -> None:
    samples = torch.zeros(1, 800, requires_grad=True)
    (gradient,) = torch.autograd.grad(log_spectrogram(samples, RATE).sum(), samples)
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("level", [1e-6, 0.3, 1e4])
def test_each_sound_is_brought_to_the_reference_level(level: float) -> None:
    samples = torch.stack([level * _noise(2_000), _noise(2_000, seed=1)])
    levelled = at_reference_level(samples)
    torch.testing.assert_close(
        levelled.square().mean(1).sqrt(), torch.full((2,), REFERENCE_RMS, dtype=torch.float64), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(levelled[0] / samples[0], torch.full_like(samples[0], (levelled / samples)[0, 0].item()))


@pytest.mark.parametrize("n_samples", [1, 256])
def test_a_sound_too_short_for_its_edge_is_refused(n_samples: int) -> None:
    with pytest.raises(SignalError, match=f"{n_samples} samples are too few for an STFT: need over 256"):
        stft(torch.ones(1, n_samples), RATE)
    assert stft(torch.ones(1, 257), RATE).shape == (1, 257, 2)


def test_a_silent_sound_beside_a_loud_one_is_refused() -> None:
    with pytest.raises(SignalError, match="silent"):
        at_reference_level(torch.stack([torch.ones(400), torch.zeros(400)]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_sound_that_is_not_finite_is_refused(value: float) -> None:
    samples = torch.ones(1, 400)
    samples[0, 7] = value
    with pytest.raises(SignalError, match="not finite"):
        at_reference_level(samples)
