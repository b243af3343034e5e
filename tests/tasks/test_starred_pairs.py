"""Which pairs a file of stars means, whatever program has saved it last."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.files import join
from tasks.exporting.export_errors import ExportError
from tasks.exporting.folder import export_folder
from tasks.exporting.starred_pairs import read_starred
from tasks.storage.storage import Storage
from tests.tasks.output_root import exported_row, files_in, write_root

SAVED = 'pair_id,star,note\r\na,1,\r\n"b, ""c""",1,"two\r\nlines"\r\nd,0,no\r\n'


@pytest.mark.parametrize(
    "data",
    [
        SAVED.encode(),
        b"\xef\xbb\xbf" + SAVED.encode(),
        SAVED.replace("\r\n", "\n").encode(),
        'pair_id;star;note\na;1;\n"b, ""c""";yes;\nd;;\n'.encode("utf-16"),
        'note\tpair_id\tstar\n\ta\tTRUE\n\t"b, ""c"""\t1\n\td\tFALSE\n'.encode(),
    ],
)
def test_a_csv_may_be_of_any_program(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "stars.csv").write_bytes(data)
    assert read_starred(str(tmp_path / "stars.csv"), Storage()) == {"a", 'b, "c"'}


@pytest.mark.parametrize("stars", [pa.array([1, 0, None]), pa.array([True, False, None]), pa.array(["1", "0", None])])
def test_a_parquet_file_does_as_well(tmp_path: Path, stars: pa.Array) -> None:
    pq.write_table(pa.table({"x": [1, 2, 3], "pair_id": ["a", "b", "c"], "star": stars}), tmp_path / "stars.parquet")
    assert read_starred(str(tmp_path / "stars.parquet"), Storage()) == {"a"}
    pq.write_table(pa.table({"pair_id": ["a", "b"]}), tmp_path / "all.parquet")
    assert read_starred(str(tmp_path / "all.parquet"), Storage()) == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("none.csv", None, "no such file"),
        ("none.parquet", None, "no such file"),
        ("other.csv", b"name,star\na,1\n", "has no column 'pair_id'"),
        ("bare.csv", b"pair_id,star,note\na,0,good\n", "no pair has a star"),
        ("short.csv", b"pair_id,star,note\na\n", "1 field, but the header has 3"),
        ("wrong.parquet", b"pair_id,star\na,1\n", "not a Parquet file"),
    ],
)
def test_what_names_no_pairs_is_refused(tmp_path: Path, name: str, data: bytes | None, told: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ExportError, match=told):
        read_starred(str(tmp_path / name), Storage())


def test_only_starred_pairs_are_exported_and_those_that_lost_their_star_go(anywhere: str) -> None:
    root, names, stars = (join(anywhere, name) for name in ("root", "names", "stars.csv"))
    write_root(root, [exported_row(pair) for pair in ("a", "b", "c")])

    def export(*starred: str) -> list[str]:
        with Storage().writing(stars) as sink:
            sink.write("\n".join(["pair_id,star", *(f"{pair},1" for pair in starred)]).encode())
        export_folder(root, names, "{pair_id}", starred=stars)
        return list(files_in(names))

    assert export("a", "c", "unknown") == ["a.flac", "c.flac"]
    assert export("b", "c") == ["b.flac", "c.flac"]
    with pytest.raises(ExportError, match="no succeeded pair has one of the 1 ids"):
        export("unknown")
    assert list(files_in(names)) == ["b.flac", "c.flac"]
