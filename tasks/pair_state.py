"""What becomes of a planned pair on its way: its sounds, its rendered result, or the reason why there is none.

Outcomes travel between processes; nothing in them needs torch.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stylecore.settings import Notes, Settings, SoundOfPair
from tasks.clock import clock

PlannedPair = Mapping[str, object]
"""One row of a plan."""


@dataclass(frozen=True)
class Rendered:
    """What a device made of a pair.

    Attributes
    ----------
    samples : ndarray of float32
        `[N]`, at the level of the file and in its steps of 24 bits: what a listener will hear, to the last bit.
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
class Measurement:
    """A sound as written: the FLAC file, its sums, its figures and descriptors by column, and seconds by stage."""

    flac: bytes
    file_sha256: str
    samples_sha256: str
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
        """The pair's own settings."""
        return Settings.model_validate_json(str(self.planned["settings"]))

    def heard(self, sound: SoundOfPair) -> tuple[Hashable, ...]:
        """Return what tells the samples of a sound from others': its bytes, and which part of it the pair uses."""
        return (self.planned[f"{sound}_identity"], *self.settings.excerpt(sound))

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
    """What is to be written and measured: samples `[N]`, the two sounds that they were made of, whose notes."""

    samples: NDArray[np.float32]
    sample_rate: int
    content: IdentifiedSound
    style: IdentifiedSound
    notes: Notes = "content"

    @classmethod
    def of(cls, outcome: PairState) -> MeasurementRequest:
        """Return the order for a rendered outcome."""
        assert outcome.rendered is not None
        settings = outcome.settings
        assert outcome.content is not None
        assert outcome.style is not None
        return cls(
            outcome.rendered.samples,
            settings.sample_rate,
            IdentifiedSound(outcome.heard("content"), outcome.content),
            IdentifiedSound(outcome.heard("style"), outcome.style),
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
