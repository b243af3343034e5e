"""Which parts of their sounds the pairs of a plan use, and how long those of their contents are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stylecore.settings import Settings, SoundOfPair
from tasks.audio.catalog import Sound
from tasks.audio.lengths import ANY_LENGTH_S, END_TOLERANCE_S, LONGEST_CONTENT_S, LONGEST_S, SHORTEST_S

LONGEST_USED_S: Mapping[SoundOfPair, float] = {"content": LONGEST_CONTENT_S, "style": ANY_LENGTH_S}
"""How long what a pair uses of its sounds may be, s."""


def seconds_used(
    pairs: pa.Table, sound: SoundOfPair, sounds: Mapping[str, Sound], settings: Settings
) -> NDArray[np.float64]:
    """Return how long what each pair uses of one of its sounds is, s, `[N]`: 0 for what cannot be used.

    Parameters
    ----------
    pairs : pyarrow.Table
        As `manifests.reading.compact_pairs.gather` gives them.
    sound : str
        Which of the two.
    sounds : mapping
        All sounds by URI.
    settings : Settings
        Of the run: they hold where a row has none of its own.
    """
    named = pairs.column(sound).combine_chunks()
    by_code = np.array([sounds[uri].duration_s for uri in named.dictionary.to_pylist()], dtype=np.float64)
    return lengths_used(by_code[named.indices.to_numpy()], *_bounds(pairs, sound, settings), LONGEST_USED_S[sound])


def lengths_used(
    sound_s: NDArray[np.float64], start_s: NDArray[np.float64], end_s: NDArray[np.float64], longest_s: float = LONGEST_S
) -> NDArray[np.float64]:
    """Return how long excerpts of sounds are, s, `[N]`; 0 for one that will be refused when it is read.

    An end that is not given is infinite.

    >>> ends = np.array([70.0, np.inf, 6.0, np.inf])
    >>> lengths_used(np.array([240.0, 240.0, 5.0, 5.0]), np.array([60.0, 0.0, 4.0, 0.0]), ends)
    array([10.,  0.,  0.,  5.])
    """
    is_whole = (start_s == 0) & np.isinf(end_s)
    length_s = np.minimum(end_s, sound_s) - start_s
    is_there = np.isinf(end_s) | (end_s <= sound_s + END_TOLERANCE_S)
    is_used = (length_s <= longest_s) & (is_whole | (is_there & (length_s >= SHORTEST_S)))
    return np.where(is_used, length_s, 0.0)


def _bounds(pairs: pa.Table, sound: SoundOfPair, settings: Settings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where what each pair uses of a sound begins and ends, s, `[N]`; infinity for the sound's own end."""
    start_s, end_s = settings.excerpt(sound)
    return (
        _values(pairs, f"{sound}_start_s", start_s),
        _values(pairs, f"{sound}_end_s", np.inf if end_s is None else end_s),
    )


def _values(pairs: pa.Table, name: str, default: float) -> NDArray[np.float64]:
    if name not in pairs.column_names:
        return np.full(pairs.num_rows, default)
    return pairs.column(name).fill_null(default).to_numpy()
