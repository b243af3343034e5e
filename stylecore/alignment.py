"""The style laid along the content: what the style would look like if it played the content's notes.

Opposed to the paper, whose style is compared as it is, notes included: a held note of a violin then stands as a comb
over every melody. Here each frame of the content looks for the moment of the style, at some transposition, that fits
it: in pitch, in the time since the note began, in what is bright or loud for each of the two. The way through the
style likes to go on as the style went on. Along that way the style's envelope is kept and its fine structure is
transposed: a mosaic (Driedger, Praetzlich & Mueller 2015), with the levels of the content, which equation 1 then takes
for the style.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylecore.analysis import Analysis
from stylecore.fine_structure import STEPS_PER_SEMITONE, envelope
from stylecore.mosaic import at_levels, coloured, in_own_voice
from stylecore.onsets import frames_since, near, turns
from stylecore.path import Costs, Way, best_way
from stylecore.spectrogram import Polar, log_magnitude, magnitude, unit
from stylecore.splicing import spliced_spectrum

FAR = 0.012
"""Cost of a transposition per semitone: near ones keep more of what a note sounds like."""
TIME = 0.15
"""Cost of another time since the onset, per factor e."""
EARLY_FRAMES = 4.0
BEGINNING = 0.3
"""Cost of a moment in which something begins where nothing does in the content, or the reverse."""
SILENT = 0.5
"""Cost of a moment that is far softer than the style's loud ones."""
GLIDE = 0.06
SUSTAIN = 5.0
"""In the middle of a note to leave costs so much more than where something begins."""
SMOOTH_FRAMES = 2
"""The content's pitches are averaged over so many frames on both sides: the path need not follow every flicker."""


@dataclass(frozen=True)
class Manner:
    """How the style is laid along the content: what moments are compared by, and what is kept of them.

    `semitones` `[K]`: transpositions that are tried; `colour`, `level`: costs of another brightness, and of a level
    that is 40 dB off what its own sound knows as loud; `jump`, `hop`: costs of leaving; `levels`: share of the
    content's level, in dB, in that of a frame, the rest is the style's own.
    """

    semitones: Tensor
    colour: float
    level: float
    jump: float
    hop: float
    levels: float


NOTES = Manner(torch.arange(-36, 37), colour=0.1, level=0.0, jump=0.12, hop=0.25, levels=1.0)
STROKES = Manner(torch.zeros(1, dtype=torch.long), colour=0.6, level=0.3, jump=0.3, hop=0.3, levels=0.7)
"""Drums and noise: nothing is transposed, and what a moment is for its own sound decides."""

FINE_OF_NOTES, FINE_OF_CHORDS, FINE_OF_STROKES, FINE_WITHOUT_NOTES = 0.15, 0.4, 0.4, 0.7
"""Share of the content's own fine structure: its melody in detail. More of a chord, which no transposed note of the
style has, and most where the style has no notes to offer."""


@torch.no_grad()
def lay_along(content: Analysis, style: Analysis, sample_rate: int) -> Polar:
    """Return the style laid along the content, as many frames.

    Parameters
    ----------
    content, style : Analysis
        At the same sampling rate, on the same device.
    sample_rate : int
        In Hz.
    """
    notes = min(content.tonality.pitched, style.tonality.pitched) >= 0.5
    manner = NOTES if notes else STROKES
    content = with_turns(content) if notes else content
    first, count = _searched(style)
    way = _way(content, style, slice(first, first + count), manner)
    moments = way.moment.to(style.log_spectrogram.device) + first
    shifts = manner.semitones[way.transposition].to(style.log_spectrogram)
    spliced = spliced_spectrum(style, moments, shifts, sample_rate)
    laid = in_own_voice(spliced, style, moments, 2.0 ** (shifts / 12)) if notes else log_magnitude(spliced.abs())
    own = _own_share(content, manner) * (content.fine - (laid - envelope(laid, content.pitch_hz)))
    laid = (laid + own).clamp_min(0)
    laid = at_levels(coloured(laid, style.log_spectrogram) if notes else laid, content, manner.levels)
    return Polar(laid, unit(spliced))


def with_turns(content: Analysis) -> Analysis:
    """Return a content's analysis with the notes that begin in a legato, where nothing but the pitch is new.

    Not a style's: a moment that is looked for as a beginning has to sound like one.
    """
    turned = turns(content.salience, content.level_db, content.starts)
    starts = content.starts | turned
    novelty = torch.where(near(turned, 1), 1.0, content.novelty)
    return replace(content, starts=starts, since=frames_since(starts), novelty=novelty)


def towards(content: Polar, laid: Polar, strength: float) -> Polar:
    """Return a log-spectrogram so far on the way from the content to the laid-out style: 0 the content, 1 the style.

    Its phases are those of the two mixed at these shares.
    """
    if strength >= 1:
        return Polar(_between(content.log_spectrogram, laid.log_spectrogram, strength), laid.phase)
    own, other = (magnitude(one.log_spectrogram) * one.phase for one in (content, laid))
    phase = unit((1 - strength) * own + strength * other)
    return Polar(_between(content.log_spectrogram, laid.log_spectrogram, strength), phase)


def blended(laid: Sequence[tuple[float, Polar]]) -> Polar:
    """Return several styles laid along one content as one, by their shares: step by step from one to the next.

    The log-spectrogram is the weighted mean; the phases are those of the styles mixed at these shares.
    """
    (so_far, found), *others = laid
    for share, other in others:
        so_far += share
        found = towards(found, other, share / so_far)
    return found


def _between(content: Tensor, laid: Tensor, strength: float) -> Tensor:
    return laid if strength == 1 else (content + strength * (laid - content)).clamp_min(0)


def _own_share(content: Analysis, manner: Manner) -> float:
    """Return the share of the content's own fine structure."""
    if manner is STROKES:
        return FINE_WITHOUT_NOTES if content.tonality.pitched >= 0.5 else FINE_OF_STROKES
    single = content.tonality.single
    return single * FINE_OF_NOTES + (1 - single) * FINE_OF_CHORDS


def _searched(style: Analysis) -> tuple[int, int]:
    """Return the first frame and the number of frames of the style that are looked through."""
    most = style.bank_frames
    if style.n_frames <= most:
        return 0, style.n_frames
    loudness = torch.cumsum((style.level_db.clamp_min(-60) + 60).double(), 0)
    return int((loudness[most:] - loudness[:-most]).argmax()), most


def _way(content: Analysis, style: Analysis, part: slice, manner: Manner) -> Way:
    """Return the way through a part of the style that fits the content best."""
    far = FAR * manner.semitones.abs().to(style.log_spectrogram)[:, None]
    quiet = SILENT * (-(style.level_db[part] - torch.quantile(style.level_db[part], 0.95) + 25) / 25).clamp(0, 1)
    colour = manner.colour / style.colour.shape[0] ** 0.5
    agreement = _pitch_agreement(content, style, part, manner)

    def scores(first: int, last: int) -> Tensor:
        frames = slice(first, last)
        apart = TIME * (_age(content.since[frames])[:, None] - _age(style.since[part])).abs()
        apart = apart + colour * torch.cdist(content.colour[:, frames].T, style.colour[:, part].T)
        apart = apart + BEGINNING * (content.novelty[frames][:, None] - style.novelty[part]).abs()
        if manner.level:
            apart = apart + manner.level * _level_apart(content.level_db[frames], style.level_db[part])
        return agreement(frames) - (apart + quiet)[:, None] - far

    firmness = 1 + SUSTAIN * (1 - content.novelty)
    costs = Costs(manner.jump * firmness, manner.hop * firmness, GLIDE)
    return best_way(scores, content.log_spectrogram.shape[1], costs)


def _pitch_agreement(content: Analysis, style: Analysis, part: slice, manner: Manner) -> Callable[[slice], Tensor]:
    """Return what says how well pitches agree, 0 to 1: of some frames of the content, `[T, K, N]`, or 0 for strokes."""
    if manner is STROKES:
        return lambda frames: content.level_db.new_zeros(1)
    wanted = torch.nn.functional.normalize(_averaged(content.salience), dim=0, eps=1e-6)
    offered = _transposed(style.salience[:, part], manner.semitones)
    loud = ((content.level_db + 50) / 50).clamp(0, 1)

    def agreement(frames: slice) -> Tensor:
        cosines = (wanted[:, frames].T @ offered).unflatten(1, (len(manner.semitones), -1))
        return cosines * loud[frames, None, None]

    return agreement


def _averaged(values: Tensor) -> Tensor:
    """Return moving averages along the last axis of `[C, T]`."""
    edged = torch.nn.functional.pad(values[None], (SMOOTH_FRAMES, SMOOTH_FRAMES), mode="replicate")
    return torch.nn.functional.avg_pool1d(edged, 2 * SMOOTH_FRAMES + 1, 1)[0]


def _transposed(salience: Tensor, semitones: Tensor) -> Tensor:
    """Return saliences `[pitches, S]` at each transposition, side by side, `[pitches, K S]`: a pitch moves, no more."""
    pitches = len(salience)
    reach = int(semitones.abs().max()) * STEPS_PER_SEMITONE
    padded = torch.nn.functional.pad(salience, (0, 0, reach, reach))
    starts = (reach - semitones * STEPS_PER_SEMITONE).tolist()
    return torch.cat([padded[start : start + pitches] for start in starts], dim=1)


def _age(since: Tensor) -> Tensor:
    return torch.log(since + EARLY_FRAMES)


def _level_apart(content_db: Tensor, style_db: Tensor) -> Tensor:
    apart = content_db[:, None] - (style_db - torch.quantile(style_db, 0.98))
    return apart.abs().clamp_max(40) / 40
