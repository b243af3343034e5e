"""Columns that stand in the names of folders."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from manifests.files import join
from manifests.reading.reader import check, read_manifest, user_columns
from manifests.schema import ManifestError
from tasks.storage.storage import Storage

FILES = Storage()
Columns = dict[str, list[object]]


def accept(row_settings: dict[str, object]) -> None:
    """Take any row settings."""


def write(root: str, parts: dict[str, Columns | None]) -> str:
    """Write files of one pair each, below a folder; None stands for a content named after its place, and a style."""
    for number, (name, columns) in enumerate(parts.items()):
        with FILES.writing(join(root, name, "p.parquet")) as sink:
            pq.write_table(pa.table(columns or {"content": [f"{number}.wav"], "style": ["s.wav"]}), sink)
    return root


def own(root: str) -> dict[str, list[object]]:
    table = user_columns(root, FILES)
    assert table is not None
    return table.to_pydict()


def rows(root: str) -> list[dict[str, object]]:
    return [row for batch in read_manifest(root, FILES, accept) for row in batch.to_pylist()]


def test_own_columns_ride_along(anywhere: str) -> None:
    root = write(anywhere, {"genre=glass/fold=1": None, "genre=metal/fold=2": None})
    assert own(root) == {"genre": ["glass", "metal"], "fold": [1, 2]}
    assert [row["content"] for row in rows(root)] == [join(root, "0.wav"), join(root, "1.wav")]


def test_settings_and_sounds_are_set(anywhere: str) -> None:
    named = {"content": ["a.wav"]}
    root = write(anywhere, {"alpha=10/seed=7/style=snd%2Fc.wav": named, "alpha=2.5/seed=8/style=%C3%BC%20d.wav": named})
    first, second = rows(root)
    assert (first["alpha"], first["seed"], first["style"]) == (10.0, 7, join(root, "snd/c.wav"))
    assert (second["alpha"], second["seed"], second["style"]) == (2.5, 8, join(root, "ü d.wav"))
    assert first["pair_id"] != second["pair_id"]


def test_what_pyarrow_writes_is_read_back(tmp_path: Path) -> None:
    table = pa.table(
        {"content": ["a", "b", "c"], "style": ["s"] * 3, "alpha": [1.0, 20.5, None], "x y": ["p q", "=", "ü"]}
    )
    flavour = ds.partitioning(pa.schema([table.schema.field("alpha"), table.schema.field("x y")]), flavor="hive")
    ds.write_dataset(table, tmp_path, format="parquet", partitioning=flavour)
    assert sorted((Path(row["content"]).name, row["alpha"]) for row in rows(str(tmp_path))) == [  # type: ignore[type-var]
        ("a", 1.0),
        ("b", 20.5),
        ("c", None),
    ]
    assert sorted(own(str(tmp_path))["x y"]) == ["=", "p q", "ü"]  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["007", "010"], ["007", "010"]),
        (["7", "-3"], [7, -3]),
        (["7", "__HIVE_DEFAULT_PARTITION__"], [7, None]),
        (["7", ""], [7, None]),
        (["0.5", "1"], [0.5, 1.0]),
        (["1.10", "1.2"], ["1.10", "1.2"]),
        (["1e400", "1"], ["1e400", "1"]),
        (["2026-01-02", "x=y"], ["2026-01-02", "x=y"]),
        (["99999999999999999999", "1"], ["99999999999999999999", "1"]),
        (["a+b", "a%2Bb"], ["a+b", "a+b"]),
    ],
)
def test_own_values_are_numbers_only_where_nothing_is_lost(
    tmp_path: Path, values: list[str], expected: list[object]
) -> None:
    root = write(str(tmp_path), {f"{number}/_id={value}": None for number, value in enumerate(values)})
    assert own(root) == {"_id": expected}


def test_a_file_outside_the_partition_has_null(tmp_path: Path) -> None:
    assert own(write(str(tmp_path), {"g=1": None, "h": None})) == {"g": [1, None]}


def test_all_that_a_pair_needs_may_stand_in_folders(tmp_path: Path) -> None:
    root = write(
        str(tmp_path), {"content=a.wav/style=s.wav": {"note": ["x"]}, "content=b.wav/style=s.wav": {"note": ["y"]}}
    )
    assert [Path(str(row["content"])).name for row in rows(root)] == ["a.wav", "b.wav"]
    assert own(root) == {"note": ["x", "y"]}


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("g=a", {"content": ["a"], "style": ["s"], "g": ["a"]}, "column 'g' stands in the file, and in the name"),
        ("alpha=1", {"content": ["a"], "style": ["s"], "alpha": [1.0]}, "column 'alpha' stands in the file"),
        ("g=a/x/g=b", None, "two folders above it give the column 'g'. Rename one"),
        ("alpha=loud", None, "column 'alpha': the folder's name gives 'loud', not a number. Rename the folder"),
        ("seed=0.5", None, "column 'seed', row 1: 0.5 is not a whole number"),
        ("Alpha=1", None, "column 'Alpha' sets nothing: it differs from 'alpha'"),
        ("status=x", None, "column 'status' is a name of the result table"),
        ("g=%ff", None, "the name of a folder above it is not UTF-8. Rename the folder"),
        ("g%0A=1", None, "has some that cannot be printed. Rename it"),
        ("style=__HIVE_DEFAULT_PARTITION__", {"content": ["a"]}, "column 'style', row 1: null"),
        ("style=s/content=a", {"tags": [["x"]]}, "no column of plain values. Write content and style into the file"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, columns: Columns | None, message: str) -> None:
    root = write(str(tmp_path), {name: columns})
    with pytest.raises(ManifestError, match=message) as caught:
        check(root, FILES, accept)
    assert f"{name}/p.parquet" in str(caught.value)


def test_a_partition_that_is_named_itself_says_that_it_gives_nothing(tmp_path: Path) -> None:
    root = write(str(tmp_path), {"alpha=10/g=x": None, "alpha=10/style=c": {"content": ["a"]}})
    for manifest in ("alpha=10/g=x", "alpha=10/g=x/p.parquet"):
        (note,) = check(join(root, manifest), FILES, accept).notes
        assert "the name 'alpha=10/g=x' gives no column. If it should, give the folder above" in note
    with pytest.raises(ManifestError, match=r"no column 'style'. The folder 'style=...' gives it if the folder above"):
        check(join(root, "alpha=10/style=c"), FILES, accept)
