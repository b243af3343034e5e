"""A batch of planned pairs: what one of them does harms no other, and says what it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from stylecore.errors import Interrupted
from stylecore.synthesis import Pair
from stylecore.weights import shipped
from tasks.cache import ByteLimitedCache
from tasks.devices.speed import seconds_per_audio_second
from tasks.interruption import request_stop
from tasks.pair_state import PairState, PlannedPair
from tasks.pipeline import batch_synthesis as synthesis
from tasks.pipeline.batch_synthesis import synthesise_batch
from tasks.pipeline.in_process import count_step
from tasks.pipeline.inputs import read_pair
from tasks.progress import PROGRESS
from tasks.storage.storage import Storage
from tests.tasks import corpus
from tests.tasks.conftest import Corpus
from tests.tasks.corpus import QUICK, begin, compute, read_table, run_all, write_cut, write_manifest

STYLES = ("violin_sustained", "glass_rub", "tuning_fork_440")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a manifest of four pairs that share one batch; the third has a number of its own to be known by."""
    folder = tmp_path_factory.mktemp("batch")
    write_cut(folder / "harp.wav", "harp_phrase")
    for style in STYLES:
        write_cut(folder / f"{style}.wav", style, 0.3)
    rows = [{"pair_id": style, "content": "harp.wav", "style": f"{style}.wav", "alpha": None} for style in STYLES]
    marked = {"pair_id": "marked", "content": "harp.wav", "style": "glass_rub.wav", "alpha": 1.625}
    return write_manifest(folder / "pairs.parquet", [*rows[:2], marked, *rows[2:]])


@pytest.fixture(scope="module")
def planned(manifest: str, tmp_path_factory: pytest.TempPathFactory) -> list[PlannedPair]:
    rows, _ = corpus.planned(manifest, tmp_path_factory.mktemp("none"))
    assert [row["shard"] for row in rows] == [0] * 4
    return rows


def synthesised(planned: Sequence[PlannedPair]) -> list[PairState]:
    outcomes = [read_pair(pair, Storage(), ByteLimitedCache(0)) for pair in planned]
    synthesise_batch(outcomes, "cpu", shipped(), ByteLimitedCache(1 << 28), count_step)
    return outcomes


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let the core raise `error` for every batch with the marked pair; else it computes. `sizes` are its batches'."""
    state: dict[str, Any] = {"error": None, "sizes": []}
    real = synthesis.synthesise

    def failing(pairs: Sequence[Pair], *rest: Any) -> Any:
        state["sizes"].append(len(pairs))
        if state["error"] is not None and any(pair.settings.alpha == 1.625 for pair in pairs):
            raise state["error"]
        return real(pairs, *rest)

    monkeypatch.setattr(synthesis, "synthesise", failing)
    return state


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (MemoryError("no more"), "out_of_memory"),
        (torch.OutOfMemoryError("device full"), "out_of_memory"),
        (RuntimeError("never seen"), "internal"),
    ],
)
def test_a_fault_of_one_pair_fails_that_pair_alone(
    manifest: str, tmp_path: Path, faulty: dict[str, Any], error: Exception, error_type: str
) -> None:
    faulty["error"] = error
    run = run_all(manifest, tmp_path)
    assert faulty["sizes"][0] == 4
    assert (run.summary.computed, run.summary.failures) == (3, {error_type: 1})
    row = run.row("marked")
    assert (row["status"], row["error_type"]) == ("failed", error_type)
    assert str(error) in row["error_message"]
    assert type(error).__name__ in row["error_message"]
    assert pd.isna(row["output"])
    others = run.table[run.table["pair_id"] != "marked"]
    assert others["status"].tolist() == ["succeeded"] * 3


def test_the_companions_of_a_fault_sound_as_without_it(planned: list[PlannedPair], faulty: dict[str, Any]) -> None:
    whole = synthesised(planned)
    faulty["error"] = MemoryError("no more")
    split = synthesised(planned)
    assert [outcome.error_type for outcome in whole] == [None] * 4
    for one, other in zip(whole, split, strict=True):
        assert one.planned == other.planned
        if other.planned["pair_id"] == "marked":
            assert other.rendered is None
            continue
        assert one.rendered is not None
        assert other.rendered is not None
        # Other batches, other order of sums: close after a few evaluations, and the very same start.
        first, second = one.rendered.loss_curve, other.rendered.loss_curve
        assert first[0] == pytest.approx(second[0], rel=1e-6)
        np.testing.assert_allclose(first, second, rtol=1e-2)


def test_a_pair_without_memory_is_tried_again_by_the_next_run(
    manifest: str, tmp_path: Path, faulty: dict[str, Any]
) -> None:
    faulty["error"] = MemoryError("no more")
    run_all(manifest, tmp_path)
    faulty["error"], faulty["sizes"] = None, []
    second = run_all(manifest, tmp_path)
    assert faulty["sizes"] == [1]
    assert {name: count for name, count in second.summary.counts.items() if count} == {"up_to_date": 3, "failed": 1}
    assert second.table["status"].tolist() == ["succeeded"] * 4


def test_a_defect_is_not_met_again_by_the_next_run(manifest: str, tmp_path: Path, faulty: dict[str, Any]) -> None:
    faulty["error"] = RuntimeError("never seen")
    run_all(manifest, tmp_path)
    faulty["sizes"] = []
    assert run_all(manifest, tmp_path).summary.counts["failed_before"] == 1
    assert faulty["sizes"] == []


def test_a_fault_in_encoding_fails_that_pair_alone(planned: list[PlannedPair], monkeypatch: pytest.MonkeyPatch) -> None:
    real = synthesis.paired
    calls = 0

    def failing(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise torch.OutOfMemoryError("device full")
        return real(*arguments)

    monkeypatch.setattr(synthesis, "paired", failing)
    outcomes = synthesised(planned)
    assert [outcome.error_type for outcome in outcomes].count("out_of_memory") == 1
    assert sum(outcome.rendered is not None for outcome in outcomes) == 3


def test_a_pair_that_diverges_says_so(manifest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loss made infinite: the optimisation itself has to notice, and its companions go on."""
    real = synthesis.paired

    def spoilt(*arguments: Any) -> Pair:
        pair = real(*arguments)
        if pair.settings.alpha != 1.625:
            return pair
        return replace(pair, settings=pair.settings.model_copy(update={"beta": float("inf")}))

    monkeypatch.setattr(synthesis, "paired", spoilt)
    run = run_all(manifest, tmp_path)
    assert run.summary.failures == {"diverged": 1}
    assert run.row("marked")["error_type"] == "diverged"
    assert pd.isna(run.row("marked")["output"])
    assert (run.table["status"] == "succeeded").sum() == 3


def test_outcomes_come_in_the_order_of_the_pairs(planned: list[PlannedPair]) -> None:
    backwards = [dict(pair) for pair in planned[::-1]]
    backwards[1]["style"] = "/nowhere/style.wav"
    outcomes = synthesised(backwards)
    assert [outcome.planned for outcome in outcomes] == backwards
    assert [outcome.error_type for outcome in outcomes] == [None, "storage", None, None]
    assert all(outcome.seconds["read"] > 0 for outcome in outcomes)


def test_equal_batches_give_equal_samples(planned: list[PlannedPair]) -> None:
    first = synthesised(planned)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    for one, other in zip(first, synthesised(planned), strict=True):
        assert one.rendered is not None
        assert other.rendered is not None
        assert np.array_equal(one.rendered.samples, other.rendered.samples)
        assert one.rendered.loss_curve == other.rendered.loss_curve


def test_a_batch_of_bad_pairs_computes_nothing(planned: list[PlannedPair], faulty: dict[str, Any]) -> None:
    outcomes = synthesised([{**pair, "content": "/nowhere/content.wav"} for pair in planned])
    assert [outcome.error_type for outcome in outcomes] == ["storage"] * 4
    assert faulty["sizes"] == []


class TestStopping:
    def test_a_request_to_stop_is_no_failure_of_a_pair(self, planned: list[PlannedPair]) -> None:
        request_stop()
        with pytest.raises(Interrupted):
            synthesised(planned)

    def test_it_is_seen_within_an_optimisation(
        self, planned: list[PlannedPair], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = PROGRESS.count_step

        def count_and_stop() -> None:
            real()
            if PROGRESS.steps == 3:
                request_stop()

        monkeypatch.setattr(PROGRESS, "count_step", count_and_stop)
        with pytest.raises(Interrupted):
            synthesised(planned)
        assert PROGRESS.steps == 3

    def test_nothing_of_the_shard_is_written(self, manifest: str, tmp_path: Path) -> None:
        run, plan = begin(manifest, tmp_path)
        request_stop()
        (committed,) = compute(run, plan)
        assert (committed.succeeded, committed.failed, committed.interrupted) == (0, 0, True)
        assert not (tmp_path / "audio").exists()
        assert not (tmp_path / "results").exists()


def test_progress_counts_pairs_and_evaluations(manifest: str, tmp_path: Path, faulty: dict[str, Any]) -> None:
    faulty["error"] = MemoryError("no more")
    run_all(manifest, tmp_path)
    assert (PROGRESS.succeeded, PROGRESS.failed, PROGRESS.pairs) == (3, 1, 4)
    assert PROGRESS.steps >= read_table(tmp_path)["evaluations"].max()


def test_the_estimate_grows_with_the_iterations() -> None:
    few = seconds_per_audio_second(QUICK.resolve({"iterations": 10}), "cpu", 1, shipped())
    many = seconds_per_audio_second(QUICK.resolve({"iterations": 10_000}), "cpu", 1, shipped())
    assert 0 < few < many


def test_finished_runs_of_the_corpus_used_batches(finished: Corpus) -> None:
    """The tests of batches mean something only if a run has batches of several pairs."""
    (committed,) = finished.first.committed
    assert (committed.succeeded, committed.shards) == (5, 1)
