"""The style laid along the content: what the style would look like if it played the content's notes.

Opposed to the paper, whose style is compared as it is, notes included: a held note of a violin then stands as a comb
over every melody. Here each frame of the content looks for the moment of the style, at some transposition, that fits
it: in pitch, in the time since the note began, in what is bright or loud for each of the two. The way through the
style likes to go on as the style went on. Along that way the style's envelope is kept and its fine structure is
transposed: a mosaic (Driedger, Praetzlich & Mueller 2015), with the levels of the content, which equation 1 then takes
for the style.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylecore.analysis import OVERSAMPLING, Analysis
from stylecore.fine_structure import STEPS_PER_SEMITONE, envelope
from stylecore.path import Costs, Way, best_way
from stylecore.spectrogram import hop_length, log_magnitude, magnitude, n_fft, spectrum_of_frames

SPAN_SEMITONES = 36
LONGEST_STYLE_FRAMES = 1000
"""Of a longer style the ten loudest seconds on end are looked through: time and memory grow with them."""

FAR = 0.012
"""Cost of a transposition per semitone: near ones keep more of what a note sounds like."""
TIME = 0.15
"""Cost of another time since the onset, per factor e."""
EARLY_FRAMES = 4.0
COLOUR_OF_NOTES, COLOUR_OF_STROKES = 0.1, 0.6
LEVEL_OF_STROKES = 0.3
"""Cost of a level that is 40 dB off what its own sound knows as loud."""
SILENT = 0.5
JUMP, HOP, GLIDE = 0.12, 0.25, 0.06
JUMP_OF_STROKES = 0.3
SUSTAIN = 5.0
"""In the middle of a note to leave costs so much more than where something begins."""
SMOOTH_FRAMES = 2
"""The content's pitches are averaged over so many frames on both sides: the path need not follow every flicker."""

CONTENT_FINE, CONTENT_FINE_OF_CHORDS, CONTENT_FINE_OF_STROKES, CONTENT_FINE_WITHOUT_NOTES = 0.25, 0.4, 0.4, 0.7
"""Share of the content's own fine structure: its melody in detail. More of a chord, which no transposed note of the
style has, and most where the style has no notes to offer."""
USUAL = 0.3
"""Share of the style's usual envelope: a moment of a style is no more than an example."""
BLEND_FRAMES = 2
LARGEST_GAIN = 30 / 20 * 2.302585
"""30 dB, in nepers."""
COLOURED = 0.6
BROAD_BANDS = 8
LARGEST_COLOURING = 9 / 20 * 2.302585
"""9 dB, in nepers."""
STROKE_LEVELS = 0.7
"""Share of the content's level, in dB, in that of strokes; the rest is the style's own."""


@torch.no_grad()
def lay_along(content: Analysis, style: Analysis, sample_rate: int) -> Tensor:
    """Return the style laid along the content: log-magnitudes `[F, T]` of as many frames as the content's.

    Parameters
    ----------
    content, style : Analysis
        At the same sampling rate, on the same device.
    sample_rate : int
        In Hz.
    """
    notes = min(content.tonality.pitched, style.tonality.pitched) >= 0.5
    first, frames = _searched(style)
    semitones = torch.arange(-SPAN_SEMITONES, SPAN_SEMITONES + 1) if notes else torch.zeros(1, dtype=torch.long)
    way = _way(content, style, slice(first, first + frames), semitones, notes=notes)
    moments = way.moment.to(style.picture.device) + first
    shifts = semitones[way.transposition].to(style.picture)
    laid = _laid(content, style, moments, shifts, sample_rate, notes=notes)
    blended = (
        laid + _content_share(content, notes=notes) * (content.fine - (laid - envelope(laid, content.pitch_hz)))
    ).clamp_min(0)
    if not notes:
        return at_levels(blended, content.picture, STROKE_LEVELS)
    return at_levels(coloured(blended, style.picture), content.picture, 1.0)


def _content_share(content: Analysis, *, notes: bool) -> float:
    """Return the share of the content's own fine structure."""
    if not notes:
        return CONTENT_FINE_WITHOUT_NOTES if content.tonality.pitched >= 0.5 else CONTENT_FINE_OF_STROKES
    single = content.tonality.single
    return single * CONTENT_FINE + (1 - single) * CONTENT_FINE_OF_CHORDS


def _searched(style: Analysis) -> tuple[int, int]:
    """Return the first frame and the number of frames of the style that are looked through."""
    frames = style.picture.shape[1]
    if frames <= LONGEST_STYLE_FRAMES:
        return 0, frames
    loudness = torch.cumsum((style.level_db.clamp_min(-60) + 60).double(), 0)
    return int((loudness[LONGEST_STYLE_FRAMES:] - loudness[:-LONGEST_STYLE_FRAMES]).argmax()), LONGEST_STYLE_FRAMES


def _way(content: Analysis, style: Analysis, part: slice, semitones: Tensor, *, notes: bool) -> Way:
    """Return the way through a part of the style that fits the content best."""
    wanted = torch.nn.functional.normalize(_averaged(content.salience), dim=0, eps=1e-6)
    offered = _transposed(style.salience[:, part], semitones) if notes else None
    far = FAR * semitones.abs().to(wanted)[:, None]
    quiet = SILENT * (-(style.level_db[part] - torch.quantile(style.level_db[part], 0.95) + 25) / 25).clamp(0, 1)
    loud = ((content.level_db + 50) / 50).clamp(0, 1)
    colour = (COLOUR_OF_NOTES if notes else COLOUR_OF_STROKES) / style.colour.shape[0] ** 0.5

    def scores(first: int, last: int) -> Tensor:
        frames = slice(first, last)
        apart = TIME * (_age(content.since[frames])[:, None] - _age(style.since[part])).abs()
        apart = apart + colour * torch.cdist(content.colour[:, frames].T, style.colour[:, part].T)
        if not notes:
            apart = apart + LEVEL_OF_STROKES * _level_apart(content.level_db[frames], style.level_db[part])
        fits = -(apart + quiet)[:, None] - far
        if offered is None:
            return fits
        pitch = (wanted[:, frames].T @ offered).unflatten(1, (len(semitones), -1))
        return fits + pitch * loud[frames, None, None]

    firmness = 1 + SUSTAIN * (1 - content.novelty)
    jump, hop = (JUMP, HOP) if notes else (JUMP_OF_STROKES, JUMP_OF_STROKES)
    return best_way(scores, content.picture.shape[1], Costs(jump * firmness, hop * firmness, GLIDE))


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


def _laid(
    content: Analysis, style: Analysis, moments: Tensor, shifts: Tensor, sample_rate: int, *, notes: bool
) -> Tensor:
    """Return the style's frames `[F, T]` along a way; where it jumps in a note, what was goes on and fades."""
    current = _frames(style, moments, shifts, sample_rate, notes=notes)
    jumps = torch.nonzero((moments[1:] != moments[:-1] + 1) | (shifts[1:] != shifts[:-1]))[:, 0] + 1
    begins = torch.nn.functional.max_pool1d(content.starts.float()[None, None], 5, 1, 2)[0, 0] > 0
    before_moments, before_shifts, share = moments.clone(), shifts.clone(), torch.ones(len(moments)).to(current)
    for jump in jumps.tolist():
        if begins[jump]:
            continue
        for step in range(min(BLEND_FRAMES, len(moments) - jump)):
            before_moments[jump + step] = min(int(moments[jump - 1]) + step + 1, style.picture.shape[1] - 1)
            before_shifts[jump + step] = shifts[jump - 1]
            share[jump + step] = (step + 1) / (BLEND_FRAMES + 1)
    fading = torch.nonzero(share < 1)[:, 0]
    if len(fading):
        before = _frames(style, before_moments[fading], before_shifts[fading], sample_rate, notes=notes)
        current[:, fading] = share[fading] * current[:, fading] + (1 - share[fading]) * before
    return current


def _frames(style: Analysis, moments: Tensor, shifts: Tensor, sample_rate: int, *, notes: bool) -> Tensor:
    """Return the style's frames at these moments, transposed by semitones, in its own envelope, `[F, T]`."""
    if not notes:
        return style.picture[:, moments]
    loud = magnitude(style.picture).square().sum(0).sqrt()
    usual = (style.envelope * (loud / loud.sum())).sum(1, keepdim=True)
    own = style.envelope[:, moments]
    own = own + USUAL * (usual - usual.mean() + own.mean(0) - own)
    ratios = 2.0 ** (shifts / 12)
    return (own + filled(transposed_fine(style, moments, ratios, sample_rate), ratios)).clamp_min(0)


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


def at_levels(laid: Tensor, content: Tensor, share: float) -> Tensor:
    """Return log-magnitudes `[F, T]` whose frames have the content's energy, or so much of it in dB."""
    wanted, found = (magnitude(p).square().sum(0).clamp_min(1e-9) for p in (content, laid))
    wanted = wanted**share * (found * (wanted.sum() / found.sum())) ** (1 - share)
    gain = (0.5 * torch.log(wanted / found)).clamp_max(LARGEST_GAIN).exp()
    return log_magnitude(magnitude(laid) * gain)


def towards(content: Tensor, laid: Tensor, strength: float) -> Tensor:
    """Return log-magnitudes so far on the way from the content to the laid-out style: 0 the content, 1 the style."""
    return laid if strength == 1 else (content + strength * (laid - content)).clamp_min(0)
