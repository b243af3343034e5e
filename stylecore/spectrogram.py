"""Sound to log-magnitude spectrogram and back (Verma & Smith 2018, section 2).

The paper's log-spectrogram: 30 ms frames every 10 ms, a transform of 32 ms, so a bin is 31.25 Hz wide whatever the
sampling rate, and linear frequency, "a high-resolution representation from which near-perfect reconstruction is
possible". At a higher rate there are more bins, and those of the paper's band, up to 8 kHz, are what they were.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from stylecore.errors import SignalError

PAPER_RATE = 16_000
"""Sampling rate of the paper, Hz."""

PAPER_BINS = 257
"""Bins of the paper's band, from 0 Hz to 8 kHz."""

BIN_HZ = 31.25
WINDOW_S = 0.030
HOP_S = 0.010
LONG_WINDOW_S, LONGER = 0.090, 4

REFERENCE_RMS = 0.1
"""Every sound is brought to this RMS before its log-spectrogram is taken: one level, one set of weights."""

MAGNITUDE_FLOOR = 0.01
"""Magnitude at which the logarithm bends into a line. A full sine at `REFERENCE_RMS` reaches about 17, 65 dB above."""


class Polar(NamedTuple):
    """A spectrogram as log-magnitudes `[F, T]` and phases, unit complex numbers `[F, T]`."""

    log_spectrogram: Tensor
    phase: Tensor


def n_fft(sample_rate: int) -> int:
    """Return the transform length in samples, 512 at 16 kHz (paper)."""
    return round(sample_rate / BIN_HZ)


def win_length(sample_rate: int) -> int:
    """Return the window length in samples, 480 at 16 kHz (paper)."""
    return round(sample_rate * WINDOW_S)


def hop_length(sample_rate: int) -> int:
    """Return the step between frames in samples, 160 at 16 kHz (paper)."""
    return round(sample_rate * HOP_S)


def frame_count(n_samples: int, sample_rate: int) -> int:
    """Return the number of frames of a centred STFT.

    >>> frame_count(41_120, 16_000)  # the paper's 2.57 s
    258
    """
    return 1 + n_samples // hop_length(sample_rate)


@lru_cache(maxsize=16)
def _window(sample_rate: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the window, with the sum of the paper's: a sound has the same magnitudes at any rate."""
    return torch.hann_window(win_length(sample_rate), dtype=dtype, device=device) * (PAPER_RATE / sample_rate)


def stft(waveform: Tensor, sample_rate: int) -> Tensor:
    """Return the centred short-time Fourier transform.

    Parameters
    ----------
    waveform : Tensor
        Real samples, `[B, N]`, with `N` over half a transform (the centring reflects that much).
    sample_rate : int
        In Hz.

    Returns
    -------
    Tensor
        Complex, `[B, F, T]`: `F = n_fft / 2 + 1` bins of 31.25 Hz, `T = 1 + N // hop` frames of 10 ms.

    Raises
    ------
    SignalError
        If the waveform is shorter than the reflected edge.
    """
    if waveform.shape[-1] <= n_fft(sample_rate) // 2:
        raise SignalError(f"{waveform.shape[-1]} samples are too few for an STFT: need over {n_fft(sample_rate) // 2}")
    return torch.stft(
        waveform,
        n_fft(sample_rate),
        hop_length=hop_length(sample_rate),
        win_length=win_length(sample_rate),
        window=_window(sample_rate, waveform.dtype, waveform.device),
        center=True,
        return_complex=True,
    )


def spectrum_of_frames(frames: Tensor, sample_rate: int) -> Tensor:
    """Return the spectra `[F, T]` of frames `[T, n_fft]` that were cut already, in the STFT's window."""
    margin = (n_fft(sample_rate) - win_length(sample_rate)) // 2
    window = torch.nn.functional.pad(_window(sample_rate, frames.dtype, frames.device), (margin, margin))
    return torch.fft.rfft(frames * window, dim=1).T


def long_log_spectrogram(waveform: Tensor, sample_rate: int) -> Tensor:
    """Return log-magnitudes `[B, 1025, T]` of frames of 90 ms, a bin every 7.8 Hz up to 8 kHz, at the usual instants.

    For pitch alone: the paper's frames do not tell two partials 70 Hz apart.
    """
    length, ratio = LONGER * n_fft(sample_rate), win_length(PAPER_RATE) / round(LONG_WINDOW_S * sample_rate)
    window = torch.hann_window(round(LONG_WINDOW_S * sample_rate), dtype=waveform.dtype, device=waveform.device)
    spectrum = torch.stft(
        waveform,
        length,
        hop_length=hop_length(sample_rate),
        win_length=len(window),
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return log_magnitude(ratio * spectrum[:, : LONGER * (PAPER_BINS - 1) + 1].abs())


def unit(spectrum: Tensor) -> Tensor:
    """Return the phases of complex numbers as unit complex numbers; 1 for 0."""
    return torch.polar(torch.ones_like(spectrum.real), spectrum.angle())


def istft(spectrum: Tensor, sample_rate: int, n_samples: int) -> Tensor:
    """Return the waveform whose STFT is nearest in the least-squares sense (Griffin & Lim 1984, equation 6).

    Parameters
    ----------
    spectrum : Tensor
        Complex, `[B, F, T]`; need not be the STFT of any sound.
    sample_rate, n_samples : int
        In Hz; length of the result.

    Returns
    -------
    Tensor
        Real, `[B, N]`.
    """
    dtype = spectrum.real.dtype
    return torch.istft(
        spectrum,
        n_fft(sample_rate),
        hop_length=hop_length(sample_rate),
        win_length=win_length(sample_rate),
        window=_window(sample_rate, dtype, spectrum.device),
        center=True,
        length=n_samples,
    )


def log_magnitude(magnitude: Tensor) -> Tensor:
    """Compress magnitudes: `log(1 + |S| / floor)`, zero for silence and smooth there."""
    return torch.log1p(magnitude / MAGNITUDE_FLOOR)


def magnitude(log_magnitude: Tensor) -> Tensor:
    """Invert `log_magnitude`; log-spectrograms below silence, which an optimiser may visit, count as silence.

    >>> import torch
    >>> bool(torch.isclose(magnitude(log_magnitude(torch.tensor(0.5))), torch.tensor(0.5)))
    True
    """
    return MAGNITUDE_FLOOR * torch.expm1(log_magnitude.clamp_min(0.0))


def log_spectrogram(waveform: Tensor, sample_rate: int) -> Tensor:
    """Return the log-magnitude spectrogram `[B, F, T]` of real samples `[B, N]`, at the sound's own level."""
    return log_magnitude(stft(waveform, sample_rate).abs())


def at_reference_level(waveform: Tensor) -> Tensor:
    """Scale each sound of `[B, N]` to `REFERENCE_RMS`.

    Raises
    ------
    SignalError
        If a sound is silent or has samples that are not finite: it has no level.
    """
    rms = waveform.square().mean(dim=-1, keepdim=True).sqrt()
    if not bool(torch.isfinite(rms).all()):
        raise SignalError("a sound with samples that are not finite has no level to normalise")
    if not bool((rms > 0).all()):
        raise SignalError("a silent sound has no level to normalise")
    return waveform * (REFERENCE_RMS / rms)
