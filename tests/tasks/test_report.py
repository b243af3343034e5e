"""The end of a run: the table that users read, the record, and the summary for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.cross_synthesis import committed_shards
from manifests.results.layout import latest_uri, record_uri, snapshot_uri
from manifests.schema import RESULT_SCHEMA
from stylecore.errors import Interrupted
from stylecore.settings import CORE_VERSION, Settings
from tasks.interruption import within
from tasks.ledger import folding
from tasks.ledger.close import RunSummary, close_run, summary_markdown, write_run_snapshot
from tasks.options import RunOptions
from tasks.pipeline.shards import compute_shards
from tasks.planning.plan import PlanCounts
from tests.tasks.conftest import PAIRS, Corpus
from tests.tasks.corpus import CPU, QUICK, begin, compute, read_table, run_all, write_manifest


def record(root: Path, run_id: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Path(record_uri(str(root), run_id)).read_text())
    return read


def seldom(calls: int) -> Callable[[], None]:
    """Return what raises `Interrupted` once, at the n-th call, as if the time were over just then."""
    left = iter([False] * (calls - 1) + [True])

    def go_on() -> None:
        if next(left, False):
            raise Interrupted("no time")

    return go_on


class TestSnapshot:
    def test_in_the_middle_of_a_run_it_has_what_is_committed(self, finished: Corpus, tmp_path: Path) -> None:
        run, plan = begin(finished.manifest, tmp_path, options=CPU.model_copy(update={"shard_audio_s": 1.0}))
        assert write_run_snapshot(run, plan) == 0
        assert len(read_table(tmp_path)) == 0
        done = compute_shards(plan.uri, plan.shards[:1], run.output, run.run_id, run.options)
        assert write_run_snapshot(run, plan) == done.succeeded
        written = read_table(tmp_path)["pair_id"].tolist()
        assert len(written) == done.succeeded
        assert written == [pair["pair_id"] for pair in PAIRS if pair["pair_id"] in written]

    def test_results_and_the_runs_own_snapshot_are_equal(self, corpus: Corpus) -> None:
        again = run_all(corpus.manifest, corpus.root).summary
        root = str(corpus.root)
        newest = pq.read_table(latest_uri(root))
        assert newest.equals(pq.read_table(snapshot_uri(root, again.run_id)))
        assert newest.schema.metadata == RESULT_SCHEMA.metadata
        assert again.results == latest_uri(root)

    def test_one_that_takes_too_long_for_a_run_that_is_to_stop_is_left_to_the_next(
        self, finished: Corpus, tmp_path: Path
    ) -> None:
        run, plan = begin(finished.manifest, tmp_path)
        compute(run, plan)
        with pytest.raises(Interrupted):
            write_run_snapshot(run, plan, go_on=within(0))
        closed = close_run(run, plan, "interrupted", go_on=seldom(2))
        assert (closed.computed, closed.without_result) == (len(PAIRS), None)
        assert record(tmp_path, run.run_id)["state"] == "interrupted"
        assert not Path(latest_uri(run.output)).exists()
        run, plan = begin(finished.manifest, tmp_path)
        assert close_run(run, plan, "completed").without_result == 0

    def test_an_earlier_snapshot_stays_as_it_was(self, corpus: Corpus) -> None:
        old = Path(snapshot_uri(str(corpus.root), corpus.first.summary.run_id))
        before = old.read_bytes()
        write_manifest(corpus.manifest, PAIRS[:3])
        run_all(corpus.manifest, corpus.root)
        assert old.read_bytes() == before

    def test_a_run_folds_its_parts_and_still_counts_them(
        self, finished: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(folding, "MANY", 2)
        run, plan = begin(finished.manifest, tmp_path, options=CPU.model_copy(update={"shard_audio_s": 1.0}))
        compute(run, plan)
        assert len(plan.shards) > 1
        closed = close_run(run, plan, "completed")
        left = {path.name for path in Path(tmp_path, "results").rglob("*.parquet")}
        assert "compacted-000001.parquet" in left
        assert len(left) < len(plan.shards)  # the last part is still announced, and stays for now
        assert (closed.computed, closed.without_result) == (len(PAIRS), 0)
        assert committed_shards(run) == len(plan.shards)
        assert begin(finished.manifest, tmp_path)[1].counts.up_to_date == len(PAIRS)


class TestRecord:
    def test_it_tells_what_ran(self, finished: Corpus) -> None:
        summary = finished.first.summary
        read = record(finished.root, summary.run_id)
        assert {name: read[name] for name in asdict(summary)} == asdict(summary)
        assert (read["manifest"], read["output"]) == (finished.manifest, str(finished.root))
        assert Settings.model_validate(read["settings"]) == QUICK
        assert RunOptions.model_validate(read["options"]) == CPU
        assert read["versions"]["core"] == CORE_VERSION
        assert set(read["versions"]) >= {"timbreflow", "torch", "python"}
        assert read["error"] is None
        started, ended = (datetime.fromisoformat(read[name]) for name in ("started_at", "finished_at"))
        assert (ended - started).total_seconds() == pytest.approx(summary.seconds)
        assert summary.seconds > 0

    def test_an_up_to_date_run_has_one_too(self, corpus: Corpus) -> None:
        summary = run_all(corpus.manifest, corpus.root).summary
        read = record(corpus.root, summary.run_id)
        assert (read["state"], read["computed"], read["counts"]["up_to_date"]) == ("completed", 0, 5)

    def test_a_failed_run_says_why(self, finished: Corpus, tmp_path: Path) -> None:
        run, plan = begin(finished.manifest, tmp_path)
        summary = close_run(run, plan, "failed", "the disk is full")
        read = record(tmp_path, run.run_id)
        assert (summary.state, read["state"], read["error"]) == ("failed", "failed", "the disk is full")
        assert summary.computed == 0

    def test_groups_of_shards_add_up(self, finished: Corpus, tmp_path: Path) -> None:
        options = CPU.model_copy(update={"shard_audio_s": 1.0})
        run, plan = begin(finished.manifest, tmp_path, options=options)
        committed = compute(run, plan)
        assert len(committed) == len(plan.shards) > 1
        assert sum(group.succeeded for group in committed) == close_run(run, plan, "completed").computed == 5

    def test_pairs_that_fall_between_slices_cut_otherwise_are_counted(self, finished: Corpus, tmp_path: Path) -> None:
        def slice_of(shards: str, shard_audio_s: float, last: bool = True) -> RunSummary:
            options = CPU.model_copy(update={"shards": shards, "shard_audio_s": shard_audio_s})
            run, plan = begin(finished.manifest, tmp_path, options=options)
            compute(run, plan)
            summary = close_run(run, plan, "completed", last=last)
            assert record(tmp_path, run.run_id)["without_result"] == summary.without_result
            return summary

        assert slice_of("1/2", 1.0, last=False).without_result is None  # the slice at work still writes the table
        left = slice_of("0/2", 60.0).without_result
        assert left == len(PAIRS) - len(read_table(tmp_path)) > 0
        assert f"{left} pairs of the manifest have no result yet" in summary_markdown(slice_of("0/2", 60.0))
        assert slice_of("0/1", 60.0).without_result == 0


class TestSummary:
    SUMMARY = RunSummary(
        run_id="run-7",
        state="completed",
        computed=12,
        failed=3,
        counts=asdict(PlanCounts(new=10, failed=5, up_to_date=4)),
        failures={"silent": 1, "missing": 2},
        seconds=61.4,
        results="s3://bucket/out/results.parquet",
    )

    def test_it_says_loudly_what_failed(self) -> None:
        text = summary_markdown(self.SUMMARY)
        lines = text.splitlines()
        assert lines[0] == "# Run run-7: completed"
        assert "12 pairs computed, **3 failed**, in 61 s." in lines
        assert lines.index("| missing | 2 |") < lines.index("| silent | 1 |")
        assert "s3://bucket/out/results.parquet" in lines[-1]

    def test_it_names_the_counts_that_are_not_zero(self) -> None:
        text = summary_markdown(self.SUMMARY)
        for line in ("| new | 10 |", "| failed | 5 |", "| up to date | 4 |"):
            assert line in text
        assert "beyond limit" not in text

    def test_tables_are_whole_markdown(self) -> None:
        """Every table has its head, the line under it, and as many cells in each row."""
        blocks = [block.splitlines() for block in summary_markdown(self.SUMMARY).split("\n\n")]
        tables = [block for block in blocks if block[0].startswith("|")]
        assert len(tables) == 2
        for table in tables:
            assert set(table[1]) <= set("|-: ")
            assert {line.count("|") for line in table} == {3}

    def test_a_folder_named_like_a_tag_is_shown_as_it_is_called(self) -> None:
        """Text between backticks is shown as it is, unless as many backticks end it before."""
        name = "/out/`<img src=x onerror=alert(1)>`/results.parquet"
        assert summary_markdown(replace(self.SUMMARY, results=name)).endswith(f"`` {name} ``")

    def test_without_failures_there_is_no_table_of_them(self) -> None:
        text = summary_markdown(replace(self.SUMMARY, failed=0, failures={}))
        assert "failed because" not in text
        assert "| up to date | 4 |" in text
