"""The last words of a run say what became of every pair of the manifest."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from flows.terminal_tables import run_report
from tasks.ledger.close import RunSummary
from tasks.planning.actions import PlanCounts


def last_words(counts: PlanCounts, without_result: int | None) -> str:
    summary = RunSummary(
        run_id="run-7",
        state="completed",
        computed=counts.new,
        failed=0,
        counts=asdict(counts),
        failures={},
        seconds=61.4,
        results="out/results.parquet",
        without_result=without_result,
    )
    return run_report(summary).plain


@pytest.mark.parametrize(
    ("counts", "without_result", "told"),
    [
        (PlanCounts(new=4), 0, ""),
        (PlanCounts(new=2, beyond_limit=3), 3, "3 left for the next run. "),
        (
            PlanCounts(new=2, other_shards=3),
            None,
            "Runs on other shards (3 pairs) are at work still; the last of them writes it. ",
        ),
        (PlanCounts(new=2, other_shards=3), 0, ""),
        (PlanCounts(new=2, other_shards=3), 1, "1 pairs of the manifest have no result yet. "),
    ],
)
def test_pairs_without_a_result_are_counted_once(counts: PlanCounts, without_result: int | None, told: str) -> None:
    said = last_words(counts, without_result)
    assert said == f"{counts.new} pairs computed in 61 s. {told}Table: out/results.parquet"
