"""Parts, history and snapshots."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.results import history
from manifests.results import layout as results
from manifests.results.compaction import compact
from manifests.results.snapshots import write_snapshot
from manifests.schema import RESULT_SCHEMA, VERSION_KEY, ManifestError
from tasks.storage.storage import Storage, StorageConflict

FILES = Storage()
START = datetime(2026, 1, 1, tzinfo=UTC)


def row(fingerprint: str, minute: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "pair_id": f"pair-{fingerprint}",
        "content": "/old/c.wav",
        "style": "/old/s.wav",
        "status": "succeeded",
        "fingerprint": fingerprint,
        "output": f"/old/audio/{fingerprint[:2]}/{fingerprint}.flac",
        "finished_at": START + timedelta(minutes=minute),
        **values,
    }


def failed(fingerprint: str, minute: int = 0, **values: Any) -> dict[str, Any]:
    return row(
        fingerprint, minute, status="failed", error_type="silent", error_message="/old/c.wav is silent", **values
    )


def plan(fingerprints: list[str], rows: list[int] | None = None) -> pa.Table:
    return pa.table(
        {
            "pair_id": [f"plan-{i}" for i in range(len(fingerprints))],
            "content": [f"/new/{i}.wav" for i in range(len(fingerprints))],
            "style": ["/new/s.wav"] * len(fingerprints),
            "fingerprint": pa.array(fingerprints, pa.string()),
            "row": pa.array(rows if rows is not None else range(len(fingerprints)), pa.int64()),
        }
    )


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "output")


def test_layout() -> None:
    assert results.part_uri("s3://b/out", "r1", 3) == "s3://b/out/results/run_id=r1/part-00003.parquet"
    assert results.audio_uri("/out", "abcd") == "/out/audio/ab/abcd.flac"
    assert results.snapshot_uri("/out", "r1") == "/out/snapshots/r1.parquet"
    assert results.latest_uri("/out") == "/out/results.parquet"
    assert results.record_uri("/out", "r1") == "/out/runs/r1.json"


def test_a_part_has_every_column_and_null_for_what_is_not_finite(root: str) -> None:
    figures: dict[str, Any] = {
        "timbre_transfer": math.nan,
        "pitch_kept": np.float32(0.5),
        "loss_curve": [2.0, math.inf],
    }
    uri = results.write_part(FILES, root, "r1", 0, [row("a", **figures)])
    table = pq.ParquetFile(uri).read()
    assert table.schema.equals(history.PART_SCHEMA)
    assert table.schema.metadata == RESULT_SCHEMA.metadata
    (written,) = table.to_pylist()
    assert (written["run_id"], written["shard"]) == ("r1", 0)
    assert (written["timbre_transfer"], written["pitch_kept"], written["loss_curve"]) == (None, 0.5, [2.0, None])


def test_a_part_is_written_once(root: str) -> None:
    uri = results.write_part(FILES, root, "r1", 0, [row("a")])
    before = Path(uri).read_bytes()
    with pytest.raises(FileExistsError):
        results.write_part(FILES, root, "r1", 0, [row("b")])
    assert Path(uri).read_bytes() == before


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("a", colour="red"), "column 'colour', row 1: not in RESULT_COLUMNS"),
        (row("a", style=None), "column 'style', row 1: not given"),
        (row(""), "column 'fingerprint', row 1: not given"),
        (row("a", status="done"), "column 'status', row 1: 'done'. Use succeeded or failed"),
        (row("a", error_type="silent"), "'silent' for a succeeded pair"),
        (row("a", status="failed", error_type="tired"), "'tired' for a failed pair"),
        (row("a", status="failed"), "None for a failed pair"),
        (row("a", evaluations="many"), "column 'evaluations': .*Give it as int32"),
        (row("a", output=7), "column 'output': .*Give it as string"),
    ],
)
def test_bad_rows_are_refused_and_nothing_is_written(root: str, bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        results.write_part(FILES, root, "r1", 0, [row("x"), bad])
    assert FILES.find(root) == []


def test_no_rows(root: str) -> None:
    with pytest.raises(ManifestError, match="no rows"):
        results.write_part(FILES, root, "r1", 0, [])


def read_history(root: str, *columns: str) -> list[dict[str, Any]]:
    """Return the row that counts of each fingerprint."""
    wanted = ("fingerprint", "status", "error_type", "finished_at", *columns)
    rows: list[dict[str, Any]] = history.winners(history.read_rows(FILES, root, wanted)).to_pylist()
    return rows


def test_history_of_nothing(root: str) -> None:
    assert list(history.stream_rows(FILES, history.part_uris(FILES, root), ["fingerprint"], 9)) == []
    assert history.read_rows(FILES, root, ["fingerprint", "evaluations"]).column_names[1] == "evaluations"
    assert read_history(root) == []


def test_history_streams_in_the_order_of_the_names(root: str) -> None:
    for number in (3, 1, 2, 0):
        results.write_part(FILES, root, "r1", number, [row(f"{number}{letter}") for letter in "ab"])
    compact(FILES, root, "c", history.part_uris(FILES, root)[:3], pa.array(["1b"]))
    tables = list(history.stream_rows(FILES, history.part_uris(FILES, root), ["fingerprint"], 4))
    read = [name for table in tables for name in table["fingerprint"].to_pylist()]
    assert read == ["0a", "0b", "1a", "2a", "2b", "3a", "3b"]
    assert [table.num_rows for table in tables] == [4, 3]
    assert len(history.listed_parts(FILES, root)) == 5  # those that the first one stands for are still there


def test_a_sealed_part_is_never_committed_and_a_committed_one_stays(root: str) -> None:
    results.seal_part(FILES, results.part_uri(root, "r1", 0))
    with pytest.raises(FileExistsError):
        results.write_part(FILES, root, "r1", 0, [row("a")])
    results.write_part(FILES, root, "r1", 1, [row("b")])
    results.seal_part(FILES, results.part_uri(root, "r1", 1))
    assert [one["fingerprint"] for one in read_history(root)] == ["b"]


def test_of_two_snapshots_the_one_begun_before_a_newer_one_was_written_is_refused(root: str) -> None:
    """Its writer was paused: what it puts together may be older than what is there."""
    results.write_part(FILES, root, "r1", 0, [row("a")])

    def overtaken() -> None:
        results.write_part(FILES, root, "r2", 0, [row("b")])
        write_snapshot(FILES, root, "r2", plan(["a", "b"]), None)

    with pytest.raises(StorageConflict):
        write_snapshot(FILES, root, "r1", plan(["a", "b"]), None, overtaken)
    assert pd.read_parquet(f"{root}/results.parquet")["fingerprint"].tolist() == ["a", "b"]
    assert not FILES.exists(results.snapshot_uri(root, "r1"))


def test_succeeded_wins_then_the_newest(root: str) -> None:
    results.write_part(FILES, root, "r2", 0, [failed("a", 9, seconds_total=1.0), failed("b", 9, seconds_total=2.0)])
    results.write_part(FILES, root, "r1", 0, [row("a", 1, seconds_total=3.0), failed("b", 1, seconds_total=4.0)])
    results.write_part(FILES, root, "r1", 1, [row("c", finished_at=None)])
    read = read_history(root, "seconds_total")
    assert [(r["fingerprint"], r["status"], r["seconds_total"]) for r in read] == [
        ("a", "succeeded", 3.0),
        ("b", "failed", 2.0),
        ("c", "succeeded", None),
    ]
    assert read[1]["error_type"] == "silent"


def test_snapshot_has_the_plans_names_and_order(root: str) -> None:
    results.write_part(FILES, root, "r1", 0, [row("a"), failed("b"), row("z")])
    user = pa.table({"label": ["zero", "one", "two", "three"], "row": [10, 11, 12, 13]})
    assert write_snapshot(FILES, root, "r9", plan(["b", "missing", "a", "a"], [3, 2, 1, 0]), user) == 3
    frame = pd.read_parquet(f"{root}/results.parquet")
    assert frame["fingerprint"].tolist() == ["a", "a", "b"]
    assert frame["pair_id"].tolist() == ["plan-3", "plan-2", "plan-0"]
    assert frame["content"].tolist() == ["/new/3.wav", "/new/2.wav", "/new/0.wav"]
    assert frame["label"].tolist() == ["zero", "one", "three"]
    assert frame["row"].tolist() == [10, 11, 13]
    assert frame["run_id"].tolist() == ["r1"] * 3
    assert frame["output"].tolist()[:2] == [results.audio_uri(root, "a")] * 2
    assert frame["output"].isna().tolist() == [False, False, True]
    snapshot = pq.ParquetFile(results.snapshot_uri(root, "r9")).read()
    assert snapshot.equals(pq.ParquetFile(results.latest_uri(root)).read())
    assert snapshot.schema.metadata[VERSION_KEY] == b"2"
    assert snapshot.column_names == [*RESULT_SCHEMA.names, "label", "row"]


def test_snapshot_before_anything_is_computed(root: str) -> None:
    assert write_snapshot(FILES, root, "r1", plan(["a"]), None) == 0
    assert pd.read_parquet(f"{root}/results.parquet").empty


def test_snapshot_of_a_moved_root_names_the_audio_where_it_is_now(root: str, tmp_path: Path) -> None:
    results.write_part(FILES, root, "r1", 0, [row("abc", output=results.audio_uri(root, "abc"))])
    moved = tmp_path / "moved"
    Path(root).rename(moved)
    write_snapshot(FILES, str(moved), "r2", plan(["abc"]), None)
    assert pd.read_parquet(moved / "results.parquet")["output"].tolist() == [f"{moved}/audio/ab/abc.flac"]


def test_a_manifest_that_shrank_is_noticed(root: str) -> None:
    results.write_part(FILES, root, "r1", 0, [row("a")])
    with pytest.raises(ManifestError, match="row 5 was planned, but the manifest has only 1 rows now"):
        write_snapshot(FILES, root, "r1", plan(["a"], [5]), pa.table({"label": ["x"]}))


def _store(root: str, table: pa.Table) -> None:
    path = Path(results.part_uri(root, "r1", 0))
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)


def test_a_part_of_a_newer_version(root: str) -> None:
    _store(root, pa.table({"fingerprint": ["a"]}).replace_schema_metadata({VERSION_KEY: b"3"}))
    with pytest.raises(ManifestError, match=r"part-00000.parquet: schema version 3 > 2.*Upgrade"):
        read_history(root)


def test_a_part_without_the_newest_columns_is_read(root: str) -> None:
    older = {"fingerprint": ["a"], "pair_id": ["p"], "status": ["succeeded"], "finished_at": [START]}
    _store(root, pa.table(older).replace_schema_metadata({VERSION_KEY: b"1"}))
    assert [found["evaluations"] for found in read_history(root, "evaluations")] == [None]
    assert write_snapshot(FILES, root, "r2", plan(["a"]), None) == 1
    assert pd.read_parquet(results.latest_uri(root))["status"].tolist() == ["succeeded"]


def test_a_figure_that_meant_something_else_is_null(root: str) -> None:
    older = {
        "fingerprint": ["a"],
        "pair_id": ["p"],
        "status": ["succeeded"],
        "finished_at": [START],
        "timbre_transfer": [0.5],
        "texture_transfer": [0.5],
    }
    _store(root, pa.table(older).replace_schema_metadata({VERSION_KEY: b"1"}))
    results.write_part(FILES, root, "r2", 0, [row("b", timbre_transfer=0.25, texture_transfer=0.25)])
    found = {one["fingerprint"]: one for one in read_history(root, "timbre_transfer", "texture_transfer")}
    assert [found[name]["timbre_transfer"] for name in "ab"] == [0.5, 0.25]
    assert [found[name]["texture_transfer"] for name in "ab"] == [None, 0.25]


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"PAR1", "Delete this file"), (None, "not a result of timbreflow")],
    ids=["damaged", "foreign"],
)
def test_what_is_no_part(root: str, data: bytes | None, message: str) -> None:
    _store(root, pa.table({"x": [1]}))
    if data is not None:
        Path(results.part_uri(root, "r1", 0)).write_bytes(data)
    with pytest.raises(ManifestError, match=message):
        read_history(root)


def test_on_s3(s3: str) -> None:
    root = f"{s3}/output"
    results.write_part(FILES, root, "r1", 0, [row("a")])
    with pytest.raises(FileExistsError):
        results.write_part(FILES, root, "r1", 0, [row("a")])
    assert [found["fingerprint"] for found in read_history(root)] == ["a"]
    write_snapshot(FILES, root, "r1", plan(["a"]), None)
    with FILES.open(results.latest_uri(root)) as handle:
        assert pq.read_table(handle)["output"].to_pylist() == [results.audio_uri(root, "a")]


@pytest.mark.parametrize(("rows", "read"), [(1, 33), (10, 11), (100, 2), (1_000, 2)])
def test_the_larger_parts_are_the_fewer_are_read_ahead(monkeypatch: pytest.MonkeyPatch, rows: int, read: int) -> None:
    begun: list[str] = []

    def read_part(_: object, uri: str, wanted: pa.Schema) -> pa.Table:
        begun.append(uri)
        return pa.table({"number": range(rows)}, schema=wanted)

    monkeypatch.setattr(history, "read_part", read_part)
    schema = pa.schema([("number", pa.int64())])
    tables = history.read_ahead(FILES, map(str, range(100)), schema, 100)
    assert next(tables).num_rows == rows
    tables.close()  # waits for what was begun
    assert len(begun) == read
