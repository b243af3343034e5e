"""How much of the style arrived, apart from its spectrum: transfers that are computed after equalising.

Content and output are filtered to the style's third-octave spectrum. Then texture, tonality and attacks are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylecore.attacks import Attacks, attack_transfer, attacks
from stylecore.equalising import equalised, third_octaves_db
from stylecore.texture import (
    Texture,
    correlation_transfer,
    modulation_transfer,
    shape_transfer,
    texture,
    texture_transfer,
)
from stylecore.tonality import Tonality, tonality, tonality_transfer

Array = NDArray[np.float64]

NAMES = ("texture_transfer", "modulation_transfer", "tonality_transfer", "attack_transfer")
"""What is written into a row of the results."""
PARTS = ("correlation_transfer", "shape_transfer")
"""What the texture is the mean of, besides the modulation."""


@dataclass(frozen=True, eq=False)
class Character:
    """What these transfers need to know of one sound; parts are None where the sound is silent or too short."""

    texture: Texture | None
    tonality: Tonality | None
    attacks: Attacks | None


@dataclass(frozen=True, eq=False)
class Model:
    """A style: what it is like, and the spectrum, `[23]` in dB, that others are equalised to; None for silence."""

    character: Character
    third_octaves_db: Array | None


def model(samples: Array) -> Model:
    """Measure a style, mono at 16 kHz, `[N]`."""
    return Model(_character(samples), third_octaves_db(samples))


def transfers(output: Array, content: Array, style: Model) -> dict[str, float | None]:
    """Return every transfer of one pair: 0 for the content, 1 for the style.

    Parameters
    ----------
    output, content : ndarray of float64
        Mono at 16 kHz, `[N]`, at any level.
    style : Model
        Of the whole style. Its length matters little: all statistics are means over time.

    Returns
    -------
    dict of str to float or None
        By `NAMES` and `PARTS`; None where content and style are alike, or one of the sounds is silent.
    """
    if style.third_octaves_db is None:
        return dict.fromkeys((*NAMES, *PARTS))
    return _compared(
        _character(equalised(output, style.third_octaves_db)),
        _character(equalised(content, style.third_octaves_db)),
        style.character,
    )


def ceilings(style: Array, content: Array) -> dict[str, float | None]:
    """Return what one half of the style reaches where the other half is the style, the mean of both ways.

    No result can be asked to be nearer to the style than the style is to itself.

    Parameters
    ----------
    style, content : ndarray of float64
        Mono at 16 kHz, `[N]` and `[M]`; each half of the style should have a second at least.

    Returns
    -------
    dict of str to float or None
        By `NAMES` and `PARTS`.
    """
    halves = style[: len(style) // 2], style[len(style) // 2 :]
    ways = [transfers(one, content, model(other)) for one, other in (halves, halves[::-1])]
    found = {name: [way[name] for way in ways] for name in ways[0]}
    known = {name: [value for value in values if value is not None] for name, values in found.items()}
    return {name: float(np.mean(values)) if values else None for name, values in known.items()}


def _character(samples: Array) -> Character:
    return Character(texture(samples), tonality(samples), attacks(samples))


def _compared(output: Character, content: Character, style: Character) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys((*NAMES, *PARTS))
    if output.texture and content.texture and style.texture:
        textures = output.texture, content.texture, style.texture
        found["texture_transfer"] = texture_transfer(*textures)
        found["modulation_transfer"] = modulation_transfer(*textures)
        found["correlation_transfer"] = correlation_transfer(*textures)
        found["shape_transfer"] = shape_transfer(*textures)
    if output.tonality and content.tonality and style.tonality:
        found["tonality_transfer"] = tonality_transfer(output.tonality, content.tonality, style.tonality)
    if output.attacks and content.attacks and style.attacks:
        found["attack_transfer"] = attack_transfer(output.attacks, content.attacks, style.attacks)
    return found
