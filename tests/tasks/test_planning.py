"""Planning: what a run does with each pair, and that nothing which should not decide a result does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.fingerprint import fingerprint
from manifests.results.layout import audio_uri, write_part
from manifests.schema import ManifestError
from stylecore.settings import CORE_VERSION, Settings
from stylecore.weights import Weights, shipped
from tasks.audio.catalog import memo_uri
from tasks.devices.choice import shards_at_a_time
from tasks.options import RunOptions
from tasks.planning import plan as planning
from tasks.planning import plan_table
from tasks.planning.plan import USUAL_EVALUATIONS, Plan, make_plan, plan_run
from tasks.planning.plan_table import PLAN_SCHEMA, read_shard
from tasks.planning.preview import preview_run
from tasks.storage.storage import Storage
from tests.tasks import corpus
from tests.tasks.corpus import CPU, QUICK, Row, read, watch_opened, write_cut, write_manifest

SOUNDS = {"harp": "harp_phrase", "cello": "cello_phrase", "drums": "drum_loop", "fork": "tuning_fork_440"}
ROWS: list[Row] = [
    {"content": f"sounds/{content}.wav", "style": f"sounds/{style}.wav"}
    for content in ("harp", "cello", "drums")
    for style in ("fork", "harp")
    if content != style
]


@pytest.fixture
def files() -> Storage:
    return Storage()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with four short sounds, of 0.3 to 0.6 s."""
    for number, (name, demo) in enumerate(SOUNDS.items()):
        write_cut(tmp_path / "data" / "sounds" / f"{name}.wav", demo, 0.3 + 0.1 * number)
    return tmp_path / "data"


@pytest.fixture
def manifest(folder: Path) -> str:
    return write_manifest(folder / "pairs.parquet", ROWS)


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "out")


def planned(
    manifest: str, root: str, settings: Settings = QUICK, options: RunOptions = CPU
) -> tuple[list[dict[str, Any]], Plan]:
    """Plan without writing; the rows in the order of the manifest."""
    rows, plan = corpus.planned(manifest, root, settings, options)
    return sorted(map(dict, rows), key=itemgetter("row")), plan


def batches(manifest: str, root: str, batch_size: int = 2) -> list[list[str]]:
    """Plan a run and return the pairs of its first shard, batch by batch, as the shard reads them."""
    plan = plan_run(read(manifest), root, QUICK, CPU, "run")
    return [
        [str(pair["pair_id"]) for pair in batch]
        for batch in read_shard(plan.uri, plan.shards[0], Storage(), batch_size)
    ]


def settle(
    root: str,
    rows: Sequence[Row],
    status: str,
    error_type: str | None = None,
    run_id: str = "earlier",
    **more: float,
) -> None:
    """Commit rows for planned pairs, as a run that ended with this status would have; audio of one byte each."""
    for row in rows if status == "succeeded" else ():
        with Storage().writing(audio_uri(root, row["fingerprint"])) as sink:
            sink.write(b"f")
    names = ("pair_id", "content", "style", "fingerprint")
    told = {"status": status, "error_type": error_type, "finished_at": datetime.now(UTC), **more}
    write_part(Storage(), root, run_id, 0, [{**{name: row[name] for name in names}, **told} for row in rows])


def counted(plan: Plan) -> dict[str, int]:
    """Return the counts that are not zero."""
    return {name: count for name, count in asdict(plan.counts).items() if count}


class TestActions:
    def test_on_an_empty_root_everything_is_new(self, manifest: str, root: str) -> None:
        rows, plan = planned(manifest, root)
        assert counted(plan) == {"new": 5}
        assert plan.counts.pending == 5
        assert plan.pending_audio_s == pytest.approx(0.3 + 2 * 0.4 + 2 * 0.5, abs=1e-3)
        assert set(plan.shards) == {row["shard"] for row in rows}
        assert plan.seconds_per_second is None

    def test_what_succeeded_is_up_to_date(self, manifest: str, root: str) -> None:
        rows, _ = planned(manifest, root)
        settle(root, rows[:3], "succeeded")
        again, plan = planned(manifest, root)
        assert [row["action"] for row in again] == ["up_to_date"] * 3 + ["new"] * 2
        settle(root, rows[3:], "succeeded", run_id="later")
        _, plan = planned(manifest, root)
        assert counted(plan) == {"up_to_date": 5}
        assert (plan.shards, plan.counts.pending, plan.pending_audio_s) == ((), 0, 0.0)

    @pytest.mark.parametrize("error_type", ["storage", "out_of_memory"])
    def test_a_transient_failure_is_tried_again(self, manifest: str, root: str, error_type: str) -> None:
        settle(root, planned(manifest, root)[0], "failed", error_type)
        assert counted(planned(manifest, root)[1]) == {"failed": 5}

    @pytest.mark.parametrize("error_type", ["not_audio", "silent", "diverged", "internal"])
    def test_a_permanent_failure_waits_for_retry_failed(self, manifest: str, root: str, error_type: str) -> None:
        settle(root, planned(manifest, root)[0], "failed", error_type)
        assert counted(planned(manifest, root)[1]) == {"failed_before": 5}
        retry = CPU.model_copy(update={"retry_failed": True})
        assert counted(planned(manifest, root, QUICK, retry)[1]) == {"failed": 5}

    def test_retry_failed_leaves_what_succeeded(self, manifest: str, root: str) -> None:
        rows, _ = planned(manifest, root)
        settle(root, rows, "failed", "diverged")
        settle(root, rows[:4], "succeeded", run_id="later")
        retry = CPU.model_copy(update={"retry_failed": True})
        assert counted(planned(manifest, root, QUICK, retry)[1]) == {"up_to_date": 4, "failed": 1}

    def test_a_changed_setting_changes_every_pair_and_back(self, manifest: str, root: str) -> None:
        settle(root, planned(manifest, root)[0], "succeeded")
        other = QUICK.resolve({"beta": QUICK.beta + 1})
        assert counted(planned(manifest, root, other)[1]) == {"changed": 5}
        assert counted(planned(manifest, root)[1]) == {"up_to_date": 5}

    def test_a_changed_sound_changes_its_pairs_alone(self, manifest: str, root: str, folder: Path) -> None:
        settle(root, planned(manifest, root)[0], "succeeded")
        write_cut(folder / "sounds" / "fork.wav", "glass_rub")
        rows, plan = planned(manifest, root)
        assert counted(plan) == {"changed": 3, "up_to_date": 2}
        assert {row["style"] for row in rows if row["action"] == "changed"} == {str(folder / "sounds" / "fork.wav")}

    @pytest.mark.parametrize("part", ["read_weights", "CORE_VERSION"])
    def test_another_network_or_core_changes_every_pair(
        self, manifest: str, root: str, monkeypatch: pytest.MonkeyPatch, part: str
    ) -> None:
        settle(root, planned(manifest, root)[0], "succeeded")
        module = planning if part == "read_weights" else plan_table
        monkeypatch.setattr(module, part, {"read_weights": lambda *_: Weights("another"), "CORE_VERSION": -1}[part])
        assert counted(planned(manifest, root)[1]) == {"changed": 5}

    def test_options_change_nothing(self, manifest: str, root: str) -> None:
        settle(root, planned(manifest, root)[0], "succeeded")
        options = RunOptions(device="cpu", batch_size=1, threads=2, workers=3, shard_audio_s=1, target_cache_mib=0)
        assert counted(planned(manifest, root, QUICK, options)[1]) == {"up_to_date": 5}

    def test_a_sound_that_comes_late_makes_its_pairs_changed(self, manifest: str, root: str, folder: Path) -> None:
        sound = folder / "sounds" / "cello.wav"
        kept = sound.read_bytes()
        sound.unlink()
        rows, plan = planned(manifest, root)
        assert counted(plan) == {"new": 5}
        settle(root, [row for row in rows if row["content"] != str(sound)], "succeeded")
        settle(root, [row for row in rows if row["content"] == str(sound)], "failed", "missing", "later")
        assert counted(planned(manifest, root)[1]) == {"up_to_date": 3, "failed_before": 2}
        sound.write_bytes(kept)
        assert counted(planned(manifest, root)[1]) == {"up_to_date": 3, "changed": 2}

    def test_equal_pairs_are_computed_once(self, root: str, folder: Path) -> None:
        shutil.copy(folder / "sounds" / "harp.wav", folder / "sounds" / "copy.wav")
        row = {"content": "sounds/harp.wav", "style": "sounds/fork.wav", "seed": 7}
        manifest = write_manifest(
            folder / "twins.parquet",
            [
                {**row, "pair_id": "one"},
                {**row, "pair_id": "same"},
                {**row, "pair_id": "copied", "content": "sounds/copy.wav"},
                {**row, "pair_id": "other seed", "seed": 8},
            ],
        )
        rows, plan = planned(manifest, root)
        assert counted(plan) == {"new": 2, "same_as_another": 2}
        one, same, copied, other = (row["fingerprint"] for row in rows)
        assert one == same == copied != other
        settle(root, [row for row in rows if row["action"] == "new"], "succeeded")
        assert counted(planned(manifest, root)[1]) == {"up_to_date": 4}

    def test_pairs_of_different_unreadable_sounds_are_not_equal(self, root: str, folder: Path) -> None:
        """Each must fail with the path of its own sound, though seed and settings are equal."""
        row = {"style": "sounds/fork.wav", "seed": 7}
        manifest = write_manifest(
            folder / "missing.parquet", [{**row, "content": f"sounds/missing{number}.wav"} for number in range(3)]
        )
        rows, plan = planned(manifest, root)
        assert counted(plan) == {"new": 3}
        assert len({row["fingerprint"] for row in rows}) == 3
        assert [row["content_identity"] for row in rows] == [None] * 3

    def test_a_limit_counts_what_is_computed(self, manifest: str, root: str) -> None:
        limited = CPU.model_copy(update={"limit": 2})
        rows, plan = planned(manifest, root, QUICK, limited)
        assert counted(plan) == {"new": 2, "beyond_limit": 3}
        assert plan.counts.pending == 2
        settle(root, [row for row in rows if row["action"] == "new"], "succeeded")
        _, plan = planned(manifest, root, QUICK, limited)
        assert counted(plan) == {"up_to_date": 2, "new": 2, "beyond_limit": 1}


class TestIdentity:
    def test_slices_share_out_the_shards_and_count_the_rest_as_others(self, root: str, folder: Path) -> None:
        pair = {"content": "sounds/drums.wav", "style": "sounds/fork.wav"}
        rows = [{"pair_id": str(seed), **pair, "seed": seed} for seed in range(5)]
        manifest = write_manifest(folder / "five.parquet", [*rows, {"pair_id": "twin", **pair, "seed": 0}])
        one_each = CPU.model_copy(update={"batch_size": 1, "shard_audio_s": 1.0})
        whole = planned(manifest, root, QUICK, one_each)[1]
        plans = [
            planned(manifest, root, QUICK, one_each.model_copy(update={"shards": name}))[1]
            for name in ("0/3", "1/3", "2/3")
        ]
        assert [shard for plan in plans for shard in plan.shards] == list(whole.shards)
        assert all(plan.shards for plan in plans)
        for plan in plans:
            assert plan.counts.other_shards == 5 - plan.counts.new
            assert plan.counts.same_as_another == 1

    def test_a_limit_is_that_of_the_slice(self, manifest: str, root: str) -> None:
        options = CPU.model_copy(update={"batch_size": 1, "shard_audio_s": 1.0, "shards": "1/2", "limit": 1})
        counts = planned(manifest, root, QUICK, options)[1].counts
        assert counts.new == 1
        assert counts.other_shards > 0

    def test_a_manifest_copied_elsewhere_keeps_ids_seeds_and_fingerprints(
        self, manifest: str, root: str, folder: Path, tmp_path: Path
    ) -> None:
        (folder / "sounds" / "cello.wav").unlink()
        shutil.copytree(folder, tmp_path / "elsewhere")
        here, _ = planned(manifest, root)
        there, _ = planned(str(tmp_path / "elsewhere" / "pairs.parquet"), str(tmp_path / "other"))
        for name in ("pair_id", "settings", "fingerprint", "shard"):
            assert [row[name] for row in here] == [row[name] for row in there]
        assert {row["content"] for row in here}.isdisjoint(row["content"] for row in there)

    def test_the_order_of_the_rows_decides_nothing(self, manifest: str, root: str, folder: Path) -> None:
        backwards = write_manifest(folder / "backwards.parquet", ROWS[::-1])
        names = ("pair_id", "settings", "fingerprint", "shard")
        one = {tuple(row[name] for name in names) for row in planned(manifest, root)[0]}
        assert one == {tuple(row[name] for name in names) for row in planned(backwards, root)[0]}

    def test_every_pair_draws_its_own_seed_from_the_runs(self, manifest: str, root: str) -> None:
        def seeds(settings: Settings) -> list[int]:
            return [json.loads(row["settings"])["seed"] for row in planned(manifest, root, settings)[0]]

        assert len(set(seeds(QUICK))) == 5
        assert seeds(QUICK) == seeds(QUICK)
        assert set(seeds(QUICK)).isdisjoint(seeds(QUICK.resolve({"seed": 1})))

    def test_a_row_puts_its_own_settings_over_the_runs(self, root: str, folder: Path) -> None:
        own: dict[str, float] = {"strength": 0.5, "alpha": 3, "beta": 0.5, "gamma": 0, "delta": 2.5, "iterations": 9}
        own |= {"seed": 42}
        rows: list[Row] = [{**ROWS[0], **own}, {**ROWS[1], "alpha": 3}, dict(ROWS[2])]
        plain, partly, unset = (
            json.loads(row["settings"]) for row in planned(write_manifest(folder / "own.parquet", rows), root)[0]
        )
        assert {name: plain[name] for name in own} == own
        assert partly["alpha"] == 3
        expected = json.loads(QUICK.canonical_json())
        assert {**partly, "alpha": QUICK.alpha, "seed": 0} == {**unset, "seed": 0} == expected

    def test_a_row_that_spells_the_runs_settings_out_has_its_sound(self, root: str, folder: Path) -> None:
        rows: list[Row] = [
            {**ROWS[0], "pair_id": "spelled", "seed": 7, "alpha": QUICK.alpha, "iterations": QUICK.iterations},
            {**ROWS[0], "pair_id": "unset", "seed": 7, "alpha": None, "iterations": None},
        ]
        assert counted(planned(write_manifest(folder / "own.parquet", rows), root)[1]) == {
            "new": 1,
            "same_as_another": 1,
        }


class TestShards:
    def test_shards_do_not_depend_on_what_is_skipped(self, manifest: str, root: str) -> None:
        options = CPU.model_copy(update={"shard_audio_s": 1})
        before, _ = planned(manifest, root, QUICK, options)
        assert len({row["shard"] for row in before}) > 1
        settle(root, before[1:4], "succeeded")
        after, plan = planned(manifest, root, QUICK, options)
        limited, _ = planned(manifest, root, QUICK, options.model_copy(update={"limit": 1}))
        for rows in (after, limited):
            assert [row["shard"] for row in rows] == [row["shard"] for row in before]
        assert plan.shards == tuple(sorted({before[0]["shard"], before[4]["shard"]}))

    def test_batches_do_not_depend_on_what_is_skipped(self, root: str, folder: Path) -> None:
        pair = {"content": "sounds/drums.wav", "style": "sounds/fork.wav"}
        manifest = write_manifest(folder / "six.parquet", [{**pair, "pair_id": f"p{seed}"} for seed in range(6)])
        assert batches(manifest, root) == [["p0", "p1"], ["p2", "p3"], ["p4", "p5"]]
        settle(root, [row for row in planned(manifest, root)[0] if row["pair_id"] in ("p1", "p2", "p3")], "succeeded")
        assert batches(manifest, root) == [["p0"], ["p4", "p5"]]

    def test_unreadable_sounds_leave_the_batches_of_the_others_together(
        self, manifest: str, root: str, folder: Path
    ) -> None:
        bad: list[Row] = [{"content": f"sounds/no{number}.wav", "style": "sounds/fork.wav"} for number in range(39)]
        longer = write_manifest(folder / "longer.parquet", [*ROWS, *bad])
        together = {frozenset(batch) for batch in batches(longer, root)}
        assert {frozenset(batch) for batch in batches(manifest, root)} <= together


class TestWriting:
    def test_a_plan_is_written_whole_with_the_memo(self, manifest: str, root: str, files: Storage) -> None:
        plan = plan_run(read(manifest), root, QUICK, CPU, "run-a")
        with files.open(plan.uri) as source:
            written = pq.read_table(source)
        table, made = make_plan(read(manifest), root, QUICK, CPU, files)
        assert written.equals(pa.concat_tables(table.rows()))
        assert plan == replace(made, uri=plan.uri)
        assert files.find(root) == sorted([plan.uri, memo_uri(root)])

    def test_the_first_run_reads_each_sound_once_and_the_second_none(
        self, manifest: str, root: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = watch_opened(monkeypatch)
        first = plan_run(read(manifest), root, QUICK, CPU, "run-a")
        sounds = {str(path) for path in (folder / "sounds").iterdir()}
        assert sorted(uri for uri in opened if uri in sounds) == sorted(sounds), "once each, whatever their pairs"
        opened.clear()
        second = plan_run(read(manifest), root, QUICK, CPU, "run-b")
        assert opened != []
        assert sounds.isdisjoint(opened)
        assert second.counts == first.counts

    def test_planning_and_previewing_write_nothing(self, manifest: str, root: str) -> None:
        planned(manifest, root)
        preview_run(manifest, root, QUICK, CPU)
        assert not Path(root).exists()

    def test_row_settings_are_checked_together_with_the_runs(self, folder: Path) -> None:
        manifest = write_manifest(folder / "bad.parquet", [{**ROWS[0], "alpha": 0.0}])
        only_content = QUICK.resolve({"beta": 0, "gamma": 0, "delta": 0})
        with pytest.raises(ManifestError, match="alpha"):
            read(manifest, only_content)


class TestPreview:
    def test_it_counts_as_a_run_would(self, manifest: str, root: str) -> None:
        rows, _ = planned(manifest, root)
        settle(root, rows[:1], "succeeded")
        settle(root, rows[1:2], "failed", "silent", "later")
        preview = preview_run(manifest, root, QUICK, CPU)
        assert {name: count for name, count in preview.counts.items() if count} == {
            "up_to_date": 1,
            "failed_before": 1,
            "new": 3,
        }
        assert preview.seconds > 0
        assert "noise" in preview.basis

    def test_it_counts_sounds_that_cannot_be_read_and_their_pairs(self, root: str, folder: Path) -> None:
        gone = [{"content": f"sounds/gone-{number}.wav", "style": "sounds/fork.wav"} for number in range(4)]
        folders = [{"content": "sounds/harp.wav", "style": "sounds"}, {"content": "sounds", "style": "sounds"}]
        written = write_manifest(folder / "m.parquet", [*ROWS, *gone, *folders])
        missing, is_folder = sorted(preview_run(written, root, QUICK, CPU).notes, reverse=True)
        names = ", ".join(f"{folder}/sounds/gone-{number}.wav" for number in range(3))
        assert missing == f"4 sounds of 4 pairs cannot be read, missing (the sound does not exist): {names}, ..."
        assert is_folder.startswith("1 sound of 1 pair cannot be read, is_folder (")  # as a style it is its sounds

    def test_results_so_far_are_the_better_estimate(self, manifest: str, root: str) -> None:
        rows, _ = planned(manifest, root)
        settle(root, rows[:1], "succeeded", duration_s=0.5, sample_rate=16_000, seconds_total=3.0)
        options = CPU.model_copy(update={"workers": 2})
        preview = preview_run(manifest, root, QUICK, options)
        assert shards_at_a_time(options) == 2
        assert preview.seconds == pytest.approx(6.0 * preview.pending_audio_s / 2)
        assert preview.pending_audio_s == pytest.approx(sum(row["duration_s"] for row in rows[1:]))
        assert "results" in preview.basis

    def test_an_up_to_date_root_takes_no_time(self, manifest: str, root: str) -> None:
        settle(root, planned(manifest, root)[0], "succeeded")
        assert preview_run(manifest, root, QUICK, CPU).seconds == 0

    def test_paths_may_be_relative(self, manifest: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder.parent)
        assert preview_run("data/pairs.parquet", "out", QUICK, CPU).counts["new"] == 5


def test_a_plan_holds_what_a_shard_needs(manifest: str, root: str) -> None:
    made, _ = make_plan(read(manifest), root, QUICK, CPU, Storage())
    rows, plan = planned(manifest, root)
    assert set(rows[0]) == set(PLAN_SCHEMA.names)
    for row in rows:
        for side in ("content", "style"):
            assert row[f"{side}_identity"] == made.sounds.of(side)[row[side]].identity
        settings = Settings.model_validate_json(row["settings"])
        assert settings == QUICK.resolve({"seed": row["seed"]})
        assert row["settings"] == settings.canonical_json()
        identities = row["content_identity"], row["style_identity"]
        assert row["fingerprint"] == fingerprint(*identities, row["settings"], shipped().digest, CORE_VERSION)
    written = plan_run(read(manifest), root, QUICK, CPU, "run")
    shards = [read_shard(written.uri, shard, Storage(), 4) for shard in plan.shards]
    pairs = [{name: pair[name] for name in PLAN_SCHEMA.names} for parts in shards for pair in chain(*parts)]
    assert sorted(pairs, key=itemgetter("row")) == rows


def test_settings_that_ask_for_more_work_make_smaller_shards(root: str, folder: Path) -> None:
    rows: list[Row] = [{**ROWS[0], "pair_id": f"p{number}"} for number in range(40)]
    hard: list[Row] = [{**row, "iterations": 10 * USUAL_EVALUATIONS} for row in rows]
    usual, harder = (
        len(planned(write_manifest(folder / "m.parquet", given), root)[1].shards) for given in (rows, hard)
    )
    assert (usual, harder) == (2, 20)


def test_a_manifest_whose_pairs_all_have_settings_of_their_own(root: str, folder: Path) -> None:
    rows: list[Row] = [{**ROWS[number % 5], "alpha": 1 + number / 8, "seed": number} for number in range(30)]
    pairs, _ = planned(write_manifest(folder / "m.parquet", rows), root)
    for pair, row in zip(pairs, rows, strict=True):
        expected = QUICK.resolve({"alpha": row["alpha"], "seed": row["seed"]}).canonical_json()
        assert pair["settings"] == expected
        identities = pair["content_identity"], pair["style_identity"]
        assert pair["fingerprint"] == fingerprint(*identities, expected, shipped().digest, CORE_VERSION)
