"""Manifests made to harm: tables of absurd size in small files, paths that lead elsewhere, and damage of every kind.

What could take the memory of the machine, or end the process, is done in a process of its own, whose peak is measured.
"""

from __future__ import annotations

import io
import json
import os
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import decompression_guard as swelling
from manifests import parquet as tables
from manifests.reading.reader import check, read_manifest, user_columns
from manifests.schema import MANIFEST_COLUMNS, ManifestError
from stylecore.settings import Settings
from tasks.audio.sound_files import AudioError, read_sound
from tasks.storage.storage import Storage
from tests.manifests.parquet_bytes import empty_group, file_of, footer_of

FILES = Storage()
MEMORY_BOUND_BYTES = 600 << 20
"""Peak of a process that reads a manifest below: the libraries and a good small manifest take 100 MB."""

CHECK = """
import json, sys
from pathlib import Path
from manifests.reading.reader import check
from manifests.schema import ManifestError
from tasks.storage.local_files import LocalFiles
outcomes = []
for path in sys.argv[1:]:
    try:
        outcomes.append(check(path, LocalFiles(), lambda row: None).pairs)
    except ManifestError as error:
        assert path in str(error)
        outcomes.append(str(error))
status = Path("/proc/self/status")  # what getrusage says counts the process that started this one
peak = int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 if status.exists() else 0
print(json.dumps([outcomes, peak]))
"""


def checked_apart(*paths: Path) -> tuple[list[int | str], int]:
    """Check manifests in a process of its own; return number of pairs or message of each, and the peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    outcomes, peak_bytes = json.loads(done.stdout)
    return outcomes, peak_bytes


def refused_apart(path: Path) -> str:
    """Return the message that refuses a manifest, within bounded memory."""
    (outcome,), peak_bytes = checked_apart(path)
    assert isinstance(outcome, str)
    assert peak_bytes < MEMORY_BOUND_BYTES
    return outcome


def repeated(value: str, rows: int) -> pa.DictionaryArray:
    """Return a column of one text, which a Parquet file stores once."""
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([value]))


def write(path: Path, columns: dict[str, object]) -> Path:
    pq.write_table(pa.table(columns), path, store_schema=False)
    return path


# Tables of absurd size


def test_columns_without_number_are_refused(tmp_path: Path) -> None:
    names = [b"content", b"style", *(b"%d" % number for number in range(100_000))]
    path = tmp_path / "m.parquet"
    path.write_bytes(file_of(footer_of(names)))
    assert path.stat().st_size < 4 << 20
    assert "100002 columns > 1000. Keep those" in refused_apart(path)


def test_a_thousand_columns_are_allowed_and_one_more_is_not(tmp_path: Path) -> None:
    columns = {"content": ["a"], "style": ["b"], **{f"c{number}": [number] for number in range(998)}}
    assert check(str(write(tmp_path / "m.parquet", columns)), FILES, lambda row: None).pairs == 1
    with pytest.raises(ManifestError, match=r"m\.parquet: 1001 columns > 1000"):
        check(str(write(tmp_path / "m.parquet", {**columns, "more": [1]})), FILES, lambda row: None)


@pytest.mark.parametrize("claimed_bytes", [None, 2**32 - 1])
def test_a_footer_that_would_fill_the_memory_is_not_parsed(tmp_path: Path, claimed_bytes: int | None) -> None:
    """These 16 MiB take 3.7 GB once they are parsed."""
    footer = footer_of([b"content", b"style"], [empty_group(1_000)] * 5_500)
    (tmp_path / "m.parquet").write_bytes(file_of(footer, claimed_bytes))
    assert "> 4194304. Write it with fewer columns or larger row groups" in refused_apart(tmp_path / "m.parquet")


def test_rows_without_number_are_refused(tmp_path: Path) -> None:
    rows = 20_000_000
    path = write(tmp_path / "m.parquet", {"content": repeated("a.wav", rows), "style": repeated("b.wav", rows)})
    assert path.stat().st_size < 200_000
    assert "20000000 rows > 10000000. Split it" in refused_apart(path)


@pytest.mark.parametrize("column", ["content", "pair_id", "note"])
def test_a_long_text_that_is_repeated_without_number_is_refused_before_it_is_spelled_out(
    tmp_path: Path, column: str
) -> None:
    """A terabyte of text in a file of 100 kB."""
    rows = 1_000_000
    few = {"content": repeated("a.wav", rows), "style": repeated("b.wav", rows)}
    if column == "note":  # the user's own columns are looked at when the pairs are found good
        few["pair_id"] = pa.array([str(row) for row in range(rows)])
    path = write(tmp_path / "m.parquet", {**few, column: repeated("x" * 1_000_000, rows)})
    message = refused_apart(path)
    if column == "note":
        assert "own columns take more than 4 GiB in memory. Leave out" in message
    else:
        assert f"column '{column}', row 1: 1000000 bytes > 4096" in message


def test_own_columns_of_numbers_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_OWN_BYTES", 1_000_000)
    path = write(tmp_path / "m.parquet", {"content": ["a"] * 200_000, "style": ["b"] * 200_000, "x": [0] * 200_000})
    with pytest.raises(ManifestError, match=r"m\.parquet: its own columns take more than"):
        user_columns(str(path), FILES)


def test_a_list_of_millions_of_numbers_in_a_kilobyte_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit of a twelfth: to write such a list for the real one takes gigabytes itself."""
    monkeypatch.setattr(swelling, "MEMORY_BYTES", 256 << 20)
    numbers = 30_000_000
    one = pa.ListArray.from_arrays(pa.array([0, numbers], pa.int32()), pa.array(np.zeros(numbers, np.int8)))
    path = write(tmp_path / "m.parquet", {"content": ["a.wav"], "style": ["b.wav"], "x": one})
    assert path.stat().st_size < 2_000
    with pytest.raises(ManifestError, match=r"m\.parquet: 'x' cannot be decoded within 0\.25 GiB"):
        user_columns(str(path), FILES)


def test_lists_and_bytes_of_usual_size_ride_along(tmp_path: Path) -> None:
    own = {"tags": [["x", "y"], None], "thumbnail": [b"\0\1", b""], "where": [{"lat": 1.5}, {"lat": None}]}
    path = write(tmp_path / "m.parquet", {"content": ["a", "b"], "style": ["s", "s"], **own})
    table = user_columns(str(path), FILES)
    assert table is not None
    assert table.to_pydict() == own


def test_a_row_group_that_decompresses_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    parts = 45 * [pa.array(["x" * (50 << 20)])]  # one and the same in memory
    table = pa.table({"content": ["a.wav"] * 45, "style": ["b.wav"] * 45, "note": pa.chunked_array(parts)})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)
    assert path.stat().st_size < 1_000_000
    assert "bytes > 2147483648. Write it with smaller row groups" in refused_apart(path)


def test_a_good_row_group_of_many_rows_streams_in_bounded_memory(tmp_path: Path) -> None:
    rows = 200_000
    columns = {"content": pa.array([f"sounds/{row}.wav" for row in range(rows)]), "style": repeated("b.wav", rows)}
    (pairs,), peak_bytes = checked_apart(write(tmp_path / "m.parquet", columns))
    assert pairs == rows
    assert peak_bytes < MEMORY_BOUND_BYTES


# Paths that lead elsewhere


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "gs", "data", "javascript", "S4", "file+x"])
@pytest.mark.parametrize("column", ["content", "style"])
def test_other_schemes_are_refused_with_their_row(tmp_path: Path, scheme: str, column: str) -> None:
    columns = {"content": ["a", "b"], "style": ["s", "s"], column: ["a", f"{scheme}://host/a.wav"]}
    with pytest.raises(ManifestError, match=rf"column '{column}', row 2: .*scheme"):
        list(read_manifest(str(write(tmp_path / "m.parquet", columns)), FILES, lambda row: None))


def test_what_only_looks_like_a_scheme_is_a_file_that_is_not_there(tmp_path: Path) -> None:
    written = ["data:audio/wav;base64,UklGRg==", "javascript:alert(1)", "<script>alert(1)</script>.wav"]
    path = write(tmp_path / "m.parquet", {"content": written, "style": ["s"] * 3})
    (batch,) = read_manifest(str(path), FILES, lambda row: None)
    for uri in batch.column("content").to_pylist():
        assert uri.startswith(f"{tmp_path}/")
        with pytest.raises(AudioError, match="does not exist") as caught:
            read_sound(uri, FILES)
        assert caught.value.error_type == "missing"


@pytest.mark.parametrize(
    "written",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "file://localhost/etc/passwd",
        "../../../../etc/passwd",
    ],
)
@pytest.mark.parametrize("column", ["content", "style"])
def test_a_manifest_on_s3_reads_no_file_of_this_machine(s3: str, written: str, column: str) -> None:
    """A manifest from elsewhere would else decide what is read here and put into results that others read."""
    columns = {"content": ["a.wav", "b.wav"], "style": ["s.wav"] * 2, column: ["a.wav", written]}
    with FILES.writing(f"{s3}/m.parquet") as sink:
        pq.write_table(pa.table(columns), sink)
    with pytest.raises(
        ManifestError, match=rf"column '{column}', row 2: '{written}' (is a local path|leaves the buck)"
    ):
        list(read_manifest(f"{s3}/m.parquet", FILES, lambda row: None))


# Names that spoil tables and terminals


@pytest.mark.parametrize("column", ["content", "style", "pair_id"])
@pytest.mark.parametrize("bad", ["a\nb", "a\x1b[2Jb", "a\x00b", "a\x7fb", "a\x9bb", "x" * 10_000], ids=ascii)
def test_control_characters_and_10_kb_are_refused_with_their_row_and_not_repeated(
    tmp_path: Path, column: str, bad: str
) -> None:
    columns = {"content": ["a", "b"], "style": ["s", "s"], "pair_id": ["x", "y"]}
    columns[column] = ["first", bad]
    with pytest.raises(ManifestError, match=rf"m\.parquet: column '{column}', row 2: ") as caught:
        list(read_manifest(str(write(tmp_path / "m.parquet", columns)), FILES, lambda row: None))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "n" * 10_000], ids=["newline", "escape", "long"])
def test_names_of_columns_are_bounded_too(tmp_path: Path, name: str) -> None:
    with pytest.raises(ManifestError, match=r"m\.parquet: the name of the column") as caught:
        check(str(write(tmp_path / "m.parquet", {"content": ["a"], "style": ["s"], name: ["x"]})), FILES, print)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1_000


def test_a_table_of_many_wrong_names_does_not_list_them_all(tmp_path: Path) -> None:
    columns = {f"{number:0>250}": [1] for number in range(900)}
    with pytest.raises(ManifestError, match="no column 'content'") as caught:
        check(str(write(tmp_path / "m.parquet", columns)), FILES, print)
    assert len(str(caught.value)) < 10_000


# Anything


def _types() -> st.SearchStrategy[tuple[pa.DataType, st.SearchStrategy[object]]]:
    """Return Arrow types, each with values that may stand in its column."""
    text = st.text(st.characters(codec="utf-8"), max_size=12)
    path = st.text(string.ascii_letters + string.digits + "./:~%\\ *?[]-_", max_size=20)
    pairs: list[tuple[pa.DataType, st.SearchStrategy[object]]] = [
        (pa.string(), text),
        (pa.string(), path),
        (pa.large_string(), path),
        (pa.string_view(), path),
        (pa.dictionary(pa.int32(), pa.string()), path),
        (pa.binary(), st.binary(max_size=8)),
        (pa.int8(), st.integers(-128, 127)),
        (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pa.uint64(), st.integers(0, 2**64 - 1)),
        (pa.float32(), st.floats(width=32)),
        (pa.float64(), st.floats()),
        (pa.decimal128(20, 3), st.decimals(-(10**15), 10**15, places=3)),
        (pa.bool_(), st.booleans()),
        (pa.date32(), st.dates()),
        (pa.timestamp("us"), st.datetimes()),
        (pa.list_(pa.string()), st.lists(text, max_size=3)),
        (pa.struct([("a", pa.int64())]), st.fixed_dictionaries({"a": st.integers(-5, 5)})),
        (pa.null(), st.none()),
    ]
    return st.sampled_from(pairs)


@st.composite
def anything(draw: st.DrawFn) -> pa.Table:
    """Draw a table: mostly with the columns that a manifest needs, sometimes of other types, and some more."""
    rows = draw(st.integers(0, 6))
    known = st.sampled_from([*MANIFEST_COLUMNS, "status", "content.note", "Content"])
    own = st.text(st.characters(codec="utf-8"), max_size=6)
    names = draw(st.sampled_from([["content", "style"], ["style", "content"], ["content", "style"], ["content"], []]))
    names = [*names, *draw(st.lists(known | own | own, max_size=2))]
    columns = []
    for name in names:
        kind, value = draw(_types())
        if name in ("content", "style", "pair_id") and draw(st.integers(0, 9)):
            kind, value = pa.string(), st.text(string.ascii_letters + "/.", min_size=1, max_size=8)
        with_nulls = not draw(st.integers(0, 5))
        columns.append(
            pa.array(draw(st.lists(value | st.none() if with_nulls else value, min_size=rows, max_size=rows)), kind)
        )
    return pa.table(columns, names=names) if names else pa.table({})


def _refusal(path: Path) -> str | None:
    try:
        check(str(path), FILES, Settings().resolve)
    except ManifestError as error:
        return str(error)
    return None


@pytest.mark.parametrize("examples", [100, pytest.param(1_000, marks=pytest.mark.soak)])
def test_any_table_validates_or_is_refused_by_name(examples: int) -> None:
    valid: list[int] = []

    @settings(derandomize=True, max_examples=examples)
    @given(anything(), st.booleans(), st.integers(1, 4))
    def validates_or_is_refused(table: pa.Table, store_schema: bool, group_rows: int) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "m.parquet"
            pq.write_table(table, path, store_schema=store_schema, row_group_size=group_rows)
            if (message := _refusal(path)) is not None:
                assert str(path) in message
            else:
                assert check(str(path), FILES, Settings().resolve).pairs == table.num_rows
                valid.append(table.num_rows)

    validates_or_is_refused()
    assert len(valid) > examples / 20


MUTATED_FILES = 600


def _mutated(data: bytes, seed: int) -> bytes:
    """Return a file with bytes changed anywhere, in the footer, or in the pages, or with a piece taken out."""
    random = np.random.default_rng(seed)
    changed = bytearray(data)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    if seed % 4 == 3:
        low, high = sorted(int(place) for place in random.integers(len(data), size=2))
        del changed[low:high]
        return bytes(changed)
    low, high = [(0, len(data)), (footer, len(data) - 8), (4, footer)][seed % 4]
    for place in random.integers(low, high, size=int(random.integers(1, 6))):
        changed[place] = random.integers(256)
    return bytes(changed)


def test_mutated_files_validate_or_are_refused_by_name(tmp_path: Path) -> None:
    """In a process of its own: a fault in Arrow would end it."""
    columns = {
        "content": [f"{row}.wav" for row in range(10)],
        "style": ["s"] * 10,
        "seed": range(10),
        "note": ["x", "y"] * 5,
    }
    with_lists = {**columns, "note": [["a"]] * 10}
    writers: list[Callable[[io.BytesIO], None]] = [
        lambda sink: pq.write_table(pa.table(columns), sink),
        lambda sink: pq.write_table(pa.table(columns), sink, use_dictionary=False, compression="none"),
        lambda sink: pq.write_table(pa.table(columns), sink, compression="zstd", data_page_version="2.0"),
        lambda sink: pq.write_table(pa.table(with_lists), sink, store_schema=False, row_group_size=3),
    ]
    honest = []
    for writer in writers:
        sink = io.BytesIO()
        writer(sink)
        honest.append(sink.getvalue())
    paths = [tmp_path / f"{seed}.parquet" for seed in range(MUTATED_FILES)]
    for seed, path in enumerate(paths):
        path.write_bytes(_mutated(honest[seed // 4 % 4], seed))
    outcomes, peak_bytes = checked_apart(*paths)
    assert len(outcomes) == MUTATED_FILES
    assert sum(isinstance(outcome, int) for outcome in outcomes) > 20
    assert sum(isinstance(outcome, str) for outcome in outcomes) > 200
    assert peak_bytes < MEMORY_BOUND_BYTES
