"""The comparison of rates: what it says of sounds whose third octaves are known."""

from __future__ import annotations

import pytest
import torch

from benchmarks.sound.full_band import HIGH, LOW, Judged, errors_db, table
from stylecore.spectrogram import log_magnitude, n_fft


def flat(gain_db: float, above_hz: float) -> torch.Tensor:
    """Return a log-spectrogram `[F, T]` at 48 kHz that is flat, and louder above a frequency."""
    magnitudes = torch.ones(n_fft(HIGH) // 2 + 1, 10)
    magnitudes[round(above_hz / 31.25) :] *= 10 ** (gain_db / 20)
    return log_magnitude(magnitudes)


def test_equal_spectra_have_no_error() -> None:
    assert errors_db(flat(0.0, 0), flat(0.0, 0)) == pytest.approx((0.0,) * 4, abs=1e-4)


def test_an_error_is_in_db_and_signed() -> None:
    assert errors_db(flat(-12.0, 7_900), flat(0.0, 0)) == pytest.approx((-12.0,) * 4, abs=0.01)


def test_what_is_inaudible_in_both_is_left_out() -> None:
    assert errors_db(flat(-100.0, 7_900), flat(-90.0, 7_900)) == ()
    assert len(errors_db(flat(0.0, 0), flat(-100.0, 7_900))) == 4, "a sound where there should be none is an error"


def test_the_table_has_means_differences_and_the_ratio_of_costs() -> None:
    pair = Judged({"timbre_transfer": 0.5}, 0.5), Judged({"timbre_transfer": 0.75}, 1.0, (1.0, -7.0))
    text = table({"one": pair})
    assert "| timbre | 0.50 | 0.75 | +0.25 |" in text
    assert "| CPU s/s, without measuring | 0.50 | 1.00 | x 2.0 |" in text
    assert "4.0 dB" in text
    assert "50% are within 6 dB" in text
    assert (LOW, HIGH) == (16_000, 48_000)
