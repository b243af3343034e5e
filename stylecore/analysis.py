"""What the alignment needs to know of a sound, once, however many pairs it is in."""

from __future__ import annotations

from dataclasses import dataclass

import soxr
import torch
from torch import Tensor

from stylecore.fine_structure import Pitchedness, envelope, pitch_hz, salience, tonality
from stylecore.onsets import frames_since, novelty, onsets
from stylecore.spectrogram import (
    BIN_HZ,
    LONGER,
    PAPER_BINS,
    at_reference_level,
    log_spectrogram,
    long_log_spectrogram,
    magnitude,
    stft,
    unit,
)

OVERSAMPLING = 4
"""Frames are read between samples when they are transposed: linear interpolation is clean at four times the rate."""

BANK_FRAMES = 1000
"""Ten seconds: time and memory of an alignment grow with them."""

BANDS = 16
QUIET_DB = -90.0


@dataclass(frozen=True)
class Analysis:
    """One sound at the reference level.

    What is decided by, pitches and beginnings and colours, is looked for in the paper's band, up to 8 kHz, so that the
    same moments are chosen at any sampling rate; what is heard, spectra and levels, is of the whole band.

    `samples` `[4 N]`, four times oversampled; `log_spectrogram`, `envelope` `[F, T]`: log-magnitudes and the smooth
    part of them; `salience` `[pitches, T]` and the most salient `pitch_hz` `[T]`; `level_db` `[T]` under the loudest
    frame; `starts` bool `[T]` and `since` `[T]`: onsets, and frames since the last; `novelty` `[T]`, 0 to 1; `colour`
    `[16, T]`: levels of bands by how unusual they are for this sound; `tonality`: whether it has notes, and one at a
    time. `bank_frames`: so many frames, of a longer sound those that are loudest on end, are what an alignment looks
    through.
    """

    samples: Tensor
    log_spectrogram: Tensor
    envelope: Tensor
    salience: Tensor
    pitch_hz: Tensor
    level_db: Tensor
    starts: Tensor
    since: Tensor
    novelty: Tensor
    colour: Tensor
    tonality: Pitchedness
    bank_frames: int = BANK_FRAMES

    @property
    def n_frames(self) -> int:
        """How many frames it has, `T`."""
        return self.log_spectrogram.shape[1]

    @property
    def fine(self) -> Tensor:
        """Fine structure, `[F, T]`."""
        return self.log_spectrogram - self.envelope

    def phase(self, sample_rate: int) -> Tensor:
        """Return the phases as unit complex numbers `[F, T]`."""
        spectrum = stft(self.samples[None, ::OVERSAMPLING], sample_rate)[0, :, : self.log_spectrogram.shape[1]]
        return unit(spectrum)

    @property
    def n_bytes(self) -> int:
        """Bytes held, for a cache with a limit."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, Tensor))


@torch.no_grad()
def analyse(samples: Tensor, sample_rate: int) -> Analysis:
    """Analyse one sound `[N]`.

    Raises
    ------
    SignalError
        If the sound is silent or shorter than half a transform.
    """
    at_level = at_reference_level(samples[None])
    spectrum = log_spectrogram(at_level, sample_rate)[0]
    decisive = spectrum[:PAPER_BINS]
    longer = long_log_spectrogram(at_level, sample_rate)[0]
    notes = salience(longer, longer - envelope(longer, bin_hz=BIN_HZ / LONGER), BIN_HZ / LONGER)
    pitch = pitch_hz(notes)
    smooth = envelope(spectrum, pitch)
    fine = spectrum - smooth
    level_db = level_under_peak_db(spectrum)
    starts = onsets(decisive, level_db)
    loud = ((level_db + 30) / 20).clamp(0, 1)
    dense = soxr.resample(at_level[0].cpu().numpy(), sample_rate, OVERSAMPLING * sample_rate)
    return Analysis(
        samples=torch.from_numpy(dense).to(samples),
        log_spectrogram=spectrum,
        envelope=smooth,
        salience=notes,
        pitch_hz=pitch,
        level_db=level_db,
        starts=starts,
        since=frames_since(starts),
        novelty=novelty(decisive),
        colour=_colour(decisive, level_db),
        tonality=tonality(decisive, fine[:PAPER_BINS], loud),
    )


def level_under_peak_db(spectrum: Tensor) -> Tensor:
    """Return the level of each frame of log-magnitudes `[F, T]` under the loudest, in dB, `[T]`."""
    energy = magnitude(spectrum).square().sum(0)
    return (10 * torch.log10(energy / energy.max() + 1e-9)).clamp_min(QUIET_DB)


def _colour(spectrum: Tensor, level_db: Tensor) -> Tensor:
    """Return band levels `[16, T]` in standard deviations of the sound itself: bright for it, dark for it."""
    top = len(spectrum) - 1
    edges = torch.logspace(torch.log10(torch.tensor(3.0)), torch.log10(torch.tensor(float(top))), BANDS + 1).long()
    parts = zip(edges.tolist(), edges[1:].tolist(), strict=False)
    bands = torch.stack([spectrum[low : max(low + 1, high)].mean(0) for low, high in parts])
    loud = ((level_db + 45) / 30).clamp(0, 1)
    usual = (bands * loud).sum(1, keepdim=True) / loud.sum()
    deviation = (((bands - usual).square() * loud).sum(1, keepdim=True) / loud.sum()).sqrt().clamp_min(0.3)
    return ((bands - usual) / deviation).clamp(-3, 3)
