"""Reading manifests: every way to write a good one, and the message for every bad one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import parquet as tables
from manifests.fingerprint import pair_id
from manifests.reading.reader import NORMALISED_SCHEMA, check, read_manifest, user_columns
from manifests.schema import ManifestError
from stylecore.settings import Settings
from tasks.storage.storage import Storage

FILES = Storage()


def validate(row_settings: dict[str, object]) -> None:
    """Stand for the settings' own bounds."""
    for name, value in row_settings.items():
        if value < 0:  # type: ignore[operator]
            raise ValueError(f"{name}={value} < 0")


def read(path: Path | str) -> pa.Table:
    return pa.Table.from_batches(list(read_manifest(str(path), FILES, validate)), schema=NORMALISED_SCHEMA)


def write(path: Path, columns: dict[str, object] | pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path)
    return path


def pairs(count: int = 3, **columns: object) -> dict[str, object]:
    return {"content": [f"c{i}.wav" for i in range(count)], "style": ["s.wav"] * count, **columns}


# What is good


def test_paths_are_resolved_against_the_manifests_folder(tmp_path: Path) -> None:
    columns = {"content": ["a.wav", "../b.wav", "/x/c.wav"], "style": ["s3://bucket/s.wav", "file:///y/s.wav", "s.wav"]}
    table = read(write(tmp_path / "m" / "pairs.parquet", columns))
    assert table["content"].to_pylist() == [f"{tmp_path}/m/a.wav", f"{tmp_path}/b.wav", "/x/c.wav"]
    assert table["style"].to_pylist() == ["s3://bucket/s.wav", "/y/s.wav", f"{tmp_path}/m/s.wav"]
    assert table["row"].to_pylist() == [0, 1, 2]
    assert table["alpha"].null_count == 3


def test_a_copied_manifest_keeps_its_ids(tmp_path: Path) -> None:
    here, there = (read(write(tmp_path / name / "p.parquet", pairs(seed=[1, 2, 3]))) for name in ("here", "there"))
    assert here["pair_id"].equals(there["pair_id"])
    assert not here["content"].equals(there["content"])
    assert here["pair_id"][1].as_py() == pair_id("c1.wav", "s.wav", {"seed": 2})


@pytest.mark.parametrize(
    "text", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_kinds_of_text(tmp_path: Path, text: pa.DataType) -> None:
    columns = {name: pa.array(values).cast(text) for name, values in pairs(pair_id=["x", "y", "z"]).items()}
    assert read(write(tmp_path / "p.parquet", columns))["pair_id"].to_pylist() == ["x", "y", "z"]


@pytest.mark.parametrize(
    "number", [pa.int8(), pa.uint64(), pa.int64(), pa.float32(), pa.float64(), pa.decimal128(25, 2)]
)
def test_kinds_of_numbers(tmp_path: Path, number: pa.DataType) -> None:
    values = pa.array([7, None, 0]).cast(number)
    table = read(write(tmp_path / "p.parquet", pairs(alpha=values, iterations=values)))
    assert table["alpha"].to_pylist() == [7.0, None, 0.0]
    assert table["iterations"].to_pylist() == [7, None, 0]
    assert table["pair_id"][0].as_py() == pair_id("c0.wav", "s.wav", {"alpha": 7, "iterations": 7})


def test_what_pandas_writes(tmp_path: Path) -> None:
    frame = pd.DataFrame(pairs(seed=[1, None, 3], beta=[None] * 3, label=["a", "b", "c"]))
    frame[frame["label"] != "b"].to_parquet(tmp_path / "p.parquet")  # writes its index as a column
    assert read(tmp_path / "p.parquet")["seed"].to_pylist() == [1, 3]
    own = user_columns(str(tmp_path / "p.parquet"), FILES)
    assert own is not None
    assert own.to_pydict() == {"label": ["a", "c"]}


def test_a_folder_is_read_in_order_and_rows_run_on(tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", {"content": ["2.wav"], "style": ["s.wav"], "label": ["two"]})
    write(tmp_path / "a.parquet", {"content": ["0.wav", "1.wav"], "style": ["s.wav"] * 2, "seed": [5, None]})
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "_half.parquet").write_bytes(b"PAR")
    table = read(tmp_path)
    assert table["content"].to_pylist() == [f"{tmp_path}/{i}.wav" for i in range(3)]
    assert table["row"].to_pylist() == [0, 1, 2]
    own = user_columns(str(tmp_path), FILES)
    assert own is not None
    assert own["label"].to_pylist() == [None, None, "two"]


def test_no_user_columns(tmp_path: Path) -> None:
    assert user_columns(str(write(tmp_path / "p.parquet", pairs())), FILES) is None


def test_columns_with_dots_stay_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", pairs(**{"content.note": ["x", "y", "z"]}))
    assert read(path).num_rows == 3
    own = user_columns(str(path), FILES)
    assert own is not None
    assert own.column_names == ["content.note"]


def test_check_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", pairs(4, seed=[1, 1, None, 2], beta=pa.nulls(4), label=list("abcd")))
    assert check(str(path), FILES, validate) == (4, 4, 1, ("label",), ("seed",), ())


def test_row_settings_are_validated_once_per_combination(tmp_path: Path) -> None:
    count = 5000
    path = write(tmp_path / "p.parquet", pairs(count, alpha=np.arange(count) % 3, beta=[None, 2.0] * (count // 2)))
    calls: list[dict[str, object]] = []
    list(read_manifest(str(path), FILES, calls.append))
    assert len(calls) == 6
    assert {"alpha": 1.0} in calls
    assert {"alpha": 1.0, "beta": 2.0} in calls


def test_on_s3(s3: str) -> None:
    uri = f"{s3}/manifests/p.parquet"
    columns = {"content": ["../c.wav"], "style": ["s3://other/s.wav"], "note": ["x"]}
    with FILES.writing(uri) as handle:
        pq.write_table(pa.table(columns), handle)
    assert read(uri)["content"].to_pylist() == [f"{s3}/c.wav"]
    assert read(f"{s3}/manifests")["content"].to_pylist() == [f"{s3}/c.wav"]
    with FILES.writing(uri) as handle:
        pq.write_table(pa.table({**columns, "content": ["/local/c.wav"]}), handle)
    with pytest.raises(ManifestError, match=r"p.parquet: column 'content', row 1: '/local/c.wav' is a local path.*S3"):
        read(uri)


# What is bad: the message names file, column and row, and says what to do

BAD_COLUMNS = [
    ({"content": ["a"]}, r"no column 'style'.*columns are: content"),
    ({"Content": ["a"], "style": ["s"]}, r"no column 'content'. Is it 'Content'\? Then rename that"),
    ({"content": [1], "style": ["s"]}, r"column 'content' has the type int64, not text.*astype\(str\)"),
    (pairs(1, pair_id=[7]), r"column 'pair_id' has the type int64, not text"),
    (pairs(1, alpha=["1"]), r"column 'alpha' has the type string, not a number.*to_numeric"),
    (pairs(1, seed=[True]), r"column 'seed' has the type bool, not a number"),
    (pairs(1, status=["x"]), r"column 'status' is a name of the result table. Rename it"),
    (pairs(1, run_id=["x"]), r"column 'run_id' is a name of the result table"),
    (pa.table([["a"], ["b"], ["c"]], ["content", "content", "style"]), r"column 'content' is there 2 times. Keep one"),
    (pairs(0), r"no rows.*Put at least one pair"),
]

BAD_VALUES = [
    ({"content": ["a", None, None], "style": ["s"] * 3}, "content", 2, "null. Fill it in"),
    (pairs(style=[None] * 3), "style", 1, "null"),
    (pairs(style=["s", "s", " "]), "style", 3, "empty"),
    (pairs(style=["s", "a\0b", "s"]), "style", 2, "control character"),
    (pairs(style=["s", "s", "a\nb"]), "style", 3, "control character"),
    (pairs(content=["a", "b" * 4097, "c"]), "content", 2, "4097 bytes > 4096"),
    (pairs(pair_id=["x", "y" * 10_000, "z"]), "pair_id", 2, "10000 bytes > 4096"),
    (pairs(content=["a", "https://h/a.wav", "b"]), "content", 2, "scheme 'https'. Use a local path, file:// or s3://"),
    (pairs(content=["a", "s3://bucket", "b"]), "content", 2, "is a bucket, not a sound"),
    (pairs(pair_id=["x", None, "z"]), "pair_id", 2, "null"),
    (pairs(pair_id=["x", "", "z"]), "pair_id", 2, "empty"),
    (pairs(pair_id=["x", "y", "a\nb"]), "pair_id", 3, "control character"),
    (pairs(pair_id=["x", "y", "a\x85b"]), "pair_id", 3, "control character"),
    (pairs(pair_id=["x", "y" * 513, "z"]), "pair_id", 2, "513 characters > 512"),
    (pairs(pair_id=["x", "y", "x"]), "pair_id", 3, "'x' .*stands in row 1 already.*different pair_ids"),
    (pairs(content=["a", "b", "b"]), "pair_id", 3, "stands in row 2 already"),
    (pairs(alpha=[1.0, float("nan"), 1.0]), "alpha", 2, "nan is not a finite number"),
    (pairs(delta=[1.0, 1.0, float("-inf")]), "delta", 3, "-inf is not a finite number"),
    (pairs(seed=[1.0, 2.5, 3.0]), "seed", 2, "2.5 is not a whole number"),
    (pairs(seed=[1.0, 2.0, 1e19]), "seed", 3, "not a whole number in 64 bits"),
    (pairs(seed=pa.array([1, 2, 2**63], pa.uint64())), "seed", 3, "Give a smaller number"),
    (pairs(seed=[1, -2, -3], alpha=[1, 1, 1]), "seed", 2, "seed=-2 < 0. Correct the value"),
    (pairs(beta=[1, None, -0.5]), "beta", 3, "beta=-0.5 < 0"),
]


@pytest.mark.parametrize(("columns", "message"), BAD_COLUMNS)
def test_bad_columns(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        read(write(tmp_path / "p.parquet", columns))
    assert str(tmp_path / "p.parquet") in str(caught.value)


@pytest.mark.parametrize(("columns", "column", "row", "problem"), BAD_VALUES)
def test_bad_values(tmp_path: Path, columns: dict[str, object], column: str, row: int, problem: str) -> None:
    with pytest.raises(ManifestError, match=rf"p\.parquet: column '{column}', row {row}: .*{problem}"):
        read(write(tmp_path / "p.parquet", columns))


EXCERPT = r"content_end_s=2.0 <= content_start_s=2.5: an excerpt ends after it begins. Correct the value"

BAD_EXCERPTS = [
    (pairs(content_start_s=[1.0, 2.5, 3.0], content_end_s=[2, 2, None]), {}, "content_start_s", 2, EXCERPT),
    (pairs(strength=[0.5] * 3, content_end_s=[None, None, 2]), {"content_start_s": 2.5}, "content_end_s", 3, EXCERPT),
    (pairs(style_end_s=[1, 0, 1]), {}, "style_end_s", 2, "style_end_s=0.0: input should be greater than 0"),
    (pairs(style_start_s=[1, -0.1, 1]), {}, "style_start_s", 2, "greater than or equal to 0"),
    (pairs(style_start_s=[1, 1, float("nan")]), {}, "style_start_s", 3, "nan is not a finite number"),
    (pairs(style_end_s=[float("inf"), 1, 1]), {}, "style_end_s", 1, "inf is not a finite number"),
]


@pytest.mark.parametrize(("columns", "run", "column", "row", "problem"), BAD_EXCERPTS)
def test_bad_excerpts(
    tmp_path: Path, columns: dict[str, object], run: dict[str, object], column: str, row: int, problem: str
) -> None:
    """The column that is named is one of those to correct, whatever else the row sets."""
    path = write(tmp_path / "p.parquet", columns)
    with pytest.raises(ManifestError, match=rf"p\.parquet: column '{column}', row {row}: .*{problem}"):
        check(str(path), FILES, Settings().resolve(run).resolve)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    raw = pa.array([b"a.wav", b"\xff.wav"])
    broken = pa.StringArray.from_buffers(2, *raw.buffers()[1:])
    with pytest.raises(ManifestError, match=r"column 'content', row 2: not UTF-8"):
        read(write(tmp_path / "p.parquet", {"content": broken, "style": ["s", "s"]}))


def test_a_bad_row_in_a_later_file_and_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 4)
    write(tmp_path / "a.parquet", pairs(10))
    write(tmp_path / "b.parquet", {"content": [f"d{i}" for i in range(10)], "style": ["s"] * 9 + [None]})
    with pytest.raises(ManifestError, match=r"b\.parquet: column 'style', row 20 \(row 10 of this file\): null"):
        read(tmp_path)


def test_duplicates_across_files(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pairs(2, pair_id=["x", "y"]))
    write(tmp_path / "b.parquet", pairs(2, pair_id=["z", "y"]))
    with pytest.raises(ManifestError, match=r"column 'pair_id', row 4: 'y' .*stands in row 2 already"):
        read(tmp_path)


def test_a_doubled_pair_is_named_by_its_sounds(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"content": ["a", "b"], "style": ["s", "s"]})
    write(tmp_path / "b.parquet", {"content": ["b"], "style": ["s"]})
    pair = f"content '{tmp_path}/b' x style '{tmp_path}/s'"
    with pytest.raises(ManifestError, match=rf"row 3: '[0-9a-f]+' \({pair}\) stands in row 2 already\. Take one"):
        read(tmp_path)
    write(tmp_path / "b.parquet", {"content": ["c"], "style": ["s"], "pair_id": ["x"]})
    write(tmp_path / "c.parquet", {"content": ["d"], "style": ["s"], "pair_id": ["x"]})
    with pytest.raises(ManifestError, match=r"row 4: 'x' \(content '.*/d' x .*row 3 already, as content '.*/c' x"):
        read(tmp_path)


def test_files_whose_user_columns_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pairs(1, label=["x"]))
    write(tmp_path / "b.parquet", pairs(1, label=[[1]]))
    with pytest.raises(ManifestError, match=r"do not fit together.*one type"):
        user_columns(str(tmp_path), FILES)


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("content,style\na,b\n")


def _cut_off(path: Path) -> None:
    write(path, pairs(100))
    path.write_bytes(path.read_bytes()[:-20])


def _scratched(path: Path) -> None:
    pq.write_table(pa.table(pairs(100)), path, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[4:400] = b"\xff" * 396
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_empty, _text, _cut_off, _scratched])
def test_not_parquet(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "p.parquet"
    damage(path)
    with pytest.raises(ManifestError, match=rf"{re.escape(str(path))}: .*damaged.*timbreflow manifest build"):
        read(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.parquet", "no such file"), ("", "without any .parquet file"), ("gs://b/p", "scheme 'gs'")],
)
def test_no_manifest(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read(name if "://" in name else tmp_path / name)


def test_trouble_of_the_storage_is_not_blamed_on_the_manifest(tmp_path: Path) -> None:
    class Broken(Storage):
        def open(self, uri: str):
            raise PermissionError(13, "not yours", uri)

    with pytest.raises(PermissionError):
        list(read_manifest(str(write(tmp_path / "p.parquet", pairs())), Broken(), validate))


# Any manifest: good rows come through, and a bad value is found wherever it stands

NUMBERS = st.one_of(st.none(), st.integers(0, 100))
FAULTS: dict[str, list[object]] = {
    "content": [None, "", "ftp://host/a.wav", "s3://bucket"],
    "style": [None, " ", "http://host/a.wav"],
    "pair_id": [None, "", "tab\there", "x" * 600],
    "alpha": [float("nan"), float("inf"), -1.0],
    "seed": [0.5, float("nan"), -3.0],
}


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, list[object]]:
    count = draw(st.integers(1, 40))
    numbers = st.lists(NUMBERS, min_size=count, max_size=count)
    columns: dict[str, list[object]] = {
        "content": [f"c/{draw(st.integers(0, 5))}.wav" for _ in range(count)],
        "style": [draw(st.sampled_from(["s.wav", "/abs/s.wav", "s3://b/s.wav"])) for _ in range(count)],
        "pair_id": [f"pair {row} é" for row in range(count)],
        "alpha": [None if value is None else float(value) for value in draw(numbers)],
        "seed": [None if value is None else float(value) for value in draw(numbers)],
    }
    return columns


def _with_batches_of(rows: int, columns: dict[str, list[object]], act: Callable[[Path], None]) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BATCH_ROWS", rows)
        schema = pa.schema([(name, pa.float64() if name in ("alpha", "seed") else pa.string()) for name in columns])
        path = Path(folder) / "p.parquet"
        pq.write_table(pa.table(columns, schema=schema), path, row_group_size=7)
        act(path)


@given(manifests(), st.integers(1, 50))
def test_any_good_manifest_is_read_whole(columns: dict[str, list[object]], rows: int) -> None:
    def act(path: Path) -> None:
        table = read(path)
        assert table["row"].to_pylist() == list(range(len(columns["content"])))
        for name in ("pair_id", "alpha", "seed"):
            assert table[name].to_pylist() == columns[name]
        assert table["content"].to_pylist() == [f"{path.parent}/{written}" for written in columns["content"]]

    _with_batches_of(rows, columns, act)


@given(manifests(), st.integers(1, 50), st.data())
def test_any_bad_value_is_found_and_named(columns: dict[str, list[object]], rows: int, data: st.DataObject) -> None:
    column = data.draw(st.sampled_from(sorted(FAULTS)))
    row = data.draw(st.integers(0, len(columns["content"]) - 1))
    columns[column][row] = data.draw(st.sampled_from(FAULTS[column]))

    def act(path: Path) -> None:
        with pytest.raises(ManifestError, match=rf"{re.escape(str(path))}: column '{column}', row {row + 1}: .+\. .+"):
            read(path)

    _with_batches_of(rows, columns, act)
