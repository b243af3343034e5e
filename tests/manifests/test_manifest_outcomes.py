"""What the history says of pairs, against the rule in plain Python, whatever the history is cut into."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.results import history
from manifests.results import planned_history as outcomes
from manifests.results.compaction import compact
from manifests.results.history import part_uris
from manifests.results.layout import write_part
from manifests.results.planned_history import (
    DONE,
    FAILED_PERMANENTLY,
    FAILED_TRANSIENTLY,
    UNKNOWN,
    Outcomes,
    find_rows,
    look_up,
)
from tasks.storage.storage import Storage

FILES = Storage()
START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [f"{letter}{number}" for letter in "ab" for number in range(4)]
"""Of fingerprints; the plans below lack some, and the histories others."""

ROWS = st.fixed_dictionaries(
    {
        "fingerprint": st.sampled_from(NAMES),
        "pair_id": st.sampled_from(["p", "q", "r"]),
        "told": st.sampled_from([("succeeded", None), ("failed", "silent"), ("failed", "storage")]),
        "finished_at": st.none() | st.integers(0, 3).map(lambda minute: START + timedelta(minutes=minute)),
    }
)


def commit(root: str, run_id: str, shard: int, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows that took 3 s each for 2 s of audio."""
    whole = []
    for row in rows:
        rest = {name: value for name, value in row.items() if name != "told"}
        status, error_type = row["told"]
        cost = {"seconds_total": 3.0, "duration_s": 2.0, "content": "/c", "style": "/s"}
        whole.append({**rest, **cost, "status": status, "error_type": error_type})
    write_part(FILES, root, run_id, shard, whole)


def looked_up(root: str, fingerprints: Sequence[str], pair_ids: Sequence[str]) -> Outcomes:
    columns = [pa.chunked_array([pa.array(names, pa.string())]) for names in (fingerprints, pair_ids)]
    return look_up(FILES, root, *columns)


def told(row: dict[str, Any]) -> dict[str, Any]:
    """Return a stored row as `ROWS` has them."""
    return {"fingerprint": row["fingerprint"], "told": (row["status"], row["error_type"]), "finished_at": None}


def expected_state(rows: Sequence[dict[str, Any]], fingerprint: str) -> int:
    mine = [row for row in rows if row["fingerprint"] == fingerprint]
    if not mine:
        return UNKNOWN
    first = START - timedelta(days=1)
    best = max(enumerate(mine), key=lambda each: (each[1]["told"][1] is None, each[1]["finished_at"] or first, each[0]))
    return {None: DONE, "silent": FAILED_PERMANENTLY, "storage": FAILED_TRANSIENTLY}[best[1]["told"][1]]


@pytest.mark.parametrize("compacted", [False, True])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    parts=st.lists(st.lists(ROWS, min_size=1, max_size=4), max_size=4),
    plan=st.lists(st.tuples(st.sampled_from([*NAMES[2:], "new"]), st.sampled_from(["q", "r", "x"])), max_size=6),
    history_rows=st.sampled_from([1, 3, 100]),
)
def test_it_says_what_plain_python_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    compacted: bool,
    parts: list[list[dict[str, Any]]],
    plan: list[tuple[str, str]],
    history_rows: int,
) -> None:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    root = str(tmp_path / "out")
    for number, rows in enumerate(parts):
        commit(root, "r1", number, rows)
    if compacted and parts:
        # What a collection that was killed leaves: the first parts are there twice.
        compact(FILES, root, "c", part_uris(FILES, root)[:2], pa.array([], pa.string()))
    monkeypatch.setattr(outcomes, "HISTORY_ROWS", history_rows)
    found = looked_up(root, [name for name, _ in plan], [pair_id for _, pair_id in plan])
    rows = [row for part in parts for row in part]
    places = find_rows(
        FILES, part_uris(FILES, root), pa.chunked_array([pa.array([name for name, _ in plan], pa.string())])
    )
    stored = history.read_rows(FILES, root, ["fingerprint", "status", "error_type"]).to_pylist()
    for place, (name, _), state in zip(places.tolist(), plan, found.states.tolist(), strict=True):
        assert (place < 0) == (state == UNKNOWN)
        assert place < 0 or (stored[place]["fingerprint"], expected_state([told(stored[place])], name)) == (name, state)
    assert found.states.tolist() == [expected_state(rows, name) for name, _ in plan]
    assert found.named.tolist() == [pair_id in {row["pair_id"] for row in rows} for _, pair_id in plan]


def test_costs_are_those_of_what_succeeded(tmp_path: Path) -> None:
    rows = [
        {"fingerprint": name, "pair_id": name, "told": ("succeeded", None), "sample_rate": rate}
        for name, rate in zip(NAMES[:3], (16_000, 48_000, 16_000), strict=True)
    ]
    commit(str(tmp_path), "r1", 0, [*rows, {**rows[0], "fingerprint": "bad", "told": ("failed", "silent")}])
    found = looked_up(str(tmp_path), ["a0"], ["a0"])
    assert (found.seconds, dict(found.audio_s)) == (9.0, {16_000: 4.0, 48_000: 2.0})


def test_memory_follows_the_plan_and_not_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "HISTORY_ROWS", 1_000)
    monkeypatch.setattr(history, "_AHEAD", 2)
    high_water = []
    for number in range(24):
        for part in range(2):
            names = [f"{number}-{part}-{row}" for row in range(500)]
            rows = [{"fingerprint": name, "pair_id": name, "told": ("succeeded", None)} for name in names]
            commit(str(tmp_path), "r1", 2 * number + part, rows)
        if number in (3, 23):  # with four, what is read ahead is there already
            pool = pa.proxy_memory_pool(pa.default_memory_pool())
            before = pa.default_memory_pool()
            pa.set_memory_pool(pool)
            try:
                looked_up(str(tmp_path), ["none"], ["none"])
            finally:
                pa.set_memory_pool(before)
            high_water.append(pool.max_memory())
    assert high_water[1] < 2 * high_water[0]
