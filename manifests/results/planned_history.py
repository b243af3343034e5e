"""What the history says of the pairs of a plan: it streams past them, so memory follows the plan, not the history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.files import Files
from manifests.results.audio_files import missing_audio
from manifests.results.history import stream_rows, winners, with_parts
from manifests.schema import SUCCEEDED, TRANSIENT_ERRORS

UNKNOWN, WITHOUT_AUDIO, FAILED_PERMANENTLY, FAILED_TRANSIENTLY, DONE = range(5)

_NEVER = np.iinfo(np.int64).min
_LOST = "without audio"
"""Takes the place of the status of a succeeded row whose audio is gone."""

_COUNTING = ("fingerprint", "status", "error_type", "finished_at")
"""Columns that say which row of a fingerprint counts, and what it says."""

_PLANNING = (*_COUNTING, "pair_id", "seconds_total", "duration_s", "sample_rate")

HISTORY_ROWS = 1 << 16
"""Rows that are looked at in one go: each time costs a pass over the pairs that are looked for."""


class Outcomes(NamedTuple):
    """What the history says of N pairs, and what its results cost.

    Attributes
    ----------
    states : ndarray of int8
        `[N]`: `UNKNOWN`, `WITHOUT_AUDIO`, `FAILED_PERMANENTLY`, `FAILED_TRANSIENTLY` or `DONE`, of each pair's
        fingerprint over all runs: a succeeded row with audio wins over the others, then the newest, then the last read.
    finished : ndarray of int64
        `[N]`: when that row was finished, in us since 1970.
    named : ndarray of bool
        `[N]`: whether any row has the pair's `pair_id`, whatever its fingerprint.
    seconds : float
        Time that all succeeded rows took, s.
    audio_s : mapping
        Length of their audio in s, by its sampling rate in Hz.
    """

    states: NDArray[np.int8]
    finished: NDArray[np.int64]
    named: NDArray[np.bool_]
    seconds: float
    audio_s: Mapping[int, float]


class LostAudio(NamedTuple):
    """Fingerprints whose audio is gone: `until` tells to which of their rows it belonged, the last one included.

    Attributes
    ----------
    fingerprints : pyarrow.Array of str
        `[L]`.
    until : ndarray of int64
        `[L]`: succeeded rows that were finished by then have no audio, in us since 1970. Later ones have made it anew.
    """

    fingerprints: pa.Array
    until: NDArray[np.int64]

    def marked(self, rows: pa.Table) -> pa.Table:
        """Return rows of the history, the status of those without audio replaced."""
        found = pc.index_in(rows.column("fingerprint"), value_set=self.fingerprints)
        until = self.until[found.fill_null(0).to_numpy()]
        earlier = rows.column("finished_at").cast(pa.int64()).fill_null(_NEVER).to_numpy() <= until
        gone = pc.and_(pc.and_(found.is_valid(), pa.array(earlier)), pc.equal(rows.column("status"), SUCCEEDED))
        marked = pc.if_else(gone, pa.scalar(_LOST), rows.column("status"))
        return rows.set_column(rows.column_names.index("status"), "status", marked)


NOTHING_LOST = LostAudio(pa.array([], pa.string()), np.zeros(0, dtype=np.int64))


class _Best:
    """The row that counts of each of N fingerprints, among those seen so far: its state, time and place."""

    def __init__(self, fingerprints: pa.ChunkedArray, lost: LostAudio = NOTHING_LOST) -> None:
        self._fingerprints, self._lost, self._seen = fingerprints, lost, 0
        self.states = np.full(len(fingerprints), UNKNOWN, dtype=np.int8)
        self.places = np.full(len(fingerprints), -1, dtype=np.int64)
        self.finished = np.full(len(fingerprints), _NEVER, dtype=np.int64)

    def see(self, rows: pa.Table) -> None:
        """Look at more rows, `_COUNTING` among their columns."""
        placed = rows.append_column("place", pa.array(np.arange(self._seen, self._seen + rows.num_rows)))
        self._seen += rows.num_rows
        placed = _one_each(self._lost.marked(placed) if len(self._lost.fingerprints) else placed)
        found = pc.index_in(self._fingerprints, value_set=placed.column("fingerprint").combine_chunks())
        pairs = np.flatnonzero(_mask(found.is_valid()))
        chosen = placed.select([*_COUNTING, "place"]).take(found.drop_null())
        states, finished = _states(chosen), chosen.column("finished_at").cast(pa.int64()).fill_null(_NEVER).to_numpy()
        done, was_done = states == DONE, self.states[pairs] == DONE
        better = (done & ~was_done) | ((done == was_done) & (finished >= self.finished[pairs]))
        pairs = pairs[better]
        self.states[pairs], self.finished[pairs] = states[better], finished[better]
        self.places[pairs] = chosen.column("place").to_numpy()[better]


def look_up(files: Files, root: str, fingerprints: pa.ChunkedArray, pair_ids: pa.ChunkedArray) -> Outcomes:
    """Look N pairs up in the history of an output root.

    Raises
    ------
    ManifestError
        A part is damaged, or was written by a newer version.
    """
    return with_parts(files, root, lambda parts: _looked_up(files, parts, fingerprints, pair_ids))


def _looked_up(
    files: Files, parts: Sequence[str], fingerprints: pa.ChunkedArray, pair_ids: pa.ChunkedArray
) -> Outcomes:
    best = _Best(fingerprints)
    named = np.zeros(len(pair_ids), dtype=bool)
    seconds = 0.0
    audio_s: defaultdict[int, float] = defaultdict(float)
    for rows in stream_rows(files, parts, _PLANNING, HISTORY_ROWS):
        best.see(rows)
        named |= _mask(pc.is_in(pair_ids, value_set=rows.column("pair_id").combine_chunks()))
        done = rows.filter(pc.equal(rows.column("status"), SUCCEEDED))
        seconds += pc.sum(done.column("seconds_total")).as_py() or 0.0
        for sums in done.group_by("sample_rate").aggregate([("duration_s", "sum")]).to_pylist():
            audio_s[sums["sample_rate"] or 0] += sums["duration_s_sum"] or 0.0
    return Outcomes(best.states, best.finished, named, seconds, audio_s)


def compared_with_audio(
    files: Files, root: str, fingerprints: pa.ChunkedArray, outcomes: Outcomes
) -> tuple[Outcomes, LostAudio]:
    """Return what `look_up` found, corrected for audio that somebody has deleted, and what that is.

    The history is read again where some is: an attempt that failed since may be the row that counts now.

    Parameters
    ----------
    files : Files
        The file system.
    root : str
        The output root. Its audio is listed once, if any pair has succeeded.
    fingerprints : pyarrow.ChunkedArray of str
        Of the N pairs.
    outcomes : Outcomes
        Of the N pairs; found before the listing, so that every row it knows had its audio by then.

    Raises
    ------
    ManifestError, OSError
        As `look_up`; or the audio cannot be listed.
    """
    done = np.flatnonzero(outcomes.states == DONE)
    gone = done[missing_audio(files, root, fingerprints.take(pa.array(done)))]
    if not len(gone):
        return outcomes, NOTHING_LOST
    names = fingerprints.take(pa.array(gone))
    lost = LostAudio(names.combine_chunks(), outcomes.finished[gone])
    states = outcomes.states.copy()
    states[gone] = with_parts(files, root, lambda parts: _best_rows(files, parts, names, lost)).states
    return outcomes._replace(states=states), lost


def find_rows(
    files: Files,
    parts: Sequence[str],
    fingerprints: pa.ChunkedArray,
    lost: LostAudio = NOTHING_LOST,
    go_on: Callable[[], None] = lambda: None,
) -> NDArray[np.int64]:
    """Return where the row that counts of each fingerprint stands among all rows of some parts, `[N]`; -1 for none.

    A succeeded row whose audio is gone is none. `go_on` is called now and then; what it raises ends the search.
    """
    best = _best_rows(files, parts, fingerprints, lost, go_on)
    return np.where(best.states == WITHOUT_AUDIO, -1, best.places)


def _best_rows(
    files: Files,
    parts: Sequence[str],
    fingerprints: pa.ChunkedArray,
    lost: LostAudio,
    go_on: Callable[[], None] = lambda: None,
) -> _Best:
    best = _Best(fingerprints, lost)
    for rows in stream_rows(files, parts, _COUNTING, HISTORY_ROWS):
        best.see(rows)
        go_on()
    return best


def _one_each(rows: pa.Table) -> pa.Table:
    """Return one row per fingerprint; most tables have no more, and need not be sorted."""
    distinct = pc.count_distinct(rows.column("fingerprint")).as_py()
    return rows if distinct == rows.num_rows else winners(rows)


def _states(rows: pa.Table) -> NDArray[np.int8]:
    succeeded = _mask(pc.equal(rows.column("status"), SUCCEEDED))
    lost = _mask(pc.equal(rows.column("status"), _LOST))
    transient = _mask(pc.is_in(rows.column("error_type"), value_set=pa.array(sorted(TRANSIENT_ERRORS))))
    told = np.select([succeeded, lost, transient], [DONE, WITHOUT_AUDIO, FAILED_TRANSIENTLY], FAILED_PERMANENTLY)
    return told.astype(np.int8)


def _mask(values: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy())
