"""Read the sounds of a planned pair, and make sure that they are those it was planned with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stylecore.settings import Settings, SoundOfPair
from tasks.audio.excerpts import Excerpt
from tasks.audio.lengths import ANY_LENGTH_S, LONGEST_CONTENT_S, refuse_long
from tasks.audio.sound_files import (
    AudioError,
    DecodedContent,
    ResultForm,
    probe_identified,
    read_planned,
    read_planned_content,
    read_sound,
)
from tasks.cache import ByteLimitedCache
from tasks.pair_state import PairState, PlannedPair, ResultSpace, error_type_of
from tasks.storage.storage import Storage, StorageError, StorageUnreachable


@dataclass(frozen=True)
class _Style:
    """A decoded style with its size, for the cache."""

    samples: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        return self.samples.nbytes


@dataclass(frozen=True)
class _Content:
    """A decoded content, and the space of its result, with their size, for the cache."""

    samples: NDArray[np.float32]
    space: ResultSpace

    @property
    def n_bytes(self) -> int:
        channels = self.space.channels
        return self.samples.nbytes + (0 if channels is None else channels.nbytes)


ContentReader = Callable[[PairState, int, ResultForm], DecodedContent]
"""Gives the content of a pair at a rate of computation, for a form of the result."""


def read_pair(
    planned: PlannedPair, files: Storage, sounds: ByteLimitedCache, read_content: ContentReader | None = None
) -> PairState:
    """Return a pair with its sounds, or with the reason why it has none.

    Parameters
    ----------
    planned : mapping
        One row of a plan.
    files : Storage
        Local and S3 storage.
    sounds : ByteLimitedCache
        Of decoded sounds by identity and excerpt: in a corpus most sounds are in many pairs.
    read_content : callable, optional
        Where its content is, if that is not to be decoded from its file.

    Raises
    ------
    StorageUnreachable
        If the storage stays away: that is no fault of this pair.
    """
    began = time.perf_counter()
    outcome = PairState(planned)
    try:
        content = _content(outcome, sounds, read_content or partial(_from_file, files))
        outcome.content, outcome.space = content.samples, content.space
        outcome.style = _style(outcome, files, sounds).samples
    except AudioError as error:
        outcome.fail(error.error_type, str(error))
    except StorageUnreachable:
        raise
    except OSError as error:
        outcome.fail("storage", str(error))
    except Exception as error:  # whatever one pair does, its companions go on
        outcome.fail(error_type_of(error), f"{type(error).__name__}: {error}")
    outcome.seconds["read"] = time.perf_counter() - began
    return outcome


def result_form(outcome: PairState) -> ResultForm:
    """Return what the result of a pair is to be like."""
    written = Settings.model_validate_json(str(outcome.planned["settings"]))
    return ResultForm(written.output_rate(outcome.content_rate), written.channels == "keep")


def _content(outcome: PairState, sounds: ByteLimitedCache, read_content: ContentReader) -> _Content:
    form, rate = result_form(outcome), outcome.settings.analysis_rate

    def read() -> _Content:
        found = read_content(outcome, rate, form)
        return _Content(found.samples, ResultSpace(form.sample_rate, found.length, found.channels))

    return sounds.get((*outcome.heard("content"), rate, form), read)


def _from_file(files: Storage, outcome: PairState, rate: int, form: ResultForm) -> DecodedContent:
    uri, identity, excerpt = readable("content", outcome, files)
    if not outcome.planned.get("duration_s"):  # planning has found that it cannot be used
        _refuse_long(uri, excerpt, files)
    return read_planned_content(uri, files, rate, form, identity, excerpt)


def _refuse_long(uri: str, excerpt: Excerpt, files: Storage) -> None:
    """Raise `too_long` for a content, or an excerpt, that is too long even for segments."""
    end_s = excerpt.end_s or probe_identified(uri, files, ANY_LENGTH_S)[0].duration_s
    refuse_long(end_s - excerpt.start_s, excerpt.named(uri), LONGEST_CONTENT_S)


def _style(outcome: PairState, files: Storage, sounds: ByteLimitedCache) -> _Style:
    uri, identity, excerpt = readable("style", outcome, files)
    rate = outcome.settings.analysis_rate

    def read() -> _Style:
        return _Style(read_planned(uri, files, rate, identity, excerpt))

    return sounds.get((*outcome.heard("style"), rate), read)


def readable(side: SoundOfPair, outcome: PairState, files: Storage) -> tuple[str, str, Excerpt]:
    """Return where a sound is, its identity and excerpt; one that planning could not read is a transient failure."""
    uri, identity = str(outcome.planned[side]), outcome.planned[f"{side}_identity"]
    excerpt = Excerpt(*outcome.settings.excerpt(side))
    if identity is None:  # fingerprint and cache know nothing of it
        read_sound(uri, files, excerpt=excerpt)  # most likely fails as it did then
        raise StorageError(f"'{uri}' could not be read when the run was planned: run again")
    return uri, str(identity), excerpt
