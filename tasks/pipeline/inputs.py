"""Read the sounds of a planned pair, and make sure that they are those it was planned with."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylecore.settings import SoundOfPair
from tasks.audio.excerpts import Excerpt
from tasks.audio.sound_files import AudioError, read_planned, read_sound
from tasks.cache import ByteLimitedCache
from tasks.pair_state import PairState, PlannedPair, error_type_of
from tasks.storage.storage import Storage, StorageError, StorageUnreachable


@dataclass(frozen=True)
class _Samples:
    """A decoded sound with its size, for the cache."""

    value: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        return self.value.nbytes


def read_pair(planned: PlannedPair, files: Storage, sounds: ByteLimitedCache) -> PairState:
    """Return a pair with its sounds, or with the reason why it has none.

    Parameters
    ----------
    planned : mapping
        One row of a plan.
    files : Storage
        Local and S3 storage.
    sounds : ByteLimitedCache
        Of decoded sounds by identity and excerpt: in a corpus most sounds are in many pairs.

    Raises
    ------
    StorageUnreachable
        If the storage stays away: that is no fault of this pair.
    """
    began = time.perf_counter()
    outcome = PairState(planned)
    try:
        outcome.content = _read("content", outcome, files, sounds)
        outcome.style = _read("style", outcome, files, sounds)
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


def _read(side: SoundOfPair, outcome: PairState, files: Storage, sounds: ByteLimitedCache) -> NDArray[np.float32]:
    """Return a sound; what fingerprint and cache know nothing of is a transient failure."""
    uri, planned, rate = str(outcome.planned[side]), outcome.planned[f"{side}_identity"], outcome.settings.sample_rate
    excerpt = Excerpt(*outcome.settings.excerpt(side))

    def read() -> _Samples:
        if planned is not None:
            return _Samples(read_planned(uri, files, rate, str(planned), excerpt))
        read_sound(uri, files, rate, excerpt)  # most likely fails as it did then
        raise StorageError(f"'{uri}' could not be read when the run was planned: run again")

    return sounds.get((*outcome.heard(side), rate), read).value
