"""What the history says of the pairs of a plan: it streams past them, so memory follows the plan, not the history."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.files import Files
from manifests.history import stream_rows, winners
from manifests.schema import PASSING_ERRORS, SUCCEEDED

UNKNOWN, FAILED_FOR_GOOD, FAILED_IN_PASSING, DONE = range(4)

_NEVER = np.iinfo(np.int64).min
_COLUMNS = ("fingerprint", "pair_id", "status", "error_type", "seconds_total", "duration_s", "finished_at")


class Outcomes(NamedTuple):
    """What the history says of N pairs, and what its results cost.

    Attributes
    ----------
    states : ndarray of int8
        `[N]`: `UNKNOWN`, `FAILED_FOR_GOOD`, `FAILED_IN_PASSING` or `DONE`, of each pair's fingerprint over all runs: a
        succeeded row wins over failed ones, then the newest, then the last read.
    named : ndarray of bool
        `[N]`: whether any row has the pair's `pair_id`, whatever its fingerprint.
    seconds, audio_s : float
        Time that all succeeded rows took, and the length of their audio, both in s.
    """

    states: NDArray[np.int8]
    named: NDArray[np.bool_]
    seconds: float
    audio_s: float


def look_up(files: Files, root: str, fingerprints: pa.ChunkedArray, pair_ids: pa.ChunkedArray) -> Outcomes:
    """Look N pairs up in the history of an output root.

    Raises
    ------
    ManifestError
        A part is damaged, or was written by a newer version.
    """
    states = np.full(len(fingerprints), UNKNOWN, dtype=np.int8)
    newest = np.full(len(fingerprints), _NEVER, dtype=np.int64)
    named = np.zeros(len(pair_ids), dtype=bool)
    seconds = audio_s = 0.0
    for rows in stream_rows(files, root, _COLUMNS):
        _update(states, newest, fingerprints, _one_each(rows))
        named |= _mask(pc.is_in(pair_ids, value_set=rows.column("pair_id").combine_chunks()))
        done = rows.filter(pc.equal(rows.column("status"), SUCCEEDED))
        seconds += pc.sum(done.column("seconds_total")).as_py() or 0.0
        audio_s += pc.sum(done.column("duration_s")).as_py() or 0.0
    return Outcomes(states, named, seconds, audio_s)


def _one_each(rows: pa.Table) -> pa.Table:
    """Return one row per fingerprint; most tables have no more, and need not be sorted."""
    distinct = pc.count_distinct(rows.column("fingerprint")).as_py()
    return rows if distinct == rows.num_rows else winners(rows)


def _update(states: NDArray[np.int8], newest: NDArray[np.int64], fingerprints: pa.ChunkedArray, rows: pa.Table) -> None:
    """Put rows, one per fingerprint, over what was known of the pairs, in place."""
    found = pc.index_in(fingerprints, value_set=rows.column("fingerprint").combine_chunks())
    pairs = np.flatnonzero(_mask(found.is_valid()))
    chosen = rows.take(found.drop_null())
    told = _states(chosen)
    finished = chosen.column("finished_at").cast(pa.int64()).fill_null(_NEVER).to_numpy()
    done, was_done = told == DONE, states[pairs] == DONE
    better = (done & ~was_done) | ((done == was_done) & (finished >= newest[pairs]))
    states[pairs[better]], newest[pairs[better]] = told[better], finished[better]


def _states(rows: pa.Table) -> NDArray[np.int8]:
    succeeded = _mask(pc.equal(rows.column("status"), SUCCEEDED))
    passing = _mask(pc.is_in(rows.column("error_type"), value_set=pa.array(sorted(PASSING_ERRORS))))
    return np.where(succeeded, DONE, np.where(passing, FAILED_IN_PASSING, FAILED_FOR_GOOD)).astype(np.int8)


def _mask(values: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy())
