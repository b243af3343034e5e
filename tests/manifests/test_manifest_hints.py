"""What is allowed in a manifest, most likely not meant, and therefore pointed out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.reading.hints import column_hints, path_hint
from manifests.reading.reader import check, read_manifest
from manifests.schema import ManifestError
from tasks.storage.storage import Storage

FILES = Storage()


def accept(row_settings: dict[str, object]) -> None:
    """Take any row settings."""


def write(path: Path, columns: dict[str, object]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("~/a.wav", "Write the whole path: /home/me/a.wav"),
        ("~nobody-here/a.wav", "~ is not replaced here"),
        ("C:\\snd\\a.wav", "in WSL /mnt/c/snd/a.wav"),
        ("d:/snd/a.wav", "in WSL /mnt/d/snd/a.wav"),
        ("C:a.wav", "drives of Windows"),
        ("snd\\sub\\a.wav", "Write / between folders: snd/sub/a.wav"),
        ("\\\\server\\snd\\a.wav", "Write / between folders: /server/snd/a.wav"),
        ("file:/snd/a.wav", "Write file:///snd/a.wav"),
        ("file:snd/a.wav", "slashes are missing"),
        ("s3:/bucket/a.wav", "Write s3://bucket/a.wav"),
        ("$HOME/a.wav", "variables are not replaced here"),
        ("%USERPROFILE%/a.wav", "variables are not replaced here"),
        (" a.wav", "Take it out"),
        ("a.wav ", "Take it out"),
        ('"a.wav"', "quotes are part of a path"),
    ],
)
def test_paths_of_other_systems_have_a_hint(monkeypatch: pytest.MonkeyPatch, written: str, instead: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert instead in str(path_hint(written))


@pytest.mark.parametrize(
    "written",
    ["a.wav", "/snd/a b.wav", "../~a.wav", "~a.wav", "s3://b/a.wav", "file:///a.wav", "take 5: blue.wav", "100%.wav"],
)
def test_usual_paths_have_none(written: str) -> None:
    assert path_hint(written) is None


def test_check_points_out_each_kind_once_with_its_row(tmp_path: Path) -> None:
    contents = ["ok.wav", "~/a.wav", "x\\a.wav", "~/b.wav", "file:/a.wav"]
    manifest = write(tmp_path / "p.parquet", {"content": contents, "style": ["C:/s.wav"] * 5})
    notes = check(manifest, FILES, accept).notes
    places = [("content", 2, "~ is"), ("content", 3, "a backslash"), ("content", 5, "slashes"), ("style", 1, "drives")]
    for note, (column, row, kind) in zip(notes, places, strict=True):
        assert note.startswith(f"{manifest}: column '{column}', row {row}: ")
        assert kind in note
    assert notes[0].endswith("(and 1 more such path)")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *[("alhpa", "alpha"), ("gama", "gamma"), ("Detla", "delta"), ("iteration", "iterations")],
        *[("Pair-ID", "pair_id"), ("content_start", "content_start_s"), ("Style end s", "style_end_s")],
        ("contnet_end_s", "content_end_s"),
    ],
)
def test_likely_misspellings_are_pointed_out(tmp_path: Path, name: str, meant: str) -> None:
    manifest = write(tmp_path / "p.parquet", {"content": ["a"], "style": ["s"], name: [1]})
    (note,) = check(manifest, FILES, accept).notes
    assert f"column '{name}' is taken for one of your own, and sets nothing. Is it '{meant}'?" in note
    assert not list(column_hints(["content", "style", meant, name]))


def test_other_names_are_not(tmp_path: Path) -> None:
    own = ["label", "genre", "fold", "content_id", "style_name", "duration", "speaker", "bpm", "path"]
    own += ["style_artist", "style_tags", "content_set", "content_genre", "style_length_s", "content_sent"]
    assert not list(column_hints(["content", "style", *own]))


@pytest.mark.parametrize("name", ["Alpha", "SEED", "Pair_ID", " beta", "gamma ", "Style"])
def test_another_case_is_refused(tmp_path: Path, name: str) -> None:
    manifest = write(tmp_path / "p.parquet", {"content": ["a"], "style": ["s"], name: [1]})
    with pytest.raises(ManifestError, match=rf"column '{name}' sets nothing.*Rename it to '{name.strip().lower()}'"):
        check(manifest, FILES, accept)


# The advice on types is code that works


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([b"a.wav"]), "a.wav"),
        (pa.array([b"a.wav"], pa.large_binary()), "a.wav"),
        (pa.array([b"a.wav"], pa.binary_view()), "a.wav"),
        (pa.array([b"a.wav"], pa.binary(5)), "a.wav"),
        (pa.array([b"a.wav"]).dictionary_encode(), "a.wav"),
        (pa.array([{"bytes": None, "path": "a.wav"}]), "a.wav"),
        (pa.array([7]), "7"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_the_advice_on_texts_works(tmp_path: Path, values: pa.Array, expected: str) -> None:
    assert _mended(tmp_path, "content", values) == expected


def test_the_advice_on_ids_works(tmp_path: Path) -> None:
    assert _mended(tmp_path, "pair_id", pa.array([b"\x00\xff"], pa.binary(2))) == "00ff"
    assert len(str(_mended(tmp_path, "pair_id", pa.array([bytes(16)], pa.uuid())))) == 36


@pytest.mark.parametrize(
    "values", [pa.array([True]), pa.array(["1"]), pa.array([b"1"])], ids=lambda value: str(value.type)
)
def test_the_advice_on_numbers_works(tmp_path: Path, values: pa.Array) -> None:
    assert _mended(tmp_path, "seed", values) == 1


def _mended(folder: Path, name: str, values: pa.Array) -> object:
    """Follow the advice on a column of another type; return its value in the manifest that comes of it."""
    path = folder / "p.parquet"
    write(path, {"content": ["c"], "style": ["s"], name: values})
    with pytest.raises(ManifestError, match=rf"column '{name}' has the type .*, say with ") as caught:
        check(str(path), FILES, accept)
    advice = str(caught.value).partition(", say with ")[2].partition(", and save as files")[0]
    table = pd.read_parquet(path)
    table[name] = eval(advice, {"table": table, "pandas": pd})
    table.to_parquet(path)
    (batch,) = read_manifest(str(path), FILES, accept)
    return str(batch[name][0]).removeprefix(f"{folder}/") if name == "content" else batch[name][0].as_py()
