"""What is said of a long pair as a whole: means over its segments, each by its length."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks.pair_state import Measurement, Rendered
from tasks.pipeline.segment_store import ComputedSegment

Values = Callable[[ComputedSegment], Mapping[str, float | None]]


def rendered_of(segments: Sequence[ComputedSegment]) -> Rendered:
    """Return what the devices made of the segments that are not silent; the samples lie elsewhere."""
    longest = max(len(one.loss_curve) for one in segments)
    curves = np.array([[*one.loss_curve, *one.loss_curve[-1:] * (longest - len(one.loss_curve))] for one in segments])
    return Rendered(
        np.zeros(0, dtype=np.float32),
        1.0,
        _present(_means(segments, lambda one: one.first_terms)),
        _present(_means(segments, lambda one: one.heard_terms)),
        np.average(curves, axis=0, weights=_lengths(segments)).tolist(),
        max(one.evaluations for one in segments),
        Counter(one.stop_reason for one in segments).most_common(1)[0][0],
        _means(segments, lambda one: {"": one.convergence_db})[""],
    )


def measurement_of(
    segments: Sequence[ComputedSegment],
    path: Path,
    samples_sha256: str,
    sample_rate: int,
    n_samples: int,
    channels: int,
) -> Measurement:
    """Return the measurement of a whole that lies in a file: its figures are means over the segments."""
    with path.open("rb") as file:
        file_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    gains_db = _means(segments, lambda one: {"": 20.0 * float(np.log10(one.gain))})
    return Measurement(
        path,
        file_sha256,
        samples_sha256,
        sample_rate,
        n_samples,
        channels,
        10.0 ** (float(gains_db[""] or 0.0) / 20.0),
        _means(segments, lambda one: one.figures),
        {stage: sum(one.seconds.get(stage, 0.0) for one in segments) for stage in ("write", "measure")},
    )


def _means(segments: Sequence[ComputedSegment], values: Values) -> dict[str, float | None]:
    """Return the mean of each value over the segments where it is known, None where it is not known in any."""
    named = [values(one) for one in segments]
    return {
        name: _mean([(of[name], length) for of, length in zip(named, _lengths(segments), strict=True)])
        for name in named[0]
    }


def _mean(values: Sequence[tuple[float | None, float]]) -> float | None:
    known = [(value, length) for value, length in values if value is not None]
    return float(np.average([value for value, _ in known], weights=[length for _, length in known])) if known else None


def _lengths(segments: Sequence[ComputedSegment]) -> list[float]:
    return [one.segment.end_s - one.segment.start_s for one in segments]


def _present(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
