"""Garbage collection: what no table names goes, what a run may need stays, and every moment is safe to be killed in."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from manifests.files import join
from manifests.results.layout import sealed_parts
from tasks.ledger.gc import Garbage, collect
from tasks.ledger.lease import LeaseTaken, holding
from tasks.storage.storage import Storage
from tests.faults.dying_collection import die_at
from tests.faults.report import recorded
from tests.faults.whole_runs import SETTINGS, run_whole
from tests.tasks.corpus import Row, attempts, read_table, write_cut, write_manifest

PAIRS: list[Row] = [
    {"pair_id": f"{content}-{style}", "content": f"sounds/{content}.wav", "style": f"sounds/{style}.wav"}
    for content in ("harp", "cello")
    for style in ("fork", "violin", "glass")
]
NOTHING = Garbage((), False, pa.array([], pa.string()), (), 0, (), (), ())
GONE = PAIRS[4:]
"""Of these no manifest speaks in the end."""

OTHERS = SETTINGS.resolve({"iterations": 7})
"""Settings of the last run; what earlier ones made is garbage."""

CUTS = {
    "harp": "harp_phrase",
    "cello": "cello_phrase",
    "fork": "tuning_fork_440",
    "violin": "violin_sustained",
    "glass": "glass_rub",
}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name, demo in CUTS.items():
        write_cut(folder / "sounds" / f"{name}.wav", demo, 0.3)
    write_manifest(folder / "all.parquet", PAIRS)
    write_manifest(folder / "some.parquet", PAIRS[:4])
    return folder


@pytest.fixture(scope="module")
def used(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output root with garbage: two runs, the second of fewer pairs, and what a kill leaves behind."""
    root = tmp_path_factory.mktemp("used") / "out"
    with_garbage(sounds, str(root))
    return root


@pytest.fixture
def root(used: Path, tmp_path: Path) -> str:
    shutil.copytree(used, tmp_path / "out")
    return str(tmp_path / "out")


def with_garbage(sounds: Path, root: str) -> None:
    run_whole(str(sounds / "all.parquet"), root)
    run_whole(str(sounds / "some.parquet"), root)
    run_whole(str(sounds / "some.parquet"), root, settings=OTHERS)
    orphan = join(root, "audio/ff", f"{'f' * 40}.flac")
    Storage().create(orphan, b"written by a run that was killed before it wrote the row")


def names(root: str, folder: str) -> list[str]:
    return [uri.rpartition("/")[2] for uri in Storage().find(join(root, folder))]


def assert_consistent(root: str) -> None:
    """Assert that no row names a sound that is gone: the next run would take its pair for done."""
    rows = attempts(root)
    succeeded = rows[rows["status"] == "succeeded"]
    assert {f"{name}.flac" for name in succeeded["fingerprint"]} <= set(names(root, "audio"))


def test_what_no_snapshot_names_goes_and_the_rest_stays(root: str) -> None:
    table, audio, runs = read_table(root), set(names(root, "audio")), names(root, "runs")
    garbage = collect(root, keep_days=0)
    assert_consistent(root)
    named = {f"{name}.flac" for name in table["fingerprint"]}
    assert len(named) == 4
    assert set(names(root, "audio")) == named
    assert len(garbage.audio) == len(audio - named) == 7  # six of other settings or pairs, and the orphan
    assert garbage.audio_bytes > 0
    assert [name.partition("-")[0] for name in names(root, "results")] == ["compacted"]
    assert sorted(attempts(root)["fingerprint"]) == sorted(table["fingerprint"])
    pd.testing.assert_frame_equal(read_table(root), table)
    assert names(root, "runs") == runs


def test_what_is_young_stays(root: str) -> None:
    rows, audio, snapshots = attempts(root).astype({"run_id": str}), set(names(root, "audio")), names(root, "snapshots")
    garbage = collect(root, keep_days=30)
    assert [Path(uri).stem for uri in garbage.audio] == ["f" * 40]
    assert set(names(root, "audio")) == audio - {f"{'f' * 40}.flac"}
    assert names(root, "snapshots") == snapshots
    key = ["run_id", "fingerprint"]
    compacted = attempts(root).astype({"run_id": str})
    pd.testing.assert_frame_equal(
        compacted.sort_values(key, ignore_index=True), rows.sort_values(key, ignore_index=True)
    )


def test_a_second_time_there_is_nothing_to_do(root: str) -> None:
    collect(root, keep_days=0)
    before = {path: path.read_bytes() for path in Path(root).rglob("*.*") if path.is_file()}
    assert collect(root, keep_days=0) == NOTHING
    del before[Path(root, "lease.json")]
    assert {path: path.read_bytes() for path in before} == before


def test_a_dry_run_says_the_same_and_touches_nothing(root: str) -> None:
    before = {path: path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}
    told = collect(root, keep_days=0, dry_run=True)
    assert {path: path.read_bytes() for path in Path(root).rglob("*") if path.is_file()} == before
    assert told == collect(root, keep_days=0)


def test_the_next_run_computes_what_went_and_nothing_else(root: str, sounds: Path) -> None:
    collect(root, keep_days=0)
    again = run_whole(str(sounds / "some.parquet"), root, settings=OTHERS)
    assert (again.computed, again.counts["up_to_date"]) == (0, 4)
    earlier = run_whole(str(sounds / "all.parquet"), root)
    assert (earlier.computed, earlier.failed) == (6, 0)
    assert_consistent(root)


def test_all_rows_are_one_table_before_and_after(root: str) -> None:
    """What the documentation tells users to do with the whole history."""
    before = pd.read_parquet(Path(root, "results"))
    collect(root, keep_days=30)
    after = pd.read_parquet(Path(root, "results"))
    key = ["run_id", "fingerprint"]
    same = [name for name in before.columns if name != "run_id"]
    before, after = (table.astype({"run_id": str}).sort_values(key, ignore_index=True) for table in (before, after))
    pd.testing.assert_frame_equal(after[same], before[same])
    assert after["run_id"].tolist() == before["run_id"].tolist()


def test_what_a_snapshot_names_stays_even_if_its_row_is_lost(root: str) -> None:
    for part in Path(root, "results").rglob("*.parquet"):
        part.unlink()
    table = read_table(root)
    assert len(collect(root, keep_days=0).audio) == 7
    assert set(names(root, "audio")) == {f"{name}.flac" for name in table["fingerprint"]}


def test_half_written_files_go_once_they_are_old(root: str) -> None:
    young, old = Path(root, "audio/.timbreflow-young"), Path(root, "audio/.timbreflow-old")
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert collect(root, keep_days=30).half_written == (str(old),)
    assert young.exists()
    assert not old.exists()


def test_what_others_put_among_the_audio_stays(root: str) -> None:
    notes = Path(root, "audio", "notes.flac")
    notes.write_bytes(b"mine")
    collect(root, keep_days=0)
    assert notes.read_bytes() == b"mine"


def test_a_run_at_work_is_left_alone(root: str) -> None:
    before = {path: path.read_bytes() for path in Path(root).rglob("*.*") if path.is_file()}
    assert before
    with holding(Storage(), root, "a run at work"), pytest.raises(LeaseTaken, match="a run at work"):
        collect(root, keep_days=0)
    assert {path: path.read_bytes() for path in before} == before


def test_without_a_table_nothing_goes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing says what is needed"):
        collect(str(tmp_path / "nothing"), keep_days=0)


def test_on_s3(s3: str, used: Path) -> None:
    root = join(s3, "out")
    for path in filter(Path.is_file, used.rglob("*")):
        Storage().create(join(root, str(path.relative_to(used))), path.read_bytes())
    table = read_table(root)
    assert len(collect(root, keep_days=0).audio) == 7
    assert_consistent(root)
    assert set(names(root, "audio")) == {f"{name}.flac" for name in table["fingerprint"]}
    assert len(names(root, "results")) == 1


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    """Return what starts processes that have imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([die_at.__module__])
    return context


def deaths(root: str, deeds: Sequence[int], server: ForkServerContext) -> Iterator[int]:
    """Collect in processes that are killed at different deeds, one after the other on the same root."""
    for deed in deeds:
        process = server.Process(target=die_at, args=(root, deed, deed % 2 == 0))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        yield deed


@pytest.mark.parametrize("deeds", [[deed] for deed in range(1, 12)] + [[2, 2, 3, 4, 5]], ids=str)
def test_killed_at_any_moment(root: str, deeds: list[int], server: ForkServerContext, used: Path) -> None:
    with recorded("kill -9 in a garbage collection", times=len(deeds)) as record:
        table = read_table(root)
        for _ in deaths(root, deeds, server):
            assert_consistent(root)
            pd.testing.assert_frame_equal(read_table(root), table)
        collect(root, keep_days=0)
        assert_consistent(root)
        record.lost = len(set(table["fingerprint"]) - set(attempts(root)["fingerprint"]))
        record.doubled = int(attempts(root)["fingerprint"].duplicated().sum())
        assert (record.lost, record.doubled) == (0, 0)
        assert set(names(root, "audio")) == {f"{name}.flac" for name in table["fingerprint"]}
        left = Storage().find(f"{root}/results")
        assert len(set(left) - sealed_parts(Storage(), root, left)) == 1
