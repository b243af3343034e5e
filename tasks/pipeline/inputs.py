"""Read the sounds of a planned pair, and make sure that they are those it was planned with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stylecore.errors import Interrupted
from stylecore.settings import Settings
from tasks.audio.excerpts import Excerpt
from tasks.audio.lengths import ANY_LENGTH_S, LONGEST_CONTENT_S, refuse_long
from tasks.audio.sound_files import (
    AudioError,
    DecodedContent,
    ResultForm,
    probe_identified,
    read_planned_content,
    read_sound,
    read_style,
)
from tasks.audio.style_catalog import Clip, PlannedVoice, expanded, voices_from_json
from tasks.audio.style_clips import heard_together
from tasks.cache import ByteLimitedCache
from tasks.pair_state import PairState, PlannedPair, ResultSpace, Voice, as_one_sound, error_type_of
from tasks.storage.storage import Storage, StorageError, StorageUnreachable


@dataclass(frozen=True)
class _Style:
    """What is heard of a style that is of one voice, with its size, for the cache."""

    samples: NDArray[np.float32]
    is_pieced: bool

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
    with reason_kept(outcome):
        content = _content(outcome, sounds, read_content or partial(_from_file, files))
        outcome.content, outcome.space = content.samples, content.space
        outcome.voices = _voices(outcome, files, sounds)
        outcome.style = as_one_sound(outcome.voices)
    outcome.seconds["read"] = time.perf_counter() - began
    return outcome


@contextmanager
def reason_kept(outcome: PairState) -> Iterator[None]:
    """Keep what goes wrong with one pair in the block as its reason; its companions go on.

    Raises
    ------
    StorageUnreachable, Interrupted
        If the storage stays away, or the run is to stop: that is no fault of this pair.
    """
    try:
        yield
    except AudioError as error:
        outcome.fail(error.error_type, str(error))
    except (StorageUnreachable, Interrupted):
        raise
    except OSError as error:
        outcome.fail("storage", str(error))
    except Exception as error:
        outcome.fail(error_type_of(error), f"{type(error).__name__}: {error}")


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
    uri, identity, excerpt = readable_content(outcome, files)
    if not outcome.planned.get("duration_s"):  # planning has found that it cannot be used
        _refuse_long(uri, excerpt, files)
    return read_planned_content(uri, files, rate, form, identity, excerpt)


def _refuse_long(uri: str, excerpt: Excerpt, files: Storage) -> None:
    """Raise `too_long` for a content, or an excerpt, that is too long even for segments."""
    end_s = excerpt.end_s or probe_identified(uri, files, ANY_LENGTH_S)[0].duration_s
    refuse_long(end_s - excerpt.start_s, excerpt.named(uri), LONGEST_CONTENT_S)


def _voices(outcome: PairState, files: Storage, sounds: ByteLimitedCache) -> tuple[Voice, ...]:
    rate, excerpt = outcome.settings.analysis_rate, Excerpt(*outcome.settings.excerpt("style"))
    voices = []
    for planned in _planned_voices(outcome, excerpt, files):
        identity = (planned.identity, *excerpt)
        heard = sounds.get((*identity, rate), partial(_heard, planned.clips, files, rate, excerpt))
        voices.append(Voice(identity, heard.samples, planned.share, heard.is_pieced))
    return tuple(voices)


def _heard(clips: Sequence[Clip], files: Storage, rate: int, excerpt: Excerpt) -> _Style:
    heard = heard_together(clips, files, rate, excerpt)
    return _Style(heard.samples, heard.n_pieces > 1)


def _planned_voices(outcome: PairState, excerpt: Excerpt, files: Storage) -> tuple[PlannedVoice, ...]:
    """Return what the style of a pair is made of; one that planning could not read is a transient failure."""
    text, identity, clips = (outcome.planned.get(name) for name in ("style", "style_identity", "style_clips"))
    if identity is None:  # fingerprint and cache know nothing of it
        for uri in expanded(str(text), files):
            read_style(uri, files, excerpt)  # most likely one fails as it did then
        raise StorageError(f"'{text}' could not be read when the run was planned: run again")
    if clips is None:
        return (PlannedVoice(1.0, (Clip(str(text), str(identity)),)),)
    voices = voices_from_json(str(clips))
    if not excerpt.is_whole and sum(len(voice.clips) for voice in voices) > 1:
        remedy = "leave style_start_s and style_end_s out"
        raise AudioError("style_clips", f"'{text}' is of several clips, and an excerpt of it is asked for: {remedy}")
    return voices


def readable_content(outcome: PairState, files: Storage) -> tuple[str, str, Excerpt]:
    """Return where a content is, its identity and excerpt; one that planning could not read is a transient failure."""
    uri, identity = str(outcome.planned["content"]), outcome.planned["content_identity"]
    excerpt = Excerpt(*outcome.settings.excerpt("content"))
    if identity is None:  # fingerprint and cache know nothing of it
        read_sound(uri, files, excerpt=excerpt)  # most likely fails as it did then
        raise StorageError(f"'{uri}' could not be read when the run was planned: run again")
    return uri, str(identity), excerpt
