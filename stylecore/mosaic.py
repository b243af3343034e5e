"""Frames of a style along a way through it: transposed, in the style's own envelope, at the levels of the content.

A mosaic (Driedger, Praetzlich & Mueller 2015) of spectra, not of samples: a phase is found later.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from stylecore.analysis import OVERSAMPLING, Analysis
from stylecore.fine_structure import envelope
from stylecore.spectrogram import hop_length, log_magnitude, magnitude, n_fft, spectrum_of_frames

USUAL = 0.3
"""Share of the style's usual envelope: a moment of a style is no more than an example."""
BLEND_FRAMES = 2
DB = math.log(10) / 20
"""A decibel of amplitude in nepers."""
LARGEST_GAIN = 30 * DB
NOTE_FRAMES, ALIKE_DB = 20, 6.0
LARGEST_SWELL_DB, SWELL_OF_DYNAMICS = 3.0, 0.3
COLOURED, BROAD_BANDS, LARGEST_COLOURING = 0.6, 8, 9 * DB


Frames = Callable[[Tensor, Tensor], Tensor]
"""From moments of a style, int64 `[T]`, and transpositions in semitones `[T]` to log-magnitudes `[F, T]`."""


def mosaic(frames: Frames, moments: Tensor, shifts: Tensor, last: int, begins: Tensor) -> Tensor:
    """Return the frames `[F, T]` along a way; where it jumps within a note, what was goes on and fades.

    Parameters
    ----------
    frames : callable
        Of the style.
    moments, shifts : Tensor
        The way: frame of the style and transposition in semitones for each frame of the content, `[T]`.
    last : int
        Last frame of the style.
    begins : Tensor
        Where the content begins something new, bool `[T]`.
    """
    current = frames(moments, shifts)
    jumps = torch.nonzero((moments[1:] != moments[:-1] + 1) | (shifts[1:] != shifts[:-1]))[:, 0] + 1
    near_onset = torch.nn.functional.max_pool1d(begins.float()[None, None], 5, 1, 2)[0, 0] > 0
    before, before_shifts, share = moments.clone(), shifts.clone(), torch.ones(len(moments)).to(current)
    for jump in jumps[~near_onset[jumps]].tolist():
        for step in range(min(BLEND_FRAMES, len(moments) - jump)):
            before[jump + step] = min(int(moments[jump - 1]) + step + 1, last)
            before_shifts[jump + step] = shifts[jump - 1]
            share[jump + step] = (step + 1) / (BLEND_FRAMES + 1)
    fading = torch.nonzero(share < 1)[:, 0]
    if len(fading):
        old = frames(before[fading], before_shifts[fading])
        current[:, fading] = share[fading] * current[:, fading] + (1 - share[fading]) * old
    return current


def as_they_are(style: Analysis) -> Frames:
    """Return the frames of a style that are taken as they are, whatever the transposition."""
    return lambda moments, shifts: style.picture[:, moments]


def transposed(style: Analysis, sample_rate: int) -> Frames:
    """Return the frames of a style that are transposed in its own envelope."""
    loud = magnitude(style.picture).square().sum(0).sqrt()
    usual = (style.envelope * (loud / loud.sum())).sum(1, keepdim=True)

    def frames(moments: Tensor, shifts: Tensor) -> Tensor:
        own = style.envelope[:, moments]
        own = own + USUAL * (usual - usual.mean() + own.mean(0) - own)
        ratios = 2.0 ** (shifts / 12)
        return (own + filled(transposed_fine(style, moments, ratios, sample_rate), ratios)).clamp_min(0)

    return frames


def transposed_fine(style: Analysis, moments: Tensor, ratios: Tensor, sample_rate: int) -> Tensor:
    """Return the fine structure `[F, T]` of the style at these frames, played at a ratio of its speed."""
    centres = moments * float(hop_length(sample_rate) * OVERSAMPLING)
    half = n_fft(sample_rate) // 2
    offsets = torch.arange(-half, half, device=ratios.device) * float(OVERSAMPLING)
    positions = centres[:, None] + offsets * ratios[:, None]
    margin = int(half * OVERSAMPLING * float(ratios.max())) + 2
    dense = torch.nn.functional.pad(style.samples, (margin, margin + OVERSAMPLING * 2 * half))
    positions = positions + margin
    lower = positions.long().clamp(0, len(dense) - 2)
    share = positions - lower
    frames = dense[lower] * (1 - share) + dense[lower + 1] * share
    spectrum = log_magnitude(spectrum_of_frames(frames, sample_rate).abs())
    return spectrum - envelope(spectrum, style.pitch_hz[moments] * ratios)


def filled(fine: Tensor, ratios: Tensor) -> Tensor:
    """Return fine structures `[F, T]` whose top, empty where a sound is transposed down, repeats what is below it.

    The lag is the one at which the upper half of what is there agrees best with what is below: partials go on.
    """
    made, bins = fine.clone(), len(fine)
    for frame in torch.nonzero(ratios < 0.97)[:, 0].tolist():
        limit = int((bins - 1) * float(ratios[frame]) * 0.97)
        if limit <= 24:
            continue
        column = made[:, frame]
        lags = torch.arange(max(limit // 6, 4), limit // 2, device=fine.device)
        windows = column.unfold(0, limit - limit // 2, 1)[limit // 2 - lags]
        lag = int(lags[(windows @ column[limit // 2 : limit]).argmax()])
        for start in range(limit, bins, lag):
            stop = min(start + lag, bins)
            column[start:stop] = column[start - lag : stop - lag].clone()
    return made


def coloured(laid: Tensor, style: Tensor) -> Tensor:
    """Return log-magnitudes `[F, T]` filtered half the way, at most 9 dB, to the style's average in broad bands.

    Which moments fit best is decided by notes; they need not be as bright, together, as the style is.
    """
    wanted, found = (_average_shares(picture) for picture in (style, laid))
    gain = (COLOURED / 2 * torch.log(wanted / found)).clamp(-LARGEST_COLOURING, LARGEST_COLOURING)
    by_bin = torch.nn.functional.interpolate(gain[None, None], len(laid) - 1, mode="linear")[0, 0]
    return log_magnitude(magnitude(laid) * torch.cat([by_bin[:1], by_bin]).exp()[:, None])


def _average_shares(picture: Tensor) -> Tensor:
    """Return each broad band's share of the energy `[8]`, loud frames counting less than they would by themselves."""
    energy = magnitude(picture[1:]).square().unflatten(0, (BROAD_BANDS, -1)).sum(1)
    weights = energy.sum(0) ** 0.25
    average = energy @ (weights / weights.sum().clamp_min(1e-9))
    return average / average.sum().clamp_min(1e-9) + 1e-7


def at_levels(laid: Tensor, content: Analysis, share: float) -> Tensor:
    """Return log-magnitudes `[F, T]` at the content's levels, or so much of them in dB.

    Within a note the style may swell and fade a little as it does: by 3 dB, and by no more than a share of what the
    content's levels differ among themselves.
    """
    wanted, found = (magnitude(p).square().sum(0).clamp_min(1e-9) for p in (content.picture, laid))
    wanted = wanted**share * (found * (wanted.sum() / found.sum())) ** (1 - share)
    gain_db = 10 * torch.log10(wanted / found)
    gain = ((gain_db + _swelling_db(gain_db, content)) * DB).clamp_max(LARGEST_GAIN).exp()
    return log_magnitude(magnitude(laid) * gain)


def _swelling_db(gain_db: Tensor, content: Analysis) -> Tensor:
    """Return how far a frame may be from the content's level, given the gain that would bring it there, `[T]`."""
    level_db = content.level_db.clamp_min(-60)
    limit = (SWELL_OF_DYNAMICS * level_db.std(correction=0)).clamp(1e-3, LARGEST_SWELL_DB)
    heard = ((level_db + 50) / 30).clamp(0, 1)
    return heard * limit * torch.tanh((_averaged_in_notes(gain_db, level_db, content.starts) - gain_db) / limit)


def _averaged_in_notes(values: Tensor, level_db: Tensor, starts: Tensor) -> Tensor:
    """Return averages `[T]` over near frames of the same note at a similar level."""
    offsets = torch.arange(-NOTE_FRAMES, NOTE_FRAMES + 1, device=values.device)
    near = (torch.arange(len(values), device=values.device)[:, None] + offsets).clamp(0, len(values) - 1)
    note = starts.cumsum(0)
    weights = torch.exp(-((level_db[near] - level_db[:, None]) / ALIKE_DB).square()) * (note[near] == note[:, None])
    return (values[near] * weights).sum(1) / weights.sum(1)
