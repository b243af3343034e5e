"""Which files of folders and patterns count, local and on S3: hidden ones, links, and tables of other programs."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.building.builder import build_manifest
from manifests.files import Files, join
from manifests.reading.reader import check, read_manifest
from manifests.schema import ManifestError
from tasks.storage.storage import Storage

FILES = Storage()
SHOWN = ["a.wav", "_x=1/b.wav", "sub/c.flac"]
HIDDEN = ["._a.wav", "_d.wav", ".hidden/e.wav", "__MACOSX/._a.wav", "sub/.ipynb_checkpoints/c.wav", "@eaDir/a.wav"]
HIDDEN += [".Trash-1000/files/old.wav", "$RECYCLE.BIN/f.wav", "_x/g.wav"]


def accept(row_settings: dict[str, object]) -> None:
    """Take any row settings."""


def put(root: str, *names: str, data: bytes = b"RIFF") -> None:
    for name in names:
        with FILES.writing(join(root, name)) as sink:
            sink.write(data)


def pair(content: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"content": [content], "style": ["s.wav"]}), sink)
    return sink.getvalue()


def contents(root: str, *sources: str, files: Files = FILES) -> tuple[list[str], list[str]]:
    """Build a manifest of sources below a root; return its contents, relative to the root, and what was said."""
    said: list[str] = []
    put(root, "style/s.wav")
    written = [source if source.startswith("/") else join(root, source) for source in sources]
    out = join(root, "m/pairs.parquet")
    build_manifest(written, [join(root, "style/s.wav")], "cross", out, files, say=said.append)
    (batch,) = read_manifest(out, files, accept)
    return [uri.removeprefix(root).removeprefix("/") for uri in batch["content"].to_pylist()], said


def test_a_folder_and_its_pattern_have_the_same_sounds_and_no_hidden_ones(anywhere: str) -> None:
    put(anywhere, *(f"voices/{name}" for name in (*SHOWN, *HIDDEN)))
    for source in ("voices", "voices/**/*", "voices/**"):
        found, said = contents(anywhere, source)
        assert sorted(found) == sorted(f"voices/{name}" for name in SHOWN)
        assert said == ["9 files were left out as hidden: a name begins with '.' or '_', or is a system's"]


def test_what_a_user_names_is_not_hidden(anywhere: str) -> None:
    put(anywhere, ".cache/_v/a.wav", ".cache/_v/_b.wav", ".cache/_v/.c.wav")
    assert contents(anywhere, ".cache/_v")[0] == [".cache/_v/a.wav"]
    assert contents(anywhere, ".cache/_v/_*.wav")[0] == [".cache/_v/_b.wav"]
    assert contents(anywhere, ".cache/_*/*.wav")[0] == [".cache/_v/a.wav"]
    assert contents(anywhere, ".cache/_v/.c.wav")[0] == [".cache/_v/.c.wav"]
    with pytest.raises(ManifestError, match=r"no sound among its 1 files; 1 file was left out as hidden"):
        contents(anywhere, "*/_v/a.wav")


def test_brackets_in_the_name_of_a_folder_are_no_pattern(anywhere: str) -> None:
    put(anywhere, "take [1]/a.wav", "take 1/b.wav")
    assert contents(anywhere, "take [1]")[0] == ["take [1]/a.wav"]
    with pytest.raises(ManifestError, match=r"write \[\[\] for the character itself"):
        contents(anywhere, "take [2]/*.wav")


def test_two_stars_within_a_name_are_refused_alike(anywhere: str) -> None:
    put(anywhere, "v/a.wav")
    with pytest.raises(ManifestError, match=r"Write \*\* between two slashes"):
        contents(anywhere, "v/**.wav")


def test_a_bucket_is_no_pattern(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="the name of a bucket cannot be a pattern"):
        build_manifest(["s3://*/a.wav"], [], "cross", f"{tmp_path}/p.parquet", FILES)


def test_links_to_folders_lead_on_once_and_never_round(tmp_path: Path) -> None:
    for name in ("v/sub/a.wav", "far/b.wav", "far/deep/c.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for link, target in {"v/link": "../far", "v/again": "sub", "v/self": ".", "v/up": "..", "far/root": "/"}.items():
        (tmp_path / link).symlink_to(target)
    (tmp_path / "v/one.wav").symlink_to("sub/a.wav")
    expected = ["v/link/b.wav", "v/link/deep/c.wav", "v/one.wav", "v/sub/a.wav"]
    assert contents(str(tmp_path), "v")[0] == contents(str(tmp_path), "v/**/*.wav")[0] == expected


def test_a_folder_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A superuser may read any, so the folder goes while it is read."""
    put(str(tmp_path), "v/a.wav", "v/b/c.wav")
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda folder, **how: walk(f"{folder}/gone", **how))
    with pytest.raises(OSError, match="gone"):
        FILES.glob(f"{tmp_path}/v/**/*")


def test_names_that_no_manifest_can_hold_are_left_out_with_a_word(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "v")
    os.mkdir(folder)
    for name in (b"good.wav", b"caf\xe9.wav", b"line\nbreak.wav", b"escape\x1b[2J.wav"):
        Path(os.fsdecode(os.path.join(folder, name))).touch()
    found, said = contents(str(tmp_path), "v")
    assert found == ["v/good.wav"]
    (sentence,) = said
    assert sentence.startswith("3 files were left out for names that are not UTF-8 or have control characters: ")
    assert r"caf\xe9.wav" in sentence
    assert sentence.isprintable()
    with pytest.raises(ManifestError, match=r"caf\\xe9.wav': the name is not UTF-8 .*Rename the file"):
        contents(str(tmp_path), os.fsdecode(folder + b"/caf\xe9.wav"))


# Manifests that are folders


@pytest.mark.parametrize(
    "hidden",
    [
        "_temporary/0/_temporary/attempt_1/part-1.parquet",
        ".spark-staging-12/part-0.parquet",
        ".ipynb_checkpoints/p-checkpoint.parquet",
        "_delta_log/00000000000000000010.checkpoint.parquet",
        "sub/_spark_metadata/0.parquet",
        "_metadata.parquet",
        "._p.parquet",
    ],
)
def test_what_other_programs_leave_in_a_folder_is_no_part_of_a_manifest(anywhere: str, hidden: str) -> None:
    put(anywhere, f"m/{hidden}", data=pair("never.wav"))
    put(anywhere, f"m/{hidden}.damaged.parquet", data=b"PAR1")
    put(anywhere, "m/sub/p.parquet", data=pair("a.wav"))
    put(anywhere, "m/_SUCCESS", data=b" ")
    (batch,) = read_manifest(join(anywhere, "m"), FILES, accept)
    assert batch["content"].to_pylist() == [join(anywhere, "m/a.wav")]


def test_files_of_a_folder_that_are_not_read_are_counted(tmp_path: Path) -> None:
    put(str(tmp_path), "m/a.parquet", "m/B.PARQUET", data=pair("a.wav"))
    put(str(tmp_path), "m/B.PARQUET", data=pair("b.wav"))
    put(str(tmp_path), "m/c.pq", "m/d.csv", "m/.p.parquet.crc", "m/sounds/a.wav")
    summary = check(str(tmp_path / "m"), FILES, accept)
    assert summary.pairs == 2
    assert summary.notes == (f"{tmp_path}/m: only its .parquet files are read; left out: 1 .csv, 1 .pq",)


def test_a_table_with_a_log_of_its_own_is_pointed_out(tmp_path: Path) -> None:
    put(str(tmp_path), "m/a.parquet", data=pair("a.wav"))
    put(str(tmp_path), "m/_delta_log/0.json")
    (note,) = check(str(tmp_path / "m"), FILES, accept).notes
    assert "a table of Delta Lake, whose log is not read" in note


def test_a_csv_in_the_place_of_a_manifest_is_told_how_to_become_one(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("content,style\na,b\n")
    with pytest.raises(ManifestError, match=r"manifest build --from .*p.csv --out pairs.parquet"):
        check(str(tmp_path / "p.csv"), FILES, accept)
