"""What becomes of a planned pair on its way: its sounds, its rendered result, or the reason why there is none.

Outcomes travel between processes; nothing in them needs torch.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifests.style_text import is_several, short_name
from stylecore.settings import SOUNDS, Notes, Settings, SoundOfPair
from tasks.clock import clock

PlannedPair = Mapping[str, object]
"""One row of a plan."""


class Tags(NamedTuple):
    """What the file of a result says of itself, the same in every run."""

    title: str
    comment: str
    licence: str = ""
    software: str = f"timbreflow {version('timbreflow')}"

    @classmethod
    def of(cls, planned: PlannedPair) -> Tags:
        """Return the tags of a planned pair: both sounds, a digest of the settings, and the licences, if known."""
        content, style = str(planned["content"]), str(planned["style"])
        digest = sha256(str(planned["settings"]).encode()).hexdigest()[:16]
        said = {side: planned.get(f"{side}_licence") for side in SOUNDS}
        named = short_name(style) if is_several(style) else PurePosixPath(style).name
        return cls(
            f"{PurePosixPath(content).stem} x {short_name(style)}",
            f"content: {PurePosixPath(content).name}; style: {named}; settings: {digest}",
            "; ".join(f"{side}: {licence}" for side, licence in said.items() if licence),
        )


@dataclass(frozen=True)
class ResultSpace:
    """Where a result is heard: its sampling rate in Hz, its length in samples, and whose stereo image it gets.

    `channels` `[length, channels]` are the content's at that rate; None for a result of one channel.
    """

    sample_rate: int
    length: int
    channels: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Rendered:
    """What a device made of a pair.

    Attributes
    ----------
    samples : ndarray of float32
        `[N]`, at the rate of the computation, at the level of a file and in its steps of 24 bits.
    gain : float
        The one constant gain that they have got.
    first_terms, heard_terms : dict of str to float
        The four losses without weights, of the noise and of `samples`.
    loss_curve : list of float
        What was minimised, after each evaluation.
    evaluations : int
        How many there were.
    stop_reason : str
        Why there were no more.
    convergence_db : float or None
        How far the STFT of `samples` is from the log-spectrogram that was asked for.
    """

    samples: NDArray[np.float32]
    gain: float
    first_terms: dict[str, float]
    heard_terms: dict[str, float]
    loss_curve: list[float]
    evaluations: int
    stop_reason: str
    convergence_db: float | None


@dataclass(frozen=True)
class IdentifiedSound:
    """Samples `[N]` with their identity: what is known of them already is remembered by it."""

    identity: Hashable
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class Voice:
    """A style that is laid along a content by itself.

    Attributes
    ----------
    identity : hashable
        What is known of it already is remembered by it.
    samples : ndarray of float32
        `[N]`, at the rate of the computation.
    share : float
        In a blend; all of them add up to 1.
    is_pieced : bool
        Whether it was joined of pieces or clips: there is nothing in them to leave out.
    """

    identity: Hashable
    samples: NDArray[np.float32]
    share: float = 1.0
    is_pieced: bool = False


def as_one_sound(voices: Sequence[Voice]) -> NDArray[np.float32]:
    """Return the voices of a style one after the other, as much of each as its share: what a result is measured by.

    As long as the longest; one that is too short for its share is repeated.

    >>> voices = Voice("a", np.array([1, 2, 3, 4], np.float32), 0.75), Voice("b", np.array([9], np.float32), 0.25)
    >>> as_one_sound(voices)
    array([1., 2., 3., 9.], dtype=float32)
    """
    if len(voices) == 1:
        return voices[0].samples
    longest = max(len(voice.samples) for voice in voices)
    return np.concatenate([np.resize(voice.samples, round(voice.share * longest)) for voice in voices])


@dataclass(frozen=True)
class Measurement:
    """A sound as written: the file, what it is like, its figures and descriptors by column, and seconds by stage.

    `audio` are the file's bytes, or where a large one lies; `gain` is what its samples have got beyond `Rendered.gain`.
    """

    audio: bytes | Path
    file_sha256: str
    samples_sha256: str
    sample_rate: int
    n_samples: int
    n_channels: int
    gain: float
    figures: dict[str, float | None]
    seconds: dict[str, float]


@dataclass(frozen=True)
class MeasurementFailure:
    """Why there is no measurement: an error type of a failed row, and the message."""

    error_type: str
    message: str


@dataclass
class PairState:
    """One planned pair so far."""

    planned: PlannedPair
    started_at: datetime = field(default_factory=lambda: clock().now())
    content: NDArray[np.float32] | None = None
    style: NDArray[np.float32] | None = None
    voices: tuple[Voice, ...] = ()
    space: ResultSpace | None = None
    rendered: Rendered | None = None
    measurement: Measurement | None = None
    error_type: str | None = None
    error_message: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether there is a reason why there is no result."""
        return self.error_type is not None

    @cached_property
    def settings(self) -> Settings:
        """The pair's own settings, at the rate of its computation."""
        return Settings.model_validate_json(str(self.planned["settings"])).at_rate_for(self.content_rate)

    @property
    def content_rate(self) -> int:
        """Sampling rate of the content's file, Hz."""
        return int(str(self.planned["content_rate"]))

    def heard(self, sound: SoundOfPair) -> tuple[Hashable, ...]:
        """Return what tells the samples of a sound from others': its bytes, and which part of it the pair uses."""
        return (self.planned[f"{sound}_identity"], *self.settings.excerpt(sound))

    @property
    def style_voices(self) -> tuple[Voice, ...]:
        """What is laid along the content; the style as it is, where it was not read as voices."""
        if self.voices or self.style is None:
            return self.voices
        return (Voice(self.heard("style"), self.style),)

    def fail(self, error_type: str, message: str) -> None:
        """Record why there is no result; the first reason stays."""
        if self.error_type is None:
            self.error_type, self.error_message = error_type, message

    def take(self, answer: PairState) -> None:
        """Take over what another process has made of this pair."""
        self.rendered = answer.rendered
        self.seconds.update(answer.seconds)
        if answer.error_type is not None:
            self.fail(answer.error_type, str(answer.error_message))

    def take_time(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage has taken."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


@dataclass(frozen=True)
class MeasurementRequest:
    """What is to be written and measured: samples `[N]`, the two sounds that they were made of, whose notes, where.

    The three sounds have the sampling rate of the computation.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    content: IdentifiedSound
    style: IdentifiedSound
    space: ResultSpace
    tags: Tags
    file_format: str = "flac"
    notes: Notes = "content"

    @classmethod
    def of(cls, outcome: PairState) -> MeasurementRequest:
        """Return the order for a rendered outcome."""
        assert outcome.rendered is not None
        settings = outcome.settings
        assert outcome.content is not None
        assert outcome.style is not None
        assert outcome.space is not None
        return cls(
            outcome.rendered.samples,
            settings.analysis_rate,
            IdentifiedSound(outcome.heard("content"), outcome.content),
            IdentifiedSound(outcome.heard("style"), outcome.style),
            outcome.space,
            Tags.of(outcome.planned),
            settings.file_format,
            settings.notes,
        )


LACKS_MEMORY = ("out of memory", "can't allocate memory", "alloc_failed")
"""What torch and its libraries say where memory was short, in lower case."""


def error_type_of(error: Exception) -> str:
    """Return what an unexpected exception of one pair counts as: `out_of_memory` or `internal`.

    By its name, since torch's own is not known where torch is not; and by what it says, since allocators, cuBLAS, cuDNN
    and mps raise plain errors.
    """
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    said = isinstance(error, RuntimeError) and any(words in str(error).lower() for words in LACKS_MEMORY)
    return "out_of_memory" if named or said else "internal"
