"""Snapshots of many rows: sorted by way of the disk, whatever the rows are cut into."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.results import external_sort as sorting
from manifests.results import history, snapshots
from manifests.results import planned_history as outcomes
from manifests.results.external_sort import sorting as sorted_rows
from manifests.results.layout import latest_uri, snapshot_uri, write_part
from manifests.results.snapshots import write_snapshot
from tasks.storage.storage import Storage, StorageError
from tests.manifests.result_rows import plan_of, succeeded

FILES = Storage()
NUMBERS = pa.schema([("number", pa.int64()), ("losses", pa.list_(pa.float64()))])


def numbers(values: list[int]) -> pa.Table:
    return pa.table({"number": values, "losses": [[value / 2] for value in values]}, schema=NUMBERS)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(order=st.permutations(range(20)), cuts=st.lists(st.integers(0, 20), max_size=4), bucket=st.integers(1, 25))
def test_rows_come_in_any_order_and_leave_sorted(
    monkeypatch: pytest.MonkeyPatch, order: list[int], cuts: list[int], bucket: int
) -> None:
    monkeypatch.setattr(sorting, "BUCKET_ROWS", bucket)
    with sorted_rows(NUMBERS, len(order)) as sorter:
        for rows in np.split(np.array(order), sorted(cuts)):
            sorter.add(numbers([-1, *rows.tolist()]), 1 + np.arange(len(rows)), rows)
        tables = list(sorter.tables())
    assert pa.concat_tables(tables).equals(numbers(list(range(20))))
    assert max(table.num_rows for table in tables) <= bucket


def test_many_rows_need_few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "BUCKET_ROWS", 1)
    monkeypatch.setattr(sorting, "MOST_BUCKETS", 3)
    with sorted_rows(NUMBERS, 10) as sorter:
        sorter.add(numbers(list(range(10))), np.arange(10), np.arange(10))
        assert [table.num_rows for table in sorter.tables()] == [4, 4, 2]


def test_a_snapshot_of_many_pieces_is_that_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    names = [f"pair-{number}" for number in generator.permutation(40)]
    root = str(tmp_path)
    for shard in range(8):
        rows = [succeeded(name, evaluations=shard) for name in names[5 * shard : 5 * shard + 7]]
        write_part(FILES, root, "r1", shard, rows)
    plan = plan_of([*sorted(names), "none"]).append_column("own", pa.array(range(41)))
    user = plan.select(["own"])
    encoded = plan.set_column(1, "content", plan["content"].dictionary_encode()).drop_columns(["own"])
    written = []
    for module, name, rows_of_piece in (
        (outcomes, "HISTORY_ROWS", 3),
        (snapshots, "WIDE_ROWS", 4),
        (sorting, "BUCKET_ROWS", 5),
    ):
        assert write_snapshot(FILES, root, "r1", encoded, user) == 40
        written.append(pq.ParquetFile(latest_uri(root)).read())
        monkeypatch.setattr(module, name, rows_of_piece)
    assert write_snapshot(FILES, root, "r1", encoded.take(generator.permutation(41)), user) == 40
    written.append(pq.ParquetFile(latest_uri(root)).read())
    assert all(table.equals(written[0]) for table in written)
    assert written[0]["pair_id"].to_pylist() == sorted(names)
    assert written[0]["own"].to_pylist() == list(range(40))
    newest = {name: index // 5 for index, name in enumerate(names)}
    assert all(
        row["evaluations"] in (newest[row["pair_id"]], newest[row["pair_id"]] - 1) for row in written[0].to_pylist()
    )
    assert pq.ParquetFile(latest_uri(root)).num_row_groups == 8


def test_memory_follows_the_ids_and_not_the_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_AHEAD", 1)
    monkeypatch.setattr(snapshots, "WIDE_ROWS", 100)
    monkeypatch.setattr(sorting, "BUCKET_ROWS", 100)
    high_water = []
    for parts in (4, 24):  # with four, what is read ahead is there already
        root = str(tmp_path / str(parts))
        for shard in range(parts):
            rows = [succeeded(f"{shard}-{row}", error_message=f"{shard}{row}" * 500) for row in range(100)]
            write_part(FILES, root, "r1", shard, [{**row, "loss_curve": [0.5] * 200} for row in rows])
        plan = plan_of([f"{shard}-{row}" for row in range(100) for shard in range(parts)])
        default = pa.default_memory_pool()
        pool = pa.proxy_memory_pool(default)
        pa.set_memory_pool(pool)
        try:
            assert write_snapshot(FILES, root, "r1", plan, None) == 100 * parts
        finally:
            pa.set_memory_pool(default)
        high_water.append(pool.max_memory())
    assert high_water[1] < 2 * high_water[0]


def test_a_snapshot_that_is_ended_leaves_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps its error, as the state of a run does, would keep the thread that reads the next rows."""
    monkeypatch.setattr(sorting, "BUCKET_ROWS", 10)
    names, calls = [f"{row}" for row in range(40)], []
    write_part(FILES, str(tmp_path), "r1", 0, [succeeded(name) for name in names])
    write_snapshot(FILES, str(tmp_path), "r1", plan_of(names), None, go_on=lambda: calls.append("one more"))
    before_the_last = iter(calls[:-2])

    def end_while_it_is_written() -> None:
        if next(before_the_last, None) is None:
            raise RuntimeError

    threads = set(threading.enumerate())
    with pytest.raises(RuntimeError) as kept:
        write_snapshot(FILES, str(tmp_path), "r1", plan_of(names), None, go_on=end_while_it_is_written)
    assert kept.value is not None
    assert set(threading.enumerate()) <= threads


def test_a_run_that_is_taken_over_while_it_writes_leaves_the_table_alone(tmp_path: Path) -> None:
    """Writing may take minutes; who has lost its lease meanwhile finds out before anything appears."""
    root = str(tmp_path)
    write_part(FILES, root, "r1", 0, [succeeded("a"), succeeded("b")])
    write_snapshot(FILES, root, "r1", plan_of(["a", "b"]), None)
    before = Path(latest_uri(root)).read_bytes()

    def taken_over() -> None:
        raise StorageError("taken over")

    with pytest.raises(StorageError, match="taken over"):
        write_snapshot(FILES, root, "r2", plan_of(["a"]), None, taken_over)
    assert Path(latest_uri(root)).read_bytes() == before
    assert not Path(snapshot_uri(root, "r2")).exists()
