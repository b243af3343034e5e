"""Where a long content is cut: into segments of equal length that overlap, each computed as if it were a pair."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

from tasks.audio.lengths import LONGEST_S
from tasks.pair_state import PlannedPair

OVERLAP_S = 1.0
"""What two neighbours share: they are joined in the middle of it, where the edges of neither are heard."""

MOST_S = 24.0
"""Length of a segment at most, s."""

STEP_S = 0.01
"""Segments begin and end at whole frames, which are whole samples at every usual rate."""


class Segment(NamedTuple):
    """A part of a content: from one time to another, in s from where the content, or its excerpt, begins."""

    number: int
    start_s: float
    end_s: float

    def samples(self, rate_hz: int, n_samples: int) -> tuple[int, int]:
        """Return the first sample and the one behind the last, of a content of so many.

        >>> Segment(1, 15.0, 31.0).samples(8_000, 247_990)
        (120000, 247990)
        """
        return round(self.start_s * rate_hz), min(round(self.end_s * rate_hz), n_samples)


def is_long(planned: PlannedPair) -> bool:
    """Return whether what a planned pair uses of its content is computed in segments."""
    return float(str(planned["duration_s"])) > LONGEST_S


def segments_of(duration_s: float) -> list[Segment]:
    """Return the segments of a content of that length, s.

    >>> segments_of(31.0)
    [Segment(number=0, start_s=0.0, end_s=16.0), Segment(number=1, start_s=15.0, end_s=31.0)]
    >>> len(segments_of(3600.0))
    157
    """
    count = max(1, math.ceil((duration_s - OVERLAP_S) / (MOST_S - OVERLAP_S)))
    step_s = math.ceil((duration_s - OVERLAP_S) / count / STEP_S) * STEP_S
    starts = [round(number * step_s, 6) for number in range(count)]
    return [
        Segment(number, start_s, min(round(start_s + step_s + OVERLAP_S, 6), duration_s))
        for number, start_s in enumerate(starts)
    ]


def planned_segment(planned: PlannedPair, segment: Segment) -> PlannedPair:
    """Return a segment of a planned pair as a planned pair: its excerpt, in a file without loss."""
    settings = json.loads(str(planned["settings"]))
    offset_s = settings.get("content_start_s") or 0.0
    excerpt = {"content_start_s": offset_s + segment.start_s, "content_end_s": offset_s + segment.end_s}
    return {**planned, "settings": json.dumps({**settings, **excerpt, "file_format": "flac"}, sort_keys=True)}
