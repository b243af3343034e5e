"""Frames of a style along a way through it: transposed, in the style's own envelope, at the levels of the content.

A mosaic (Driedger, Praetzlich & Mueller 2015): of the frames that are spliced (stylecore/splicing.py) the partials are
kept, and envelope and levels are given to them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stylecore.analysis import Analysis
from stylecore.fine_structure import envelope
from stylecore.spectrogram import log_magnitude, magnitude

USUAL = 0.3
"""Share of the style's usual envelope: a moment of a style is no more than an example."""
LEANING = 0.2
"""Share of a transposition, as an interval, by which the envelope goes along: an instrument's body stays, but it sounds
brighter on its high notes and darker on its low ones."""
DB = math.log(10) / 20
"""A decibel of amplitude in nepers."""
LARGEST_GAIN = 30 * DB
NOTE_FRAMES, ALIKE_DB = 20, 6.0
LARGEST_SWELL_DB, SWELL_OF_DYNAMICS = 3.0, 0.3
COLOURED, BROAD_BAND_BINS, LARGEST_COLOURING = 0.6, 32, 9 * DB


def in_own_voice(spliced: Tensor, style: Analysis, moments: Tensor, ratios: Tensor) -> Tensor:
    """Return log-magnitudes `[F, T]` of transposed frames in the style's own envelope.

    Parameters
    ----------
    spliced : Tensor
        Spectra along a way through the style, complex `[F, T]`: their fine structure is taken.
    style : Analysis
        Whose envelope is put back.
    moments, ratios : Tensor
        The way: frame of the style and ratio of its speed for each frame of the content, `[T]`.
    """
    loud = magnitude(style.log_spectrogram).square().sum(0).sqrt()
    usual = (style.envelope * (loud / loud.sum())).sum(1, keepdim=True)
    own = style.envelope[:, moments]
    own = stretched(own + USUAL * (usual - usual.mean() + own.mean(0) - own), ratios**LEANING)
    played = log_magnitude(spliced.abs())
    fine = played - envelope(played, style.pitch_hz[moments] * ratios)
    return (own + filled(fine, ratios)).clamp_min(0)


def stretched(envelopes: Tensor, ratios: Tensor) -> Tensor:
    """Return envelopes `[F, T]` stretched along frequency by a ratio each, `[T]`; above its end the last value."""
    top = len(envelopes) - 1
    position = (torch.arange(top + 1, device=envelopes.device)[:, None] / ratios).clamp_max(top)
    lower = position.long().clamp_max(top - 1)
    return torch.lerp(envelopes.gather(0, lower), envelopes.gather(0, lower + 1), position - lower)


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
    wanted, found = (_average_shares(log_spectrogram) for log_spectrogram in (style, laid))
    gain = (COLOURED / 2 * torch.log(wanted / found)).clamp(-LARGEST_COLOURING, LARGEST_COLOURING)
    by_bin = torch.nn.functional.interpolate(gain[None, None], len(laid) - 1, mode="linear")[0, 0]
    return log_magnitude(magnitude(laid) * torch.cat([by_bin[:1], by_bin]).exp()[:, None])


def _average_shares(log_spectrogram: Tensor) -> Tensor:
    """Return each band's share of the energy, bands of 1 kHz, loud frames counting less than they would otherwise."""
    energy = magnitude(log_spectrogram[1:]).square().unflatten(0, (-1, BROAD_BAND_BINS)).sum(1)
    weights = energy.sum(0) ** 0.25
    average = energy @ (weights / weights.sum().clamp_min(1e-9))
    return average / average.sum().clamp_min(1e-9) + 1e-7


def at_levels(laid: Tensor, content: Analysis, share: float) -> Tensor:
    """Return log-magnitudes `[F, T]` at the content's levels, or so much of them in dB.

    Within a note the style may swell and fade a little as it does: by 3 dB, and by no more than a share of what the
    content's levels differ among themselves.
    """
    wanted, found = (magnitude(p).square().sum(0).clamp_min(1e-9) for p in (content.log_spectrogram, laid))
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
