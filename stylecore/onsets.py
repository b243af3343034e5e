"""Where notes and strokes begin, and how long ago: a picture's rises over all bins (spectral flux: Dixon 2006)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

RISE_FRAMES = 2
APART_FRAMES = 6
LEAST_RISE = 0.3
"""Mean rise over all bins, in nepers within two frames, from which it is an onset."""
OVER_NEIGHBOURS = 1.6
LONG_AGO = 200
"""Frames that are said to have passed before the first onset."""


def flux(picture: Tensor) -> Tensor:
    """Return the mean rise of log-magnitudes `[F, T]` within two frames, in nepers, `[T]`."""
    before = functional.pad(picture[None], (RISE_FRAMES, 0), mode="replicate")[0, :, :-RISE_FRAMES]
    return (picture - before).clamp_min(0).mean(0)


def onsets(picture: Tensor, level_db: Tensor) -> Tensor:
    """Return where a note or a stroke begins, bool `[T]`.

    Parameters
    ----------
    picture : Tensor
        Log-magnitudes, `[F, T]`.
    level_db : Tensor
        Of each frame under the loudest, `[T]`: a rise out of near silence into near silence is none.
    """
    rises = flux(picture) * ((level_db + 45) / 25).clamp(0, 1)
    nearby = functional.max_pool1d(rises[None, None], 2 * APART_FRAMES + 1, 1, APART_FRAMES)[0, 0]
    usual = functional.avg_pool1d(rises[None, None], 31, 1, 15, count_include_pad=False)[0, 0]
    return (rises == nearby) & (rises > LEAST_RISE) & (rises > OVER_NEIGHBOURS * usual)


def novelty(picture: Tensor) -> Tensor:
    """Return the flux relative to its strong moments, 0 to 1, `[T]`, a frame early as well."""
    rises = flux(picture)
    rises = torch.maximum(rises, torch.cat([rises[1:], rises[-1:]]))
    return (rises / torch.quantile(rises, 0.95).clamp_min(1e-3)).clamp(0, 1)


def frames_since(starts: Tensor) -> Tensor:
    """Return how many frames ago the last onset was, float `[T]`.

    >>> frames_since(torch.tensor([False, True, False, False, True]))
    tensor([200.,   0.,   1.,   2.,   0.])
    """
    index = torch.arange(len(starts), device=starts.device)
    last = torch.where(starts, index, -1).cummax(0).values
    return torch.where(last < 0, LONG_AGO + index, index - last).float()
