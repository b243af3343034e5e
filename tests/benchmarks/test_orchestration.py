"""What orchestration costs is measured on the real flow: every pair is committed, nothing is computed."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from benchmarks.marked_tables import DOCS
from benchmarks.speed import orchestration
from benchmarks.speed.orchestrated import Nothing
from benchmarks.speed.orchestration import sample_outcome, share_of_work, table
from tasks.devices.executors import SynthesisRequest
from tasks.pair_state import PairState
from tasks.pipeline.rows import RowContext, rows_of

RUN = {
    "pairs": 100,
    "failed": 0,
    "shards": 10,
    "tasks": 11,
    "seconds_server": 9.0,
    "seconds_before": 2.0,
    "seconds_shards": 1.0,
    "seconds_after": 0.5,
    "cpu_s": 2.5,
    "peak_mib": 300.0,
    "slots": 2,
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> PairState:
    return sample_outcome(tmp_path_factory.mktemp("sample"), 0.2)


def test_every_pair_gets_what_one_pair_really_was(sample: PairState) -> None:
    nothing = Nothing(pickle.loads(pickle.dumps(sample)), 1)
    others = [PairState({**sample.planned, "pair_id": name, "fingerprint": name * 32}) for name in "ab"]
    with nothing.devices.opened(), nothing.devices.borrowed() as slot:
        nothing.synthesise(SynthesisRequest(others, "cpu", 1, 0), slot)
    nothing.measure(others)
    rows = rows_of(others, RowContext("root", "run", 0, "cpu", "digest"))
    assert [row.row["pair_id"] for row in rows] == ["a", "b"]
    assert all(row.row["status"] == "succeeded" and row.row["rhythm_kept"] is not None for row in rows)
    assert rows[0].audio == rows[1].audio
    assert nothing.last > nothing.first > 0


def test_the_share_is_of_the_whole_run_without_the_server_s_start() -> None:
    assert share_of_work(RUN) == pytest.approx(3.5 * 2 / 10 / 30)
    (line,) = table([RUN]).splitlines()[2:]
    assert [cell.strip() for cell in line.split("|")[-6:-1]] == ["350", "250", "2.3 %", "0.8 %", "300"]


def test_runs_that_lost_pairs_are_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ran(*_: object, **__: object) -> None:
        (tmp_path / "result.json").write_text(json.dumps({**RUN, "pairs": 99, "failed": 1}))

    monkeypatch.setattr(orchestration.subprocess, "run", ran)
    with pytest.raises(RuntimeError, match="99 of 100 pairs succeeded, 1 failed"):
        orchestration.measured(100, tmp_path / "sample", tmp_path, 0.3)


@pytest.mark.slow
def test_a_real_flow_commits_all_pairs_and_the_document_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "performance.md").write_text((DOCS / "performance.md").read_text())
    monkeypatch.setattr(orchestration, "DOCS", tmp_path)
    report = tmp_path / "orchestration.json"
    orchestration.main(["--pairs", "120", "--seconds", "2.0", "--out", str(report), "--document"])
    (found,) = json.loads(report.read_text())["runs"]
    assert (found["pairs"], found["failed"], found["shards"]) == (120, 0, 4)
    assert found["tasks"] == 5  # the plan, and a task for each of the four shards
    assert 0 < found["peak_mib"] < 1_000
    text = (tmp_path / "performance.md").read_text().partition("<!-- orchestration -->\n")[2]
    assert text.startswith("Made by `python -m benchmarks.speed.orchestration --pairs 120")
    assert "at most 5 Prefect tasks" in text
