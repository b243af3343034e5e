"""The figures that judge a result: how much of the style arrived and how much of the content stayed.

They measure sounds as they were written, with rulers that the optimisation never sees. Each is one function of a
`Comparison`, and whatever names figures (the result table, its documentation, the terminal, the benchmarks) reads them
from `FIGURES`: to add one is to write one here. Importing this module imports no librosa and no torch.

A figure that does not exist, because its denominator or a variance is zero, is None and never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from stylecore import melody, noise
from stylecore.errors import SignalError

if TYPE_CHECKING:
    from stylecore.features import Comparison

AUDIBLE_DB = -40.0
BANDWIDTH_CONTRAST = 0.25
"""A style whose bandwidth is nearer than this share of the content's leaves nothing to shift."""

NEGLIGIBLE = 1e-5
"""Spreads below this are rounding."""

TIMBRE_NEGLIGIBLE_DB = 0.1
"""A style whose mean MFCCs are nearer to the content's leaves no way to go: MFCCs of other sounds differ by tens."""

Array = NDArray[np.float64]
Function = TypeVar("Function", bound=Callable[..., float | None])


@dataclass(frozen=True)
class Figure:
    """A figure of the result table.

    Attributes
    ----------
    name : str
        Of its column.
    heading : str
        In tables for people.
    unit : str
        Empty for a ratio.
    least, most : float
        Between these it lies.
    ideal : float
        The best value; infinite where more, or less, is always better.
    description : str
        One line for users.
    shown : bool
        Whether the terminal shows it.
    measure : callable
        From a `Comparison` to the figure; where `of_spectrograms`, from two spectrograms.
    of_spectrograms : bool
        Whether it compares a sound's spectrogram with the one that was asked for, instead of three sounds.
    """

    name: str
    heading: str
    unit: str
    least: float
    most: float
    ideal: float
    description: str
    shown: bool
    measure: Callable[..., float | None]
    of_spectrograms: bool = False


FIGURES: list[Figure] = []
"""All figures, in the order of the result table."""


def figure(
    heading: str,
    *,
    least: float = -math.inf,
    most: float = 1.0,
    ideal: float = 1.0,
    unit: str = "",
    shown: bool = False,
    of_spectrograms: bool = False,
    description: str,
) -> Callable[[Function], Function]:
    """Add a function to `FIGURES` under its own name."""

    def added(measure: Function) -> Function:
        name = measure.__name__
        FIGURES.append(Figure(name, heading, unit, least, most, ideal, description, shown, measure, of_spectrograms))
        return measure

    return added


@figure(
    "timbre",
    shown=True,
    description="how far the timbre (MFCCs) moved from the content (0) to the style at the content's pitch (1)",
)
def timbre_transfer(sounds: Comparison) -> float | None:
    """Return `1 - d(o, s) / d(c, s)`, `d` the Euclidean distance of mean MFCCs: 1 when the style's timbre arrived.

    With the content's notes, `s` is the style at the content's pitch, where both have one.
    """
    output, content, style = sounds.output, sounds.content, sounds.style
    wanted = style.mfcc if sounds.notes == "style" else style.mfcc_at_pitch_of(content)
    if output.mfcc is None or content.mfcc is None or wanted is None:
        return None
    return _share_travelled(output.mfcc - wanted, content.mfcc - wanted)


@figure(
    "texture",
    shown=True,
    description="how far the texture moved from the content (0) to the style (1), both of one spectrum: mean of "
    "the modulation's, of the correlation of bands and of the shape of their envelopes; null in rows "
    "of schema version 1, whose figure was another",
)
def texture_transfer(sounds: Comparison) -> float | None:
    """Return how much of the style's texture arrived (McDermott & Simoncelli 2011; stylecore/texture.py)."""
    return sounds.transfers["texture_transfer"]


@figure(
    "modulation",
    description="how far the strength of fast fluctuations (8 Hz and more) moved from the content (0) to the "
    "style (1), both of one spectrum",
)
def modulation_transfer(sounds: Comparison) -> float | None:
    """Return how much of the style's modulation arrived (stylecore/texture.py)."""
    return sounds.transfers["modulation_transfer"]


@figure(
    "tonality",
    description="how far flatness and crest of the spectrum moved from the content (0) to the style (1), both of "
    "one spectrum",
)
def tonality_transfer(sounds: Comparison) -> float | None:
    """Return how much of the style's flatness and crest arrived (stylecore/tonality.py)."""
    return sounds.transfers["tonality_transfer"]


@figure(
    "attacks",
    description="how far the slopes of the level moved from the content (0) to the style (1), both of one spectrum",
)
def attack_transfer(sounds: Comparison) -> float | None:
    """Return how much of the style's slopes of the level arrived (stylecore/attacks.py)."""
    return sounds.transfers["attack_transfer"]


@figure(
    "rhythm",
    least=-1.0,
    shown=True,
    description="correlation of the onset strengths of output and content, -1 to 1; 1 is ideal",
)
def rhythm_kept(sounds: Comparison) -> float | None:
    """Return Pearson's correlation of the onset strengths."""
    return _correlation(sounds.output.onsets, sounds.content.onsets)


@figure(
    "dynamics",
    least=-1.0,
    shown=True,
    description="correlation of the levels in dB of output and content, -1 to 1; 1 is ideal",
)
def dynamics_kept(sounds: Comparison) -> float | None:
    """Return Pearson's correlation of the frame levels in dB, floored 60 dB under each sound's peak."""
    return _correlation(sounds.output.level_db, sounds.content.level_db)


@figure(
    "pitch",
    least=0.0,
    description="mean cosine of the chroma of output and content, 0 to 1; 1 is ideal",
)
def pitch_kept(sounds: Comparison) -> float | None:
    """Return the mean cosine of the chroma over frames where the content is within 40 dB of its peak.

    A frame where one of the two has no chroma at all counts as zero: nothing was kept of it.
    """
    audible = sounds.content.level_db > AUDIBLE_DB
    if not audible.any():
        return None
    estimate, reference = sounds.output.chroma[:, audible], sounds.content.chroma[:, audible]
    norms = np.linalg.norm(estimate, axis=0) * np.linalg.norm(reference, axis=0)
    products = (estimate * reference).sum(axis=0)
    return float(np.mean(np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0)))


@figure(
    "melody",
    least=0.0,
    shown=True,
    description="share of the content's voiced frames where the output has its pitch within 50 cents, 0 to 1; 1 "
    "is ideal; null where the content has few",
)
def melody_kept(sounds: Comparison) -> float | None:
    """Return the share of the content's sure frames where the output has its pitch (stylecore/melody.py)."""
    return melody.melody_kept(sounds.output.melody, sounds.content.melody)


@figure(
    "leak",
    least=0.0,
    ideal=0.0,
    shown=True,
    description="share of the output's notes that are the style's own and not the content's, 0 to 1; 0 is ideal; "
    "null where one of the two has no pitch",
)
def style_leak(sounds: Comparison) -> float | None:
    """Return the share of the output's notes on the style's own pitches (stylecore/melody.py)."""
    return melody.style_leak(sounds.output.melody, sounds.content.melody, sounds.style.melody)


@figure(
    "bandwidth",
    most=math.inf,
    shown=True,
    description="how far the bandwidth moved from the content's (0) to the style's (1); null where the two differ "
    "by less than 25 %",
)
def bandwidth_shift(sounds: Comparison) -> float | None:
    """Return `(bw_o - bw_c) / (bw_s - bw_c)`: 0 at the content's bandwidth, 1 at the style's.

    None where the style's bandwidth differs from the content's by less than 25 %.
    """
    three = (sounds.output, sounds.content, sounds.style)
    of_output, of_content, of_style = (sound.descriptors["bandwidth_hz"] for sound in three)
    if of_output is None or of_content is None or of_style is None:
        return None
    if abs(of_style - of_content) < max(BANDWIDTH_CONTRAST * of_content, NEGLIGIBLE):
        return None
    return (of_output - of_content) / (of_style - of_content)


@figure(
    "HNR dB",
    unit="dB",
    least=noise.HNR_LEAST_DB,
    most=noise.HNR_MOST_DB,
    ideal=math.inf,
    description="harmonics-to-noise ratio of the output, dB, median over loud frames; high is clean",
)
def noise_hnr_db(sounds: Comparison) -> float | None:
    """Return the harmonics-to-noise ratio of the output (Boersma 1993; stylecore/noise.py)."""
    return sounds.output.hnr_db


@figure(
    "blips/s",
    unit="1/s",
    least=0.0,
    most=math.inf,
    ideal=0.0,
    description="isolated bright spots of the output's spectrogram that neither content nor style has, per "
    "second; 0 is ideal",
)
def blips_per_s(sounds: Comparison) -> float | None:
    """Return the output's blips beyond those of content and style (stylecore/noise.py)."""
    return noise.added_blips_per_s(sounds.output.blips, sounds.content.blips, sounds.style.blips)


@figure(
    "convergence dB",
    unit="dB",
    most=math.inf,
    ideal=-math.inf,
    of_spectrograms=True,
    description="distance of the audio as written from the spectrogram that was optimised last, dB; low is good",
)
def spectral_convergence_db(estimate: NDArray[np.inexact], reference: NDArray[np.floating]) -> float | None:
    """Return `20 log10(||abs(estimate) - M|| / ||M||)`: how far a sound's STFT is from the `M` asked for.

    Parameters
    ----------
    estimate : ndarray
        STFT of the sound, or its magnitude, `[F, T]`.
    reference : ndarray of float
        The magnitude `M` before any phase step, at the sound's gain, `[F, T]`.

    Returns
    -------
    float or None
        In dB, the lower the better. None where there is no ratio to take the logarithm of: `M` is all zero, or the
        estimate equals it to the last bit.

    Raises
    ------
    ValueError
        If the shapes differ.
    SignalError
        If a value is not finite.
    """
    if estimate.shape != reference.shape:
        raise ValueError(f"shapes differ: estimate {estimate.shape}, reference {reference.shape}")
    error, whole = np.linalg.norm(np.abs(estimate) - reference), np.linalg.norm(reference)
    if not np.isfinite(error + whole):
        raise SignalError("a spectrogram holds NaN or Inf")
    return float(20 * np.log10(error / whole)) if error > 0 and whole > 0 else None


def _share_travelled(left: NDArray[np.floating], whole: NDArray[np.floating]) -> float | None:
    """Return `1 - ||left|| / ||whole||`: the share of the way from content to style; None where there is no way."""
    distance = float(np.linalg.norm(whole))
    return 1 - float(np.linalg.norm(left)) / distance if distance > TIMBRE_NEGLIGIBLE_DB else None


def _correlation(estimate: Array, reference: Array) -> float | None:
    """Return Pearson's correlation, or None where one of the two is constant to rounding."""
    deviations = [values - values.mean() for values in (estimate, reference)]
    spreads = [float(np.linalg.norm(deviation)) for deviation in deviations]
    if min(spreads) <= NEGLIGIBLE:
        return None
    # Rounding may carry equal envelopes past 1.
    return float(np.clip(np.dot(*deviations) / np.prod(spreads), -1, 1))
