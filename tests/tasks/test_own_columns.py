"""The user's own columns, from the manifest to the results: of the same type, with the same values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.building.builder import build_from_csv
from manifests.reading.reader import check, user_columns
from manifests.schema import RESULT_COLUMNS, ManifestError
from stylecore.settings import Settings
from tasks.ledger.close import close_run
from tasks.storage.storage import Storage
from tests.tasks.corpus import begin, compute

FILES = Storage()
INNER = pa.struct([("name", pa.string()), ("scores", pa.list_(pa.float32()))])
NEVER_NULL = pa.struct([pa.field("take", pa.int16(), nullable=False)])
VIEW, BYTES_VIEW = pa.string_view(), pa.binary_view()
LONG = "a text that is too long to stand in the view itself"
MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999)

COLUMNS: dict[str, pa.Array] = {
    "list": pa.array([["a", None], None, []], pa.list_(pa.string())),
    "large list": pa.array([[2**40], None, [None]], pa.large_list(pa.int64())),
    "list of two": pa.array([[1.5, None], None, [float("nan"), -0.0]], pa.list_(pa.float32(), 2)),
    "list of structs": pa.array([[{"name": "x", "scores": [1.0]}], None, [None, {"name": None}]], pa.list_(INNER)),
    "list view": pa.array([[1], None, []], pa.list_view(pa.int8())),
    "struct": pa.array([{"name": "é", "scores": []}, None, {"name": None, "scores": None}], INNER),
    "struct of what is never null": pa.array([{"take": 1}, None, {"take": 3}], NEVER_NULL),
    "map": pa.array([[("k", 1), ("l", None)], None, []], pa.map_(pa.string(), pa.int32())),
    "map of lists": pa.array([[("k", [dt.date(2020, 1, 1)])], None, []], pa.map_(pa.string(), pa.list_(pa.date32()))),
    "category": pa.DictionaryArray.from_arrays(pa.array([1, None, 1], pa.int8()), pa.array(["unused", "used"])),
    "ordered category": pa.DictionaryArray.from_arrays(pa.array([0, None, 1]), pa.array(["lo", "hi"]), ordered=True),
    "list of categories": pa.ListArray.from_arrays(pa.array([0, 1, 1, 2]), pa.array(["a", "b"]).dictionary_encode()),
    **{f"time in {zone}": pa.array([MOMENT, None, MOMENT], pa.timestamp("us", zone)) for zone in ("UTC", "Asia/Tokyo")},
    "time with an offset": pa.array([1, None, -1], pa.int64()).cast(pa.timestamp("ns", "+05:30")),
    "time in ms": pa.array([MOMENT.replace(microsecond=0), None, None], pa.timestamp("ms")),
    "length of time": pa.array([dt.timedelta(seconds=1), None, None], pa.duration("ms")),
    "time of day": pa.array([dt.time(1, 2, 3), None, None], pa.time64("us")),
    "decimal": pa.array([Decimal("-12345678901234567890.12"), None, Decimal("0.00")], pa.decimal128(30, 2)),
    "large decimal": pa.array([Decimal(10) ** 50, None, Decimal(1)], pa.decimal256(60, 2)),
    "text": pa.array(["tabs\tand\nlines", None, ""], pa.string()),
    "large text": pa.array([LONG, None, ""], pa.large_string()),
    "text view": pa.array([LONG, None, ""], VIEW),
    "list of text views": pa.array([[LONG, None], None, []], pa.list_(VIEW)),
    "map of views": pa.array([[(LONG, b"\xff")], None, []], pa.map_(VIEW, BYTES_VIEW)),
    "bytes": pa.array([b"\x00\xff", None, b""], pa.binary()),
    "large bytes": pa.array([b"\x00\xff", None, b""], pa.large_binary()),
    "bytes view": pa.array([LONG.encode(), None, b""], BYTES_VIEW),
    "three bytes": pa.array([b"abc", None, b"\0\0\0"], pa.binary(3)),
    "unsigned": pa.array([2**64 - 1, None, 2**53 + 1], pa.uint64()),
    "half": pa.array([np.float16(1.5), None, np.float16("nan")], pa.float16()),
    "double": pa.array([0.1, None, float("nan")], pa.float64()),
    "truth": pa.array([True, None, False]),
    "nothing": pa.nulls(3),
    "a.name.with.dots": pa.array(["x", None, "y"]),
    "Mood": pa.array(["x", None, "y"]),
}


def pairs(first: int, rows: int) -> pa.Table:
    """Return pairs of sounds that are not there: their rows are failed ones, and nothing is computed."""
    return pa.table({"content": [f"{row}.wav" for row in range(first, first + rows)], "style": ["s.wav"] * rows})


def with_columns(table: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    """Return a table with more columns."""
    return pa.table([*table.columns, *columns.values()], names=[*table.column_names, *columns])


def own(manifest: Path, root: Path) -> pa.Table:
    """Run a manifest, and return what its results have beside those columns that all results have."""
    run, plan = begin(str(manifest), root)
    compute(run, plan)
    close_run(run, plan, "completed")
    results = pq.read_table(root / "results.parquet")
    return results.drop_columns([column.name for column in RESULT_COLUMNS])


def spelled(column: pa.Array | pa.ChunkedArray) -> str:
    """Return the values of a column as they compare: NaN is not equal to itself."""
    return repr(column.to_pylist())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, pa.Table]:
    """Return a manifest of all kinds of columns as Parquet reads it, and the own columns of its results."""
    folder = tmp_path_factory.mktemp("own")
    pq.write_table(with_columns(pairs(0, 3), COLUMNS), folder / "pairs.parquet")
    return pq.read_table(folder / "pairs.parquet"), own(folder / "pairs.parquet", folder / "out")


@pytest.fixture(scope="module")
def in_parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, pa.Table]:
    """Return the same of a manifest in three files, of which the last has a column of its folder and no other."""
    folder = tmp_path_factory.mktemp("parts")
    (folder / "m" / "take=7").mkdir(parents=True)
    for number, (first, end) in enumerate([(0, 2), (2, 3)]):
        columns = {name: column.slice(first, end - first) for name, column in COLUMNS.items()}
        pq.write_table(
            with_columns(pairs(first, end - first), columns), folder / "m" / f"{number}.parquet", row_group_size=1
        )
    pq.write_table(pairs(3, 1), folder / "m" / "take=7" / "2.parquet")
    return pq.read_table(folder / "m" / "0.parquet"), own(folder / "m", folder / "out")


class TestParquet:
    @pytest.mark.parametrize("name", COLUMNS)
    def test_a_column_comes_out_as_it_went_in(self, whole: tuple[pa.Table, pa.Table], name: str) -> None:
        manifest, results = whole
        assert results.schema.field(name).equals(manifest.schema.field(name), check_metadata=True)
        assert spelled(results[name]) == spelled(manifest[name]) == spelled(COLUMNS[name])

    def test_columns_stand_in_their_order_behind_those_of_the_results(self, whole: tuple[pa.Table, pa.Table]) -> None:
        assert whole[1].column_names == list(COLUMNS)

    @pytest.mark.parametrize("name", COLUMNS)
    def test_so_it_does_from_several_files(self, in_parts: tuple[pa.Table, pa.Table], name: str) -> None:
        """And is null where a file lacks it."""
        first, results = in_parts
        kind = pa.struct([("take", pa.int16())]) if name == "struct of what is never null" else first[name].type
        assert results[name].type == kind
        assert spelled(results[name].slice(0, 3)) == spelled(COLUMNS[name])
        assert results[name][3].as_py() is None

    def test_a_column_of_a_folder_is_null_elsewhere(self, in_parts: tuple[pa.Table, pa.Table]) -> None:
        assert in_parts[1]["take"].to_pylist() == [None, None, None, 7]


def joined(folder: Path, one: pa.Array, other: pa.Array) -> pa.ChunkedArray:
    """Return what becomes of a column that two files of a folder have."""
    for number, column in enumerate((one, other)):
        pq.write_table(with_columns(pairs(number, 1), {"own": column}), folder / f"{number}.parquet")
    table = user_columns(str(folder), FILES)
    assert table is not None
    return table["own"]


class TestFilesThatDiffer:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (pa.array([1], pa.int8()), pa.array([2**40])),
            (pa.array([7]), pa.array([0.5])),
            (pa.array(["a"]), pa.array([None], pa.large_string())),
            (pa.nulls(1), pa.array([["a"]])),
            (pa.array([{"a": 1}]), pa.array([{"a": 2**40}], pa.struct([("a", pa.uint64())]))),
            (pa.array([Decimal("1.5")], pa.decimal128(3, 1)), pa.array([Decimal("-2.25")], pa.decimal128(30, 2))),
            (pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()),
        ],
    )
    def test_values_stay_where_a_larger_type_holds_them(self, tmp_path: Path, one: pa.Array, other: pa.Array) -> None:
        assert joined(tmp_path, one, other).to_pylist() == [one[0].as_py(), other[0].as_py()]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (pa.array([2**53 + 1]), pa.array([0.5])),
            (pa.array([2**64 - 1], pa.uint64()), pa.array([-1])),
            (pa.array([Decimal("12345678901234567890.12")]), pa.array([0.5])),
            (pa.array([[Decimal("0.1")]]), pa.array([[0.5]])),
            (pa.array([MOMENT], pa.timestamp("us", "UTC")), pa.array([MOMENT], pa.timestamp("us"))),
            (pa.array(["a"]), pa.array([1])),
        ],
    )
    def test_what_would_change_them_is_refused(self, tmp_path: Path, one: pa.Array, other: pa.Array) -> None:
        with pytest.raises(ManifestError, match=r"(together|'own').*one type"):
            joined(tmp_path, one, other)

    def test_a_column_that_is_never_null_is_so_where_a_file_lacks_it(self, tmp_path: Path) -> None:
        schema = pa.schema([("content", pa.string()), ("style", pa.string()), pa.field("own", NEVER_NULL, False)])
        pq.write_table(pa.table([["a.wav"], ["s.wav"], [{"take": 1}]], schema=schema), tmp_path / "0.parquet")
        pq.write_table(pairs(0, 1), tmp_path / "1.parquet")
        table = user_columns(str(tmp_path), FILES)
        assert table is not None
        pq.write_table(table, tmp_path / "out")
        assert pq.read_table(tmp_path / "out")["own"].to_pylist() == [{"take": 1}, None]

    def test_what_arrow_cannot_take_along_is_refused_before_anything_is_computed(self, tmp_path: Path) -> None:
        column = pa.array([["a"]], pa.list_view(VIEW))
        pq.write_table(with_columns(pairs(0, 1), {"own": column}), tmp_path / "m.parquet")
        with pytest.raises(ManifestError, match=r"list_view.*Leave it out"):
            check(str(tmp_path / "m.parquet"), FILES, Settings().resolve)


def test_a_column_of_a_csv_stays_as_it_is_written(tmp_path: Path) -> None:
    texts = ["007", "1e3", " padded ", "NaN", "", "True", "2024-01-02", "a,b;c", 'say "so"', "two\nlines", "-0.0"]
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    lines = [f"{number}.wav,s.wav,{text}" for number, text in enumerate(quoted)]
    (tmp_path / "pairs.csv").write_text("\n".join(["content,style,own", *lines]), encoding="utf-8")
    build_from_csv(str(tmp_path / "pairs.csv"), str(tmp_path / "pairs.parquet"), FILES)
    found = own(tmp_path / "pairs.parquet", tmp_path / "out")["own"]
    assert (found.type, found.to_pylist()) == (pa.string(), texts)
