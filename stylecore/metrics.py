"""Judge a result by all figures. Sounds are measured once (`features`), pairs of measured sounds compared cheaply."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylecore.features import SoundFeatures, comparison, features
from stylecore.figures import FIGURES
from stylecore.settings import Notes


def compare(
    output: SoundFeatures, content: SoundFeatures, style: SoundFeatures, *, notes: Notes = "content"
) -> dict[str, float | None]:
    """Return the figures of one pair, by name, but for those that compare spectrograms.

    Output and content are compared over the length they share; where one is longer it is cut and measured again.

    Parameters
    ----------
    output, content, style : SoundFeatures
        The result, and what it was made from.
    notes : {"content", "style"}
        Whose notes the result is meant to play: with the content's, the style's timbre is taken at their pitch.

    Returns
    -------
    dict of str to float or None
    """
    sounds = comparison(output, content, style, notes)
    return {figure.name: figure.measure(sounds) for figure in FIGURES if not figure.of_spectrograms}


def figures(
    output: NDArray[np.floating],
    content: NDArray[np.floating],
    style: NDArray[np.floating],
    *,
    notes: Notes = "content",
) -> dict[str, float | None]:
    """Return the figures of three sounds, mono at 16 kHz, `[N]`; `compare` is the same for sounds measured before.

    Raises
    ------
    SignalError
        As `features`.

    Examples
    --------
    >>> time_s = np.arange(8_000) / 16_000
    >>> plucked, buzz = np.exp(-9 * time_s) * np.sin(2_000 * time_s), np.sign(np.sin(700 * time_s))
    >>> kept = figures(plucked, plucked, buzz)
    >>> round(kept["timbre_transfer"], 6), round(kept["dynamics_kept"], 6)
    (0.0, 1.0)
    """
    shared = min(len(output), len(content))
    return compare(features(output[:shared]), features(content[:shared]), features(style), notes=notes)
