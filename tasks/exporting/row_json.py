"""A row of a table of results as JSON that any program reads, always the same text for the same row."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time


def json_text(value: object) -> str:
    """Return a row, or a value of one, as JSON of one line; the keys have the order of the columns.

    Numbers that JSON has no words for, NaN and infinity, are null; times are ISO 8601, bytes base64.

    >>> json_text({"pair_id": "a", "loss": float("nan"), "at": date(2026, 1, 2), "curve": (1.0, 0.5)})
    '{"pair_id": "a", "loss": null, "at": "2026-01-02", "curve": [1.0, 0.5]}'
    """
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case Sequence():
            return [_plain(one) for one in value]
    return str(value)
