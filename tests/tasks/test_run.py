"""Whole runs over short cuts of the demo sounds: what is computed, what is kept, and what a bad row gets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from manifests.files import join
from manifests.results.layout import audio_uri
from manifests.schema import ERROR_TYPES, RESULT_COLUMNS, ManifestError
from stylecore.settings import Settings
from stylecore.terms import TERMS
from tasks.audio.sound_files import decode_flac, samples_sha256
from tasks.interruption import request_stop
from tasks.ledger import query as overview
from tasks.ledger.close import close_run
from tasks.options import RunOptions
from tasks.pipeline import batch_synthesis as synthesis
from tasks.pipeline import shards
from tasks.pipeline.in_process import InProcessExecutor
from tasks.pipeline.shards import compute_shards
from tasks.storage.storage import Storage
from tests.tasks import corpus as corpus_of_tests
from tests.tasks.conftest import PAIRS, Corpus, write_corpus
from tests.tasks.corpus import (
    CPU,
    HERE,
    QUICK,
    Finished,
    Row,
    attempts,
    begin,
    compute,
    cut,
    parts,
    read_table,
    run_all,
    write_cut,
    write_manifest,
)

FIGURES = list(overview.SHOWN)
ONE_BY_ONE = RunOptions(device="cpu", batch_size=1)
IN_SHARDS = RunOptions(device="cpu", shard_audio_s=1.0)
"""Cuts the five pairs of the corpus into several shards."""


@pytest.fixture(scope="module")
def in_shards(finished: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return a run over the corpus in several shards, one after the other."""
    return run_all(finished.manifest, tmp_path_factory.mktemp("shards"), options=IN_SHARDS)


def audio_files(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return time and bytes of every sound under a root."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (root / "audio").rglob("*.flac")}


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the batches that are synthesised, one entry per call; each call still computes."""
    sizes: list[int] = []
    real = synthesis.synthesise

    def counted(pairs: Any, *rest: Any) -> Any:
        sizes.append(len(pairs))
        return real(pairs, *rest)

    monkeypatch.setattr(synthesis, "synthesise", counted)
    return sizes


class TestFirstRun:
    def test_every_pair_succeeds_with_a_whole_row(self, finished: Corpus) -> None:
        table, summary = finished.first.table, finished.first.summary
        assert table["status"].tolist() == ["succeeded"] * 5
        assert (summary.computed, summary.failed, summary.failures) == (5, 0, {})
        assert list(table.columns) == [*(column.name for column in RESULT_COLUMNS), "mood"]
        may_be_null = {"error_type", "error_message", "bandwidth_shift", "melody_kept", "style_leak"}
        may_be_null |= {"content_end_s", "style_end_s"}
        assert set(table.columns[table.isna().any()]) <= may_be_null

    def test_the_audio_is_there_with_the_recorded_sums(self, finished: Corpus) -> None:
        for row in finished.first.table.to_dict("records"):
            assert row["output"] == audio_uri(str(finished.root), row["fingerprint"])
            data = Path(row["output"]).read_bytes()
            assert sha256(data).hexdigest() == row["file_sha256"]
            assert samples_sha256(decode_flac(data)) == row["samples_sha256"]
            assert (soundfile.info(row["output"]).frames, row["sample_rate"]) == (row["n_samples"], 16_000)
        assert len(audio_files(finished.root)) == 5

    def test_pandas_reads_the_table_in_the_order_of_the_manifest(self, finished: Corpus) -> None:
        table = pd.read_parquet(str(finished.root / "results.parquet"))
        assert table["pair_id"].tolist() == [pair["pair_id"] for pair in PAIRS]
        assert table["mood"].tolist() == [pair["mood"] for pair in PAIRS]
        assert table["content"].tolist() == [str(finished.folder / pair["content"]) for pair in PAIRS]
        assert table.equals(finished.first.table)

    def test_a_row_tells_how_it_came_about(self, finished: Corpus) -> None:
        for row in finished.first.table.to_dict("records"):
            settings = json.loads(row["settings"])
            evaluations = QUICK.coarse_iterations + QUICK.iterations + QUICK.sound_iterations
            assert json.loads(QUICK.canonical_json()) == {**settings, "seed": QUICK.seed}
            for name in ("strength", "alpha", "beta", "gamma", "delta", "iterations", "seed"):
                assert row[name] == settings.get(name, getattr(QUICK, name))
            assert 1 <= row["evaluations"] == len(row["loss_curve"]) <= evaluations
            assert row["loss_first_total"] == row["loss_curve"][0]
            assert row["loss_last_total"] < row["loss_curve"][0]
            weights = Settings.model_validate(settings).weights
            losses = [row[f"loss_last_{term.name}"] for term in TERMS]
            weighted = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
            assert row["loss_last_total"] == pytest.approx(weighted, rel=1e-5)
            stages = ("read", "optimise", "phase", "measure", "write")
            assert row["seconds_total"] == pytest.approx(sum(row[f"seconds_{stage}"] for stage in stages))
            assert row["started_at"] < row["finished_at"]
            for side in ("content", "style"):
                assert row[f"{side}_identity"] == sha256(Path(row[side]).read_bytes()).hexdigest()
            assert row["run_id"] == finished.first.summary.run_id
            assert row["shard"] in finished.first.plan.shards

    def test_equal_runs_give_equal_samples(self, finished: Corpus, in_shards: Finished, tmp_path: Path) -> None:
        """Other folders, and shards at the same time in two device processes: not one sample differs."""
        manifest, root = write_corpus(tmp_path), tmp_path / "out"
        run, plan = begin(manifest, root, options=IN_SHARDS)
        assert len(plan.shards) > 1
        with ThreadPoolExecutor(2) as pool:
            groups = [
                pool.submit(compute_shards, plan.uri, [shard], run.output, run.run_id, IN_SHARDS)
                for shard in plan.shards
            ]
            for group in groups:
                group.result()
        close_run(run, plan, "completed")
        together = read_table(root)
        assert together["samples_sha256"].tolist() == in_shards.table["samples_sha256"].tolist()
        assert together["fingerprint"].tolist() == finished.first.table["fingerprint"].tolist()

    def test_another_seed_gives_other_samples(self, corpus: Corpus) -> None:
        other = run_all(corpus.manifest, corpus.root, QUICK.resolve({"seed": 1}), CPU.model_copy(update={"limit": 2}))
        changed = other.table.set_index("pair_id")["samples_sha256"]
        first = corpus.first.table.set_index("pair_id")["samples_sha256"]
        assert len(changed) == 2
        assert set(changed).isdisjoint(first)

    def test_a_sound_is_analysed_once_for_all_its_pairs(
        self, finished: Corpus, tmp_path: Path, monkeypatch: Any
    ) -> None:
        calls: list[int] = []
        real = synthesis.analyse

        def counted(samples: Any, sample_rate: int) -> Any:
            calls.append(len(samples))
            return real(samples, sample_rate)

        monkeypatch.setattr(synthesis, "analyse", counted)
        monkeypatch.setattr(corpus_of_tests, "HERE", InProcessExecutor("cpu"))
        run_all(finished.manifest, tmp_path / "out")
        assert len(calls) == 5  # three contents and two styles


class TestSecondRun:
    def test_it_computes_nothing(self, corpus: Corpus, batches: list[int]) -> None:
        before, sounds = parts(corpus.root), audio_files(corpus.root)
        second = run_all(corpus.manifest, corpus.root)
        assert batches == []
        assert (second.plan.shards, second.committed) == ((), [])
        assert second.summary.counts["up_to_date"] == 5
        assert (second.summary.computed, second.summary.failed) == (0, 0)
        assert parts(corpus.root) == before
        assert audio_files(corpus.root) == sounds

    def test_its_table_says_where_things_are_now(self, corpus: Corpus) -> None:
        """The copied corpus was computed elsewhere: same results, but the paths of today."""
        table = run_all(corpus.manifest, corpus.root).table
        moved = ["content", "style", "output"]
        assert table.drop(columns=moved).equals(corpus.first.table.drop(columns=moved))
        for name in moved:
            assert all(value.startswith(str(corpus.folder)) and Path(value).is_file() for value in table[name])

    def test_new_rows_alone_are_computed(self, corpus: Corpus, batches: list[int]) -> None:
        added: Row = {"pair_id": "new", "content": "sounds/drums.wav", "style": "sounds/violin.wav", "mood": "odd"}
        write_manifest(corpus.manifest, [added, *PAIRS])
        second = run_all(corpus.manifest, corpus.root)
        assert batches == [1]
        assert {name: count for name, count in second.summary.counts.items() if count} == {"new": 1, "up_to_date": 5}
        assert second.table["pair_id"].tolist() == ["new", *(pair["pair_id"] for pair in PAIRS)]
        kept = second.table["samples_sha256"].tolist()[1:]
        assert kept == corpus.first.table["samples_sha256"].tolist()

    def test_removed_rows_leave_the_table_and_come_back_without_work(self, corpus: Corpus, batches: list[int]) -> None:
        write_manifest(corpus.manifest, PAIRS[3:])
        kept = run_all(corpus.manifest, corpus.root, options=CPU.model_copy(update={"replace": True})).table
        assert kept["pair_id"].tolist() == ["harp-violin", "singing-fork"]
        write_manifest(corpus.manifest, PAIRS)
        assert len(run_all(corpus.manifest, corpus.root).table) == 5
        assert batches == []

    def test_a_manifest_without_most_of_the_pairs_is_refused(self, corpus: Corpus) -> None:
        before = (corpus.root / "results.parquet").read_bytes()
        write_manifest(corpus.manifest, PAIRS[3:])
        with pytest.raises(ManifestError, match=r"3 of its 5 pairs .*--replace"):
            run_all(corpus.manifest, corpus.root)
        assert (corpus.root / "results.parquet").read_bytes() == before

    def test_user_columns_are_those_of_the_manifest_now(self, corpus: Corpus, batches: list[int]) -> None:
        rows = [{**pair, "mood": f"{pair['mood']}!", "take": take} for take, pair in enumerate(PAIRS)][::-1]
        write_manifest(corpus.manifest, rows)
        table = run_all(corpus.manifest, corpus.root).table
        assert batches == []
        assert table[["pair_id", "mood", "take"]].to_dict("records") == [
            {name: row[name] for name in ("pair_id", "mood", "take")} for row in rows
        ]
        write_manifest(corpus.manifest, [{k: v for k, v in row.items() if k not in ("mood", "take")} for row in rows])
        assert {"mood", "take"}.isdisjoint(run_all(corpus.manifest, corpus.root).table.columns)

    def test_a_changed_setting_recomputes_and_the_old_one_is_found_again(
        self, corpus: Corpus, batches: list[int]
    ) -> None:
        sounds = audio_files(corpus.root)
        changed = run_all(corpus.manifest, corpus.root, QUICK.resolve({"delta": 5.0}))
        assert sum(batches) == changed.summary.counts["changed"] == 5
        assert set(changed.table["delta"]) == {5.0}
        assert set(changed.table["output"]).isdisjoint(sounds)
        assert len(audio_files(corpus.root)) == 10
        committed = parts(corpus.root)
        batches.clear()
        back = run_all(corpus.manifest, corpus.root)
        assert batches == []
        assert parts(corpus.root) == committed
        assert back.table["samples_sha256"].tolist() == corpus.first.table["samples_sha256"].tolist()
        assert sounds.items() <= audio_files(corpus.root).items()

    def test_a_changed_sound_recomputes_its_pairs(self, corpus: Corpus, batches: list[int]) -> None:
        write_cut(corpus.folder / "sounds" / "violin.wav", "cello_phrase", 0.5)
        second = run_all(corpus.manifest, corpus.root)
        assert sum(batches) == second.summary.counts["changed"] == 2
        old, new = (table.set_index("pair_id")["samples_sha256"] for table in (corpus.first.table, second.table))
        assert set(new.index[new != old]) == {"singing-violin", "harp-violin"}

    def test_a_limit_takes_several_runs_and_repeats_nothing(self, finished: Corpus, tmp_path: Path) -> None:
        limited = CPU.model_copy(update={"limit": 2})
        computed = [run_all(finished.manifest, tmp_path, options=limited).summary.computed for _ in range(4)]
        assert computed == [2, 2, 1, 0]
        assert sorted(attempts(tmp_path)["pair_id"]) == sorted(pair["pair_id"] for pair in PAIRS)
        table = read_table(tmp_path)
        # Their batches were cut short by the limit, so the arithmetic may differ, but not what one hears.
        np.testing.assert_allclose(
            table[FIGURES[:5]].to_numpy(float), finished.first.table[FIGURES[:5]].to_numpy(float), atol=0.02
        )

    def test_equal_pairs_share_one_sound(self, corpus: Corpus, batches: list[int], tmp_path: Path) -> None:
        twins = [{**PAIRS[1], "pair_id": name, "seed": 3} for name in ("one", "two")]
        table = run_all(write_manifest(corpus.folder / "twins.parquet", twins), tmp_path / "twins").table
        assert batches == [1]
        assert table["pair_id"].tolist() == ["one", "two"]
        assert table["output"].nunique() == 1


class TestInterrupted:
    def test_a_request_to_stop_drops_the_shard_in_flight(
        self, finished: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = shards.commit_shard

        def commit_and_stop(*arguments: Any) -> None:
            real(*arguments)
            request_stop()

        monkeypatch.setattr(shards, "commit_shard", commit_and_stop)
        run, plan = begin(finished.manifest, tmp_path, options=IN_SHARDS)
        assert len(plan.shards) > 2
        committed = [compute_shards(plan.uri, plan.shards, run.output, run.run_id, IN_SHARDS, HERE)]
        assert committed[0].interrupted
        assert committed[0].shards == 1
        summary = close_run(run, plan, "interrupted")
        assert summary.state == "interrupted"
        assert summary.computed == len(read_table(tmp_path)) == len(attempts(tmp_path)) < 5
        assert len(audio_files(tmp_path)) == summary.computed

    def test_the_next_run_computes_the_rest(
        self, finished: Corpus, in_shards: Finished, tmp_path: Path, batches: list[int]
    ) -> None:
        run, plan = begin(finished.manifest, tmp_path, options=IN_SHARDS)
        first = compute_shards(plan.uri, plan.shards[:1], run.output, run.run_id, IN_SHARDS, HERE)
        assert 0 < first.succeeded < 5
        second = run_all(finished.manifest, tmp_path, options=IN_SHARDS)  # the first run was never closed
        assert second.summary.counts["up_to_date"] == first.succeeded
        assert sum(batches) == 5
        assert sorted(attempts(tmp_path)["pair_id"]) == sorted(pair["pair_id"] for pair in PAIRS)
        assert second.table["samples_sha256"].tolist() == in_shards.table["samples_sha256"].tolist()

    def test_a_kill_between_audio_and_rows_is_made_good(self, finished: Corpus, tmp_path: Path) -> None:
        root = tmp_path / "out"
        run, plan = begin(finished.manifest, root)
        killed = f"""
import os, signal
from tasks.ledger import commit
from tasks.options import RunOptions
from tasks.pipeline.shards import compute_shards
commit.write_part = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
compute_shards({plan.uri!r}, {plan.shards!r}, {run.output!r}, {run.run_id!r}, RunOptions(device="cpu"))
"""
        repository = Path(__file__).parents[2]
        ended = subprocess.run([sys.executable, "-c", killed], cwd=repository, timeout=120, check=False)
        assert ended.returncode == -signal.SIGKILL
        assert len(audio_files(root)) > 0
        assert parts(root) == []
        damaged = next((root / "audio").rglob("*.flac"))
        damaged.write_bytes(b"not what a row will say")
        second = run_all(finished.manifest, root)
        assert second.summary.computed == len(second.table) == len(attempts(root)) == 5
        for row in second.table.to_dict("records"):
            assert sha256(Path(row["output"]).read_bytes()).hexdigest() == row["file_sha256"]
        assert len(audio_files(root)) == 5 + 1  # audio is never replaced: the damaged one stays for `timbreflow gc`
        assert second.table["samples_sha256"].tolist() == finished.first.table["samples_sha256"].tolist()

    def test_a_shard_is_committed_only_once(self, finished: Corpus, tmp_path: Path) -> None:
        run, plan = begin(finished.manifest, tmp_path, options=CPU.model_copy(update={"limit": 1}))
        compute(run, plan)
        before = attempts(tmp_path)
        compute(run, plan)
        assert len(before) == 1
        assert attempts(tmp_path).equals(before)


# Each makes one file that cannot be used, at the path it is given.


def _float_wav(path: Path, value: float) -> None:
    samples, rate = cut("harp_phrase")
    samples[1_000] = value
    soundfile.write(path, samples, rate, subtype="FLOAT")


def _truncated(path: Path) -> None:
    write_cut(path, "harp_phrase")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "missing.wav": ("missing", lambda path: None),
    "folder.wav": ("is_folder", lambda path: path.mkdir()),
    "empty.wav": ("empty", lambda path: path.touch()),
    "no_samples.wav": ("empty", lambda path: soundfile.write(path, np.zeros(0), 16_000)),
    "truncated.wav": ("truncated", _truncated),
    "truncated.flac": ("truncated", _truncated),
    "text.wav": ("not_audio", lambda path: path.write_text("This is not a sound.\n" * 50)),
    "silent.wav": ("silent", lambda path: soundfile.write(path, np.zeros(6_400), 16_000)),
    "nan.wav": ("not_finite", lambda path: _float_wav(path, np.nan)),
    "inf.wav": ("not_finite", lambda path: _float_wav(path, np.inf)),
    "too_short.wav": ("too_short", lambda path: write_cut(path, "harp_phrase", 0.1)),
    "too_long.wav": ("too_long", lambda path: soundfile.write(path, np.ones(3_602 * 1_000), 1_000)),
}

AS_A_STYLE = {"folder.wav": "style_clips", "too_long.wav": "silent"}
"""Where a style fails otherwise: a folder may be one, and so may a long sound, of which this is a constant."""


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a manifest whose good pairs stand among one bad content and one bad style of every kind."""
    folder = tmp_path_factory.mktemp("spoilt")
    write_corpus(folder)
    rows: list[Row] = []
    for name, (_, make) in BAD.items():
        make(folder / "sounds" / name)
        rows.append({"pair_id": f"content {name}", "content": f"sounds/{name}", "style": "sounds/fork.wav"})
        rows.append({"pair_id": f"style {name}", "content": "sounds/harp.wav", "style": f"sounds/{name}"})
    middle = len(rows) // 2
    return write_manifest(folder / "pairs.parquet", [*rows[:middle], *PAIRS, *rows[middle:]])


@pytest.fixture(scope="module")
def spoilt_run(spoilt: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return a run over the spoilt manifest in batches that good and bad pairs share."""
    return run_all(spoilt, tmp_path_factory.mktemp("spoilt-out"))


class TestBadInput:
    def test_each_bad_sound_is_one_failed_row_and_harms_no_other(
        self, spoilt: str, finished: Corpus, tmp_path: Path
    ) -> None:
        run = run_all(spoilt, tmp_path / "out", options=ONE_BY_ONE)
        clean = run_all(finished.manifest, tmp_path / "clean", options=ONE_BY_ONE)
        for name, (error_type, _) in BAD.items():
            for side, wanted in (("content", error_type), ("style", AS_A_STYLE.get(name, error_type))):
                row = run.row(f"{side} {name}")
                assert (row["status"], row["error_type"]) == ("failed", wanted), row["error_message"]
                assert str(Path(spoilt).parent / "sounds" / name) in row["error_message"]
        good = run.table[run.table["status"] == "succeeded"]
        assert good["pair_id"].tolist() == [pair["pair_id"] for pair in PAIRS]
        same = ["fingerprint", "samples_sha256", "file_sha256", *FIGURES]
        assert good[same].reset_index(drop=True).equals(clean.table[same])
        assert (run.summary.computed, run.summary.failed) == (5, 2 * len(BAD))
        as_contents = {name: error_type for name, (error_type, _) in BAD.items()}
        kinds = [*as_contents.values(), *{**as_contents, **AS_A_STYLE}.values()]
        assert run.summary.failures == Counter(kinds)
        assert set(kinds) <= set(ERROR_TYPES)

    def test_in_a_batch_with_good_pairs_too(self, spoilt_run: Finished, finished: Corpus) -> None:
        run = spoilt_run
        assert run.summary.failed == 2 * len(BAD)
        good = run.table[run.table["status"] == "succeeded"].set_index("pair_id")
        clean = finished.first.table.set_index("pair_id")
        assert list(good.index) == list(clean.index)
        assert good["fingerprint"].tolist() == clean["fingerprint"].tolist()
        # Other batches, other order of sums: the very same start, and close after a few evaluations.
        np.testing.assert_allclose(good["loss_first_total"], clean["loss_first_total"], rtol=1e-5)
        np.testing.assert_allclose(good["loss_last_total"], clean["loss_last_total"], rtol=0.05)
        names = FIGURES[:5]
        np.testing.assert_allclose(good[names].to_numpy(float), clean[names].to_numpy(float), atol=0.1)

    def test_a_failed_row_is_empty_where_there_is_nothing_to_tell(self, spoilt_run: Finished) -> None:
        failed = spoilt_run.table[spoilt_run.table["status"] == "failed"]
        assert len(failed) == 2 * len(BAD)
        told = {column.name for column in RESULT_COLUMNS if failed[column.name].notna().any()}
        assert {"pair_id", "content", "style", "fingerprint", "settings", "seed", "error_type", "error_message"} <= told
        assert {"run_id", "device", "version", "started_at", "finished_at", "seconds_total"} <= told
        assert told.isdisjoint({"output", "file_sha256", "samples_sha256", "duration_s", "loss_curve", *FIGURES})
        missing = failed[failed["error_type"] == "missing"].iloc[0]
        side = missing["pair_id"].split()[0]
        assert pd.isna(missing[f"{side}_identity"])
        other = {"content": "style", "style": "content"}[side]
        assert len(missing[f"{other}_identity"]) == 64

    def test_bad_sounds_of_equal_seed_each_tell_their_own_path(self, tmp_path: Path, finished: Corpus) -> None:
        style = str(finished.folder / "sounds" / "fork.wav")
        rows = [{"pair_id": str(n), "content": f"none{n}.wav", "style": style, "seed": 1} for n in range(3)]
        run = run_all(write_manifest(tmp_path / "pairs.parquet", rows), tmp_path / "out")
        for number in range(3):
            assert f"none{number}.wav" in run.row(str(number))["error_message"]

    def test_a_permanent_failure_is_left_until_retry_failed(
        self, corpus: Corpus, batches: list[int], tmp_path: Path
    ) -> None:
        """Silence lasts: neither tried again, nor forgotten by the table."""
        sound = tmp_path / "silent.wav"
        soundfile.write(sound, np.zeros(6_400), 16_000)
        silent: Row = {"pair_id": "bad", "content": str(sound), "style": "sounds/fork.wav", "mood": "none"}
        write_manifest(corpus.manifest, [*PAIRS, silent])
        assert run_all(corpus.manifest, corpus.root).summary.failed == 1
        committed = parts(corpus.root)
        again = run_all(corpus.manifest, corpus.root)
        assert (again.plan.shards, again.summary.counts["failed_before"]) == ((), 1)
        assert again.summary.failures == {}
        assert again.row("bad")["error_type"] == "silent"
        assert parts(corpus.root) == committed
        retried = run_all(corpus.manifest, corpus.root, options=CPU.model_copy(update={"retry_failed": True}))
        assert (retried.summary.counts["failed"], retried.summary.failed) == (1, 1)
        assert retried.row("bad")["run_id"] == retried.summary.run_id
        assert batches == []
        write_cut(sound, "glass_rub")
        corrected = run_all(corpus.manifest, corpus.root)
        assert (corrected.summary.counts["changed"], corrected.summary.computed, batches) == (1, 1, [1])
        assert corrected.row("bad")["status"] == "succeeded"

    def test_what_failed_transiently_is_tried_again(self, finished: Corpus, tmp_path: Path) -> None:
        (tmp_path / "share").touch()  # a path below a file: the system refuses it, as it does a lost mount
        row: Row = {**PAIRS[1], "content": "share/harp.wav", "style": str(finished.folder / "sounds" / "fork.wav")}
        manifest = write_manifest(tmp_path / "pairs.parquet", [row])
        for _ in range(2):
            run = run_all(manifest, tmp_path / "out")
            assert run.summary.failures == {"storage": 1}
            assert run.summary.failed == 1
            assert str(tmp_path / "share" / "harp.wav") in run.row("harp-fork")["error_message"]
        assert run.summary.counts["failed"] == 1
        (tmp_path / "share").unlink()
        shutil.copytree(finished.folder / "sounds", tmp_path / "share")
        assert run_all(manifest, tmp_path / "out").row("harp-fork")["status"] == "succeeded"

    def test_a_sound_that_comes_between_plan_and_shard_waits_for_the_next_run(
        self, finished: Corpus, tmp_path: Path
    ) -> None:
        """Its bytes are in no fingerprint, and two such sounds must not be taken for one."""
        style = str(finished.folder / "sounds" / "fork.wav")
        rows = [{"pair_id": name, "content": f"{name}.wav", "style": style, "seed": 1} for name in ("harp", "cello")]
        manifest = write_manifest(tmp_path / "pairs.parquet", rows)
        run, plan = begin(manifest, tmp_path / "out")
        for name in ("harp", "cello"):
            write_cut(tmp_path / f"{name}.wav", f"{name}_phrase")
        compute(run, plan)
        first = close_run(run, plan, "completed")
        assert first.failures == {"storage": 2}
        second = run_all(manifest, tmp_path / "out")
        assert second.summary.computed == 2
        assert second.table["samples_sha256"].nunique() == 2
        assert second.table["content_centroid_hz"].nunique() == 2


class TestFormats:
    def test_any_format_rate_and_channels(self, tmp_path: Path) -> None:
        """One sound in many files: every pair succeeds, and all results agree with the first."""
        samples, rate = cut("singing_phrase", 0.5)
        for ending in ("wav", "flac", "ogg", "mp3", "aiff"):
            soundfile.write(tmp_path / f"voice.{ending}", samples, rate)
        soundfile.write(tmp_path / "stereo.wav", np.stack([samples, 0.5 * samples], axis=1), rate)
        for other in (8_000, 16_000, 44_100, 48_000, 96_000):
            positions = np.arange(round(0.5 * other)) / other * rate
            soundfile.write(
                tmp_path / f"rate{other}.flac", np.interp(positions, np.arange(len(samples)), samples), other
            )
        write_cut(tmp_path / "style.wav", "tuning_fork_440", 0.3)
        names = sorted(path.name for path in tmp_path.iterdir() if path.name != "style.wav")
        rows: list[Row] = [{"pair_id": name, "content": name, "style": "style.wav", "seed": 5} for name in names]
        rows += [{"pair_id": f"as style {name}", "content": "style.wav", "style": name} for name in ("voice.mp3",)]
        native = QUICK.model_copy(update={"sample_rate": "native"})
        run = run_all(write_manifest(tmp_path / "pairs.parquet", rows), tmp_path / "out", native)
        assert run.table["error_message"].dropna().tolist() == []
        table = run.table.set_index("pair_id").loc[names]
        own = {f"rate{other}.flac": max(other, 16_000) for other in (8_000, 16_000, 44_100, 48_000, 96_000)}
        assert table["sample_rate"].to_dict() == {name: own.get(name, rate) for name in names}
        assert table["n_channels"].to_dict() == {name: 1 + (name == "stereo.wav") for name in names}
        for row in table.itertuples():
            info = soundfile.info(row.output)
            assert (info.samplerate, info.channels, info.frames) == (row.sample_rate, row.n_channels, row.n_samples)
        np.testing.assert_allclose(table["duration_s"].to_numpy(float), 0.5, atol=0.06)  # mp3 pads
        np.testing.assert_allclose(table["duration_s"].drop("voice.mp3").to_numpy(float), 0.5, atol=1e-3)
        # Linear interpolation and 8 kHz are not the same sound, but nearly.
        centroids = table["content_centroid_hz"].to_numpy(float)
        np.testing.assert_allclose(centroids, centroids[names.index("voice.wav")], rtol=0.15)
        sums = dict(zip(names, table["samples_sha256"], strict=True))
        assert sums["voice.flac"] == sums["voice.wav"] != sums["voice.mp3"]

    def test_the_bounds_of_length(self, finished: Corpus, tmp_path: Path) -> None:
        """0.2 s is long enough, and a style may be longer or shorter than its content."""
        write_cut(tmp_path / "shortest.wav", "harp_phrase", 0.2)
        write_cut(tmp_path / "longer.wav", "flute_phrase", 1.0)
        rows = [
            {"pair_id": "short content", "content": "shortest.wav", "style": "longer.wav"},
            {"pair_id": "short style", "content": "longer.wav", "style": "shortest.wav"},
        ]
        table = run_all(write_manifest(tmp_path / "pairs.parquet", rows), tmp_path / "out").table
        assert table["status"].tolist() == ["succeeded"] * 2
        assert table["n_samples"].tolist() == [3_200, 16_000]


def test_a_run_on_s3_gives_what_a_local_one_does(s3: str, finished: Corpus) -> None:
    files = Storage()
    for sound in (finished.folder / "sounds").iterdir():
        files.create(join(s3, "data/sounds", sound.name), sound.read_bytes())
    bad: Row = {"pair_id": "bad", "content": "sounds/none.wav", "style": "sounds/fork.wav", "mood": "none"}
    manifest = write_manifest(join(s3, "data/pairs.parquet"), [*PAIRS, bad])
    run = run_all(manifest, join(s3, "out"))
    assert run.summary.failures == {"missing": 1}
    good = run.table[run.table["status"] == "succeeded"]
    same = ["pair_id", "fingerprint", "samples_sha256", "file_sha256", "seed", "settings", *FIGURES, "mood"]
    assert good[same].equals(finished.first.table[same])
    for row in good.to_dict("records"):
        assert row["output"].startswith(join(s3, "out/audio/"))
        assert sha256(files.read(row["output"])).hexdigest() == row["file_sha256"]
    before = files.find(join(s3, "out/results"))
    again = run_all(manifest, join(s3, "out"))
    assert (again.plan.shards, again.summary.counts["up_to_date"]) == ((), 5)
    assert files.find(join(s3, "out/results")) == before


def test_a_sound_that_changes_after_planning_waits_for_the_next_run(finished: Corpus, tmp_path: Path) -> None:
    """Its audio would be filed under the old sound's fingerprint, and be found there for good."""
    style = str(finished.folder / "sounds" / "fork.wav")
    write_cut(tmp_path / "sound.wav", "harp_phrase", 0.37)  # no other test's: this process has not met its bytes
    manifest = write_manifest(tmp_path / "pairs.parquet", [{"pair_id": "a", "content": "sound.wav", "style": style}])
    run, plan = begin(manifest, tmp_path / "out")
    write_cut(tmp_path / "sound.wav", "cello_phrase")
    compute(run, plan)
    assert close_run(run, plan, "completed").failures == {"storage": 1}
    assert run_all(manifest, tmp_path / "out").summary.computed == 1


def test_a_sound_replaced_by_one_of_equal_size_and_time_is_noticed(finished: Corpus, tmp_path: Path) -> None:
    """The run that reads it says so, and the next one has corrected what it remembers."""
    style, sound = str(finished.folder / "sounds" / "fork.wav"), tmp_path / "sound.wav"
    write_cut(sound, "harp_phrase", 0.36)  # no other test's: this process has not met its bytes
    rows: list[Row] = [{"pair_id": "done", "content": "sound.wav", "style": style}]
    manifest = write_manifest(tmp_path / "pairs.parquet", rows)
    old = run_all(manifest, tmp_path / "out").row("done")
    before = sound.stat()
    write_cut(sound, "cello_phrase", 0.36)
    os.utime(sound, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sound.stat().st_size == before.st_size
    write_manifest(manifest, [*rows, {"pair_id": "new", "content": "sound.wav", "style": style, "seed": 9}])
    shards._sounds.cache_clear()  # as in another process
    noticed = run_all(manifest, tmp_path / "out")
    assert noticed.summary.failures == {"storage": 1}
    assert "has changed since the run was planned: run again" in noticed.row("new")["error_message"]
    corrected = run_all(manifest, tmp_path / "out")
    assert (corrected.summary.computed, corrected.summary.failed) == (2, 0)
    assert (
        corrected.row("done")["content_identity"] == sha256(sound.read_bytes()).hexdigest() != old["content_identity"]
    )
    assert run_all(manifest, tmp_path / "out").summary.computed == 0


@pytest.mark.parametrize("meanwhile", ["gone", "half written", "a folder"])
def test_a_sound_that_is_away_for_a_moment_is_tried_again(finished: Corpus, tmp_path: Path, meanwhile: str) -> None:
    """Its bytes come back, and with them its fingerprint: a failure for good would stay for good."""
    style = str(finished.folder / "sounds" / "fork.wav")
    sound, aside = tmp_path / "sound.wav", tmp_path / "aside.wav"
    write_cut(sound, "harp_phrase", 0.41 + len(meanwhile) / 1000)  # no other test's: no cache has met its bytes
    manifest = write_manifest(tmp_path / "pairs.parquet", [{"pair_id": "a", "content": "sound.wav", "style": style}])
    run, plan = begin(manifest, tmp_path / "out")
    sound.rename(aside)
    if meanwhile == "half written":
        sound.write_bytes(aside.read_bytes()[:1_000])
    elif meanwhile == "a folder":
        sound.mkdir()
    compute(run, plan)
    assert close_run(run, plan, "completed").failures == {"storage": 1}
    if sound.is_dir():
        sound.rmdir()
    aside.replace(sound)
    assert run_all(manifest, tmp_path / "out").summary.computed == 1


def test_the_users_columns_are_those_of_the_plan(finished: Corpus, tmp_path: Path) -> None:
    """A manifest that is rewritten in another order during a run does not swap them."""
    sounds = finished.folder / "sounds"
    rows = [
        {
            "pair_id": name,
            "content": str(sounds / f"{name}.wav"),
            "style": str(sounds / "fork.wav"),
            "tag": f"of {name}",
        }
        for name in ("harp", "cello")
    ]
    manifest = write_manifest(tmp_path / "pairs.parquet", rows)
    run, plan = begin(manifest, tmp_path / "out")
    write_manifest(tmp_path / "pairs.parquet", rows[::-1])
    compute(run, plan)
    close_run(run, plan, "completed")
    table = read_table(tmp_path / "out")
    assert table["tag"].tolist() == [f"of {pair_id}" for pair_id in table["pair_id"]]


def test_one_process_serves_settings_that_encode_differently(finished: Corpus, tmp_path: Path) -> None:
    """What is kept of a sound under one setting is never taken for what another needs."""
    for bands in (16, 1):
        summary = run_all(finished.manifest, tmp_path / str(bands), QUICK.resolve({"temporal_bands": bands})).summary
        assert (summary.computed, summary.failed) == (5, 0)
    alone = run_all(finished.manifest, tmp_path / "again", QUICK.resolve({"temporal_bands": 1}))
    again = read_table(tmp_path / "1")
    assert alone.table["samples_sha256"].tolist() == again["samples_sha256"].tolist()
