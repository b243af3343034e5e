"""Rows, parts and plans as runs write them, for pairs whose fingerprints are given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from manifests.results.layout import audio_uri, write_part
from tasks.storage.storage import Storage


def succeeded(fingerprint: str, **values: Any) -> dict[str, Any]:
    """Return the row of a pair that is called as its fingerprint."""
    return {
        "pair_id": fingerprint,
        "content": "/sounds/c.wav",
        "style": "/sounds/s.wav",
        "status": "succeeded",
        "fingerprint": fingerprint,
        "output": audio_uri("/out", fingerprint),
        "finished_at": datetime.now(UTC),
        **values,
    }


def commit(root: str, run_id: str, shard: int, fingerprints: Sequence[str]) -> str:
    """Commit succeeded rows as a run's shard, without audio."""
    return write_part(Storage(), root, run_id, shard, [succeeded(fingerprint) for fingerprint in fingerprints])


def plan_of(fingerprints: Sequence[str]) -> pa.Table:
    """Return the plan of a manifest of these pairs."""
    count = len(fingerprints)
    return pa.table(
        {
            "pair_id": pa.array(fingerprints, pa.string()),
            "content": ["/sounds/c.wav"] * count,
            "style": ["/sounds/s.wav"] * count,
            "fingerprint": pa.array(fingerprints, pa.string()),
            "row": pa.array(range(count), pa.int64()),
        }
    )
