"""The same method at higher sampling rates: the paper's band is what it was, and what lies above is the style's."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
import torch
from torch import Tensor

from stylecore.alignment import lay_along
from stylecore.analysis import Analysis, analyse
from stylecore.encoder import Encoder
from stylecore.pairing import paired
from stylecore.settings import RATES, Settings
from stylecore.spectrogram import BIN_HZ, PAPER_BINS, log_spectrogram, magnitude
from stylecore.synthesis import synthesise

RATE = 48_000
LIMIT_DB = 6.0


def plucked(pitches_hz: list[float], brightness: float, duration_s: float = 0.8) -> np.ndarray:
    """Return notes one after the other at 48 kHz, their partials up to 22 kHz, with a little noise, `[N]`."""
    time_s = np.arange(round(duration_s * RATE)) / RATE
    sound = 1e-3 * np.random.default_rng(0).standard_normal(len(time_s))
    for number, pitch_hz in enumerate(pitches_hz):
        begin_s = 0.03 + number * duration_s / len(pitches_hz)
        since = (time_s - begin_s).clip(0)
        for partial in range(1, int(22_000 / pitch_hz) + 1):
            decay = np.exp(-since * (3 + partial / 5)) * (time_s >= begin_s)
            sound += decay * np.sin(2 * np.pi * partial * pitch_hz * since) / partial**brightness
    return (0.2 * sound / np.abs(sound).max()).astype(np.float32)


CONTENT = plucked([330.0, 392.0], 1.6)
STYLE = plucked([262.0], 0.6)


def at(rate: int, samples: np.ndarray) -> Tensor:
    """Return a sound at another rate."""
    return torch.from_numpy(soxr.resample(samples, RATE, rate).astype(np.float32))


@pytest.fixture(scope="module")
def analyses() -> dict[int, tuple[Analysis, Analysis]]:
    return {rate: (analyse(at(rate, CONTENT), rate), analyse(at(rate, STYLE), rate)) for rate in RATES}


@pytest.mark.parametrize("rate", RATES)
def test_the_papers_band_is_the_same_at_any_rate(rate: int) -> None:
    sound = soxr.resample(CONTENT, RATE, 16_000)  # nothing above 8 kHz, which would count in the level
    own, other = (
        log_spectrogram(torch.from_numpy(soxr.resample(sound, 16_000, r).astype(np.float32))[None], r)[0]
        for r in (16_000, rate)
    )
    frames = slice(3, -3)
    assert other.shape == (1 + 16 * rate // 1_000, own.shape[1])
    torch.testing.assert_close(other[:230, frames], own[:230, frames], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("rate", RATES[1:])
def test_pitches_and_beginnings_are_the_same_at_any_rate(rate: int, analyses: dict) -> None:
    for own, other in zip(analyses[16_000], analyses[rate], strict=True):
        assert torch.equal(own.starts, other.starts)
        assert (own.pitch_hz == other.pitch_hz).float().mean() > 0.95
        assert other.tonality == pytest.approx(own.tonality, abs=0.1)


def third_octaves_db(log_magnitudes: Tensor) -> np.ndarray:
    """Return the mean levels of third octaves from 8 to 20 kHz of log-magnitudes `[F, T]`."""
    power = magnitude(log_magnitudes).square().mean(1).numpy()
    middles = 8_980.0 * 2.0 ** (np.arange(4) / 3)
    edges = np.rint(np.stack([middles * 2 ** (-1 / 6), middles * 2 ** (1 / 6)]) / BIN_HZ).astype(int)
    return np.array([10 * np.log10(power[low:high].mean() + 1e-12) for low, high in edges.T])


def test_above_8_khz_is_what_the_transposed_style_has(analyses: dict, encoder: Encoder) -> None:
    content, style = analyses[RATE]
    laid = lay_along(content, style, RATE).log_spectrogram
    (result,) = synthesise([paired(content, style, len(CONTENT), encoder, Settings(sample_rate=RATE))], encoder)
    found = log_spectrogram(result.waveform[None], RATE)[0]
    own = third_octaves_db(content.log_spectrogram)
    wanted = third_octaves_db(laid)
    assert np.abs(third_octaves_db(found) - wanted).max() < LIMIT_DB
    assert (wanted - own).min() > LIMIT_DB, "the content must not pass for its result"


def test_bands_are_of_equal_width_at_any_rate() -> None:
    for rate in RATES:
        settings = Settings(sample_rate=rate)
        bins = 16 * rate // 1_000
        for bands in (settings.style_bands, settings.temporal_bands, settings.spectral_bands):
            assert bins / settings.in_whole_band(bands) == (PAPER_BINS - 1) / bands
