"""What changes the sound: one frozen, validated record. Importing this module does not import torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from stylecore.errors import StylecoreError
from stylecore.terms import TERMS
from stylecore.terms.term import Weight

CORE_VERSION = 7
"""Raised when the core's goldens change: part of every fingerprint, so old results are recomputed."""


RATES = (16_000, 32_000, 48_000)
"""Sampling rates at which is computed, Hz: the paper's, and multiples of it, at which bins and frames are the same."""

HIGHEST_RATE = 192_000
"""Sampling rate of a result, Hz, at most."""

Notes = Literal["content", "style"]
"""Whose notes a result is meant to play."""

SoundOfPair = Literal["content", "style"]
SOUNDS: tuple[SoundOfPair, SoundOfPair] = ("content", "style")
"""The sounds of a pair."""


class SettingsError(StylecoreError, ValueError):
    """A setting is unknown or out of its bounds; the message names it, its value and the bound."""


def _number(value: object) -> object:
    """Take a number as it is typed: pydantic itself does so for every number but one of a fixed set."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class _Direction(BaseModel):
    """The settings that come first."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    notes: Notes = Field(
        "content",
        description="whose notes the result plays: the content's, in the style's voice, or the style's own as well",
    )
    strength: float = Field(
        1.0, ge=0, le=2, allow_inf_nan=False, description="how far to go: 0 the content, 1 the style's voice, or beyond"
    )


def _weight_field(weight: Weight) -> tuple[type, Any]:
    return float, Field(weight.default, ge=0, le=1e4, allow_inf_nan=False, description=weight.description)


if TYPE_CHECKING:

    class _Weighted(_Direction): ...
else:
    _Weighted = create_model(
        "_Weighted", __base__=_Direction, **{term.weight.name: _weight_field(term.weight) for term in TERMS}
    )


LONGEST_FILE_S = 1e6
"""Times in a sound file that are believed, s: twelve days."""


def _begin(sound: str) -> Any:
    text = f"where the excerpt of the {sound} that is used begins, s"
    return Field(0.0, ge=0, le=LONGEST_FILE_S, allow_inf_nan=False, description=text)


def _end(sound: str) -> Any:
    text = f"where the excerpt of the {sound} ends, s; by default with the {sound} itself"
    return Field(None, gt=0, le=LONGEST_FILE_S, allow_inf_nan=False, description=text)


class Settings(_Weighted):
    """Everything that changes the sound of a pair; its JSON is fingerprinted, stored and shown in Prefect's form.

    The weights of the terms are fields too, between `strength` and `seed`: `stylecore/terms/` has them.
    """

    seed: int = Field(0, ge=0, lt=2**31, description="seed of a run; each pair draws its own from it")
    sample_rate: Annotated[Literal["native", 16_000, 32_000, 48_000], BeforeValidator(_number)] = Field(
        "native",
        description="sampling rate of the result in Hz; native: that of each content, but 16000 at least. Computed is "
        "at the same rate, or at the next of 16000, 32000 and 48000",
    )
    channels: Literal["keep", "mono"] = Field(
        "keep", description="channels of the result: keep the content's, with its stereo image, or mono"
    )
    file_format: Literal["flac", "wav", "wav-float", "ogg"] = Field(
        "flac", description="file of the result: flac or wav of 24 bits, wav-float of 32, or ogg, which loses a little"
    )
    content_start_s: float = _begin("content")
    content_end_s: float | None = _end("content")
    style_start_s: float = _begin("style")
    style_end_s: float | None = _end("style")

    # Those above are for everybody, those below for who changes the method; Prefect's form shows the descriptions.
    content_layers: tuple[int, ...] = Field(
        (1, 2), min_length=1, description="Expert: layers whose encodings carry content"
    )
    salience: float = Field(
        1.0,
        ge=0,
        le=4,
        description="Expert: content counts by its magnitude to this power; 0 is the paper's: alike everywhere",
    )
    style_layers: tuple[int, ...] = Field(
        (1, 2, 3), min_length=1, description="Expert: layers whose Gram matrices carry style"
    )
    style_bands: int = Field(
        64,
        ge=1,
        le=257,
        description="Expert: at most so many frequency bands up to 8 kHz with a Gram matrix each; 1: the paper's",
    )
    temporal_reference: Literal["content", "style"] = Field(
        "content",
        description="Expert: whose temporal energy envelope the result follows (paper: style); with notes = content "
        "`content` is halfway from the laid-out style to the content, `style` the laid-out style",
    )
    envelopes: Literal["log", "energy", "level"] = Field(
        "log",
        description="Expert: envelopes compared as logarithms, as energies relative to the reference's (paper), or as "
        "the logarithms of the paper's envelopes alone",
    )
    temporal_bands: int = Field(
        64,
        ge=0,
        le=256,
        description="Expert: frequency bands up to 8 kHz whose rise and fall L_e follows as well; 0 is the paper's",
    )
    temporal_reach: int = Field(
        12,
        ge=0,
        le=3_000,
        description="Expert: there L_e follows what is faster than the mean over so many frames of 10 ms on both "
        "sides; 0: than the mean of the whole sound",
    )
    spectral_bands: int = Field(
        64,
        ge=0,
        le=256,
        description="Expert: frequency bands up to 8 kHz whose average level L_t follows as well; 0 for none",
    )
    start: Literal["noise", "target"] = Field(
        "target",
        description="Expert: where the optimisation begins: Gaussian noise (paper), or Gaussian noise around the "
        "spectrogram that L_c asks for",
    )
    optimiser: Literal["lbfgs", "adam"] = Field("lbfgs", description="Expert: how the spectrogram is optimised")
    learning_rate: float = Field(0.1, gt=0, le=10, description="Expert: step of Adam; L-BFGS finds its own")
    coarse_iterations: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Expert: evaluations at half the resolution, at most, before `iterations`; 0 is the paper's",
    )
    iterations: int = Field(
        8, ge=1, le=10_000, description="Expert: evaluations of the objective on the log-spectrogram, at most"
    )
    sound_iterations: int = Field(
        15, ge=0, le=10_000, description="Expert: evaluations on the sound after Griffin-Lim, at most; 0 is the paper's"
    )
    consistency: float = Field(
        200.0,
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        description="Expert: weight of the distance between the optimised spectrogram and that of the sound, in the "
        "evaluations on the sound",
    )
    tolerance: float = Field(
        1e-4, ge=0, lt=1, description="Expert: a pair stops when ten evaluations lower its loss by less than this share"
    )
    griffin_lim_iterations: int = Field(1, ge=1, le=5_000, description="Expert: iterations of Griffin-Lim")
    griffin_lim_momentum: float = Field(
        0.0, ge=0, lt=1, description="Expert: momentum of Griffin-Lim; 0 is the 1984 method"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        for name in ("content_layers", "style_layers"):
            layers = getattr(self, name)
            if any(not 1 <= layer <= 5 for layer in layers) or len(set(layers)) != len(layers):
                raise ValueError(f"{name}={layers}: layers are different numbers from 1 to 5")
        if not any(self.weights_of_terms.values()):
            raise ValueError(f"{_listed(self.weights_of_terms)} are all 0: nothing is left to optimise")
        for sound in SOUNDS:
            start_s, end_s = self.excerpt(sound)
            if end_s is not None and end_s <= start_s:
                raise ValueError(f"{sound}_end_s={end_s} <= {sound}_start_s={start_s}: an excerpt ends after it begins")
        return self

    def excerpt(self, sound: SoundOfPair) -> tuple[float, float | None]:
        """Return where the part of a sound that is used begins and ends, in s; an end of None is the sound's own."""
        return getattr(self, f"{sound}_start_s"), getattr(self, f"{sound}_end_s")

    @property
    def weights_of_terms(self) -> dict[str, float]:
        """The weights as they are set, by the names of their settings."""
        return {term.weight.name: getattr(self, term.weight.name) for term in TERMS}

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights of the terms, in the order of equation 1, as they count for these notes.

        With the style's notes nothing is laid out that could be mixed with the content: strength scales what draws to
        the style. With the content's, what is laid out has some of what a term holds already (`Term.share_laid_out`).
        """
        own = zip(TERMS, self.weights_of_terms.values(), strict=True)
        if self.notes == "style":
            return tuple(weight * self.strength if term.draws_to_style else weight for term, weight in own)
        return tuple(weight * term.share_laid_out for term, weight in own)

    @property
    def suffix(self) -> str:
        """The ending of the name of a result's file."""
        return self.file_format.split("-", 1)[0]

    def output_rate(self, content_rate: int) -> int:
        """Return the sampling rate of the result for a content's, both in Hz.

        >>> Settings().output_rate(44_100), Settings().output_rate(8_000)
        (44100, 16000)
        """
        return min(max(content_rate, RATES[0]), HIGHEST_RATE) if self.sample_rate == "native" else self.sample_rate

    def at_rate_for(self, content_rate: int) -> Settings:
        """Return these settings with the rate at which a content of a sampling rate in Hz is computed.

        >>> Settings().at_rate_for(44_100).sample_rate, Settings().at_rate_for(192_000).sample_rate
        (48000, 48000)
        """
        wanted = self.output_rate(content_rate)
        rate = next((rate for rate in RATES if rate >= wanted), RATES[-1])
        return self.model_copy(update={"sample_rate": rate})

    @property
    def analysis_rate(self) -> int:
        """The sampling rate of the computation, Hz: the paper's, while it is still each content's own."""
        return RATES[0] if self.sample_rate == "native" else self.sample_rate

    def in_whole_band(self, bands: int) -> int:
        """Return how many bands, of which so many lie in the paper's band up to 8 kHz, there are in the whole band."""
        return bands * self.analysis_rate // RATES[0]

    @property
    def full_evaluations(self) -> float:
        """Evaluations at full resolution that cost as much as all there may be: a coarse one counts a quarter."""
        return self.coarse_iterations / 4 + self.iterations + self.sound_iterations

    def resolve(self, changes: Mapping[str, object]) -> Settings:
        """Return these settings with a manifest row's, or the command line's, put over them.

        Raises
        ------
        SettingsError
            If a name is unknown or a value is out of bounds.
        """
        return checked_settings({**self.model_dump(), **changes})

    def canonical_json(self) -> str:
        """Return the JSON that is fingerprinted and stored: sorted keys, no choice of spelling left.

        A setting that does nothing (`NEUTRAL`) is left out, so that results from before there was such a setting are
        not computed again.
        """
        values = self.model_dump(mode="json")
        return json.dumps({n: v for n, v in values.items() if n not in NEUTRAL or v != NEUTRAL[n]}, sort_keys=True)


def checked_settings(values: Mapping[str, object]) -> Settings:
    """Return settings from plain values.

    Raises
    ------
    SettingsError
        Naming each setting, its value and its bound.

    Examples
    --------
    >>> checked_settings({"alpha": -1})
    Traceback (most recent call last):
    ...
    stylecore.settings.SettingsError: alpha=-1: input should be greater than or equal to 0
    """
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        raise SettingsError("; ".join(_explained(detail) for detail in error.errors())) from None


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"


def _explained(detail: Mapping) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{name}={detail['input']!r}: unknown setting; {suggested(name, Settings.model_fields)}"
    message = detail["msg"].removeprefix("Value error, ")
    if not name:
        return message
    return f"{name}={detail['input']!r}: {message[0].lower()}{message[1:]}"


def suggested(name: str, known: Iterable[str]) -> str:
    """Return what may have been meant by a name that is not known.

    >>> suggested("itertions", ["iterations", "alpha"]), suggested("x", ["iterations", "alpha"])
    ("did you mean 'iterations'?", 'known are iterations, alpha')
    """
    near = get_close_matches(name.lower(), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"


NEUTRAL: dict[str, object] = {
    "notes": "content",
    "strength": 1.0,
    "channels": "keep",
    "file_format": "flac",
    **{term.weight.name: 0.0 for term in TERMS if term.weight.default == 0},
    **{f"{sound}_start_s": 0.0 for sound in SOUNDS},
    **{f"{sound}_end_s": None for sound in SOUNDS},
}
"""Values, equal to the defaults, with which a setting changes nothing. Each setting that is added joins them."""


PRESETS: dict[str, Settings] = {
    "default": Settings(),
    "paper": Settings(
        notes="style",
        start="noise",
        sample_rate=16_000,
        temporal_reach=0,
        **{term.weight.name: term.weight.paper for term in TERMS},
        content_layers=(1,),
        salience=0.0,
        style_bands=1,
        style_layers=(1, 2, 3),
        temporal_reference="style",
        envelopes="level",
        temporal_bands=0,
        spectral_bands=3,
        coarse_iterations=0,
        iterations=100,
        sound_iterations=0,
        griffin_lim_iterations=500,
        griffin_lim_momentum=0.99,
    ),
}
"""`default` is the best found. `paper` is equation 1 of Verma & Smith and nothing else: from Gaussian noise, at one
resolution, one Gram matrix per layer, both envelopes against the style, a phase by Griffin-Lim. The paper names no
weights, layers or scale of the energies; these were found on its two examples (docs/experiments.md, 2026-11-25).
Departures: energies as logarithms, and levels of three bands beside those of the bins in L_t."""


def preset(name: str) -> Settings:
    """Return a preset by name.

    Raises
    ------
    SettingsError
        If there is none of that name.
    """
    if name not in PRESETS:
        raise SettingsError(f"preset={name!r}: unknown; {suggested(name, PRESETS)}")
    return PRESETS[name]
