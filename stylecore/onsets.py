"""Where notes and strokes begin, and how long ago: rises over all bins (spectral flux: Dixon 2006)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

RISE_FRAMES = 2
APART_FRAMES = 6
LEAST_RISE = 0.3
"""Mean rise over all bins, in nepers within two frames, from which it is an onset."""
OVER_NEIGHBOURS = 1.6
TURN_FRAMES, TURN_GAP, TURNS_APART, FROM_ONSET = 6, 2, 8, 14
"""A pitch is compared over so many frames with as many after a gap on either side; how near two turns, or a turn and
an onset, may be."""
VIBRATO_STEPS = 2
"""Saliences are averaged over so many quarter tones on both sides: a vibrato is no turn."""
LEAST_TURN = 0.3
"""One minus the cosine of the pitches before and after."""
LONG_AGO = 200
"""Frames that are said to have passed before the first onset."""


def flux(log_spectrogram: Tensor) -> Tensor:
    """Return the mean rise of log-magnitudes `[F, T]` within two frames, in nepers, `[T]`."""
    before = functional.pad(log_spectrogram[None], (RISE_FRAMES, 0), mode="replicate")[0, :, :-RISE_FRAMES]
    return (log_spectrogram - before).clamp_min(0).mean(0)


def onsets(log_spectrogram: Tensor, level_db: Tensor) -> Tensor:
    """Return where a note or a stroke begins, bool `[T]`.

    Parameters
    ----------
    log_spectrogram : Tensor
        Log-magnitudes, `[F, T]`.
    level_db : Tensor
        Of each frame under the loudest, `[T]`: a rise out of near silence into near silence is none.
    """
    rises = flux(log_spectrogram) * ((level_db + 45) / 25).clamp(0, 1)
    nearby = functional.max_pool1d(rises[None, None], 2 * APART_FRAMES + 1, 1, APART_FRAMES)[0, 0]
    usual = functional.avg_pool1d(rises[None, None], 31, 1, 15, count_include_pad=False)[0, 0]
    return (rises == nearby) & (rises > LEAST_RISE) & (rises > OVER_NEIGHBOURS * usual)


def novelty(log_spectrogram: Tensor) -> Tensor:
    """Return the flux relative to its strong moments, 0 to 1, `[T]`, a frame early as well."""
    rises = flux(log_spectrogram)
    rises = torch.maximum(rises, torch.cat([rises[1:], rises[-1:]]))
    return (rises / torch.quantile(rises, 0.95).clamp_min(1e-3)).clamp(0, 1)


def turns(salience: Tensor, level_db: Tensor, starts: Tensor) -> Tensor:
    """Return where the pitch becomes another without a rise of the spectrum, as in a legato, bool `[T]`.

    Parameters
    ----------
    salience : Tensor
        How much each pitch is there, `[pitches, T]`.
    level_db, starts : Tensor
        Levels under the loudest frame and the onsets, `[T]`: what turns near an onset is that note.
    """
    broad = functional.avg_pool1d(salience.T[:, None], 2 * VIBRATO_STEPS + 1, 1, VIBRATO_STEPS)[:, 0].T
    reach, n_frames = TURN_FRAMES + TURN_GAP, salience.shape[1]
    means = functional.avg_pool1d(functional.pad(broad[None], (reach, reach), mode="replicate"), TURN_FRAMES, 1)[0]
    sides = (means[:, first : first + n_frames] for first in (0, reach + TURN_GAP))
    before, after = (functional.normalize(side, dim=0, eps=1e-6) for side in sides)
    change = (1 - (before * after).sum(0)) * ((level_db + 45) / 25).clamp(0, 1) * (before.sum(0) > 0)
    best = functional.max_pool1d(change[None, None], 2 * TURNS_APART + 1, 1, TURNS_APART)[0, 0]
    return (change == best) & (change > LEAST_TURN) & ~near(starts, FROM_ONSET)


def near(where: Tensor, reach: int) -> Tensor:
    """Return what is true within so many frames, bool `[T]`."""
    return functional.max_pool1d(where.float()[None, None], 2 * reach + 1, 1, reach)[0, 0] > 0


def frames_since(starts: Tensor) -> Tensor:
    """Return how many frames ago the last onset was, float `[T]`.

    >>> frames_since(torch.tensor([False, True, False, False, True]))
    tensor([200.,   0.,   1.,   2.,   0.])
    """
    index = torch.arange(len(starts), device=starts.device)
    last = torch.where(starts, index, -1).cummax(0).values
    return torch.where(last < 0, LONG_AGO + index, index - last).float()
