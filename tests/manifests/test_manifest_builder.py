"""Building manifests from folders and from CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from manifests.building.builder import build_from_csv, build_manifest
from manifests.reading import suffixes
from manifests.reading.reader import check, read_manifest, user_columns
from manifests.schema import ManifestError
from tasks.storage.storage import Storage

FILES = Storage()
WITHOUT_SUFFIX = {"RAW", "MAT4", "MAT5", "SD2", "WAVEX", "MPC2K"}
"""Formats without a suffix of their own, without a header, or whose files mostly hold something else."""


def accept(row_settings: dict[str, object]) -> None:
    """Take any row settings."""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in ("c/a.wav", "c/deep/b.FLAC", "c/notes.txt", "s/x.ogg", "s/y.mp3", "s/z.aiff", "t/only.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def rows(path: Path) -> list[tuple[str, str]]:
    table = pq.read_table(path)
    return list(zip(table["content"].to_pylist(), table["style"].to_pylist(), strict=True))


def build(corpus: Path, pairing: str, content: str = "c", style: str = "s", seed: int = 0) -> list[tuple[str, str]]:
    out = corpus / "m" / "pairs.parquet"
    count = build_manifest([f"{corpus}/{content}"], [f"{corpus}/{style}"], pairing, str(out), FILES, seed)
    made = rows(out)
    assert count == len(made) == check(str(out), FILES, accept).pairs
    return made


def test_cross_is_relative_to_the_manifest(corpus: Path) -> None:
    made = build(corpus, "cross")
    assert made[:3] == [("../c/a.wav", f"../s/{name}") for name in ("x.ogg", "y.mp3", "z.aiff")]
    assert [content for content, _ in made[3:]] == ["../c/deep/b.FLAC"] * 3
    uris = [
        uri for batch in read_manifest(f"{corpus}/m/pairs.parquet", FILES, accept) for uri in batch["style"].to_pylist()
    ]
    assert set(uris) == {f"{corpus}/s/{name}" for name in ("x.ogg", "y.mp3", "z.aiff")}


def test_zip_pairs_in_order(corpus: Path) -> None:
    assert build(corpus, "zip", style="s/[xy].*") == [("../c/a.wav", "../s/x.ogg"), ("../c/deep/b.FLAC", "../s/y.mp3")]


def test_sample_is_seeded_and_without_repetition(corpus: Path) -> None:
    everything = build(corpus, "cross")
    drawn = [tuple(build(corpus, "sample:3", seed=seed)) for seed in range(20)]
    assert all(len(set(pairs)) == 3 and set(pairs) < set(everything) for pairs in drawn)
    assert len(set(drawn)) > 5
    assert tuple(build(corpus, "sample:3", seed=7)) == drawn[7]
    assert build(corpus, "sample:6") == everything


def test_sample_of_a_product_too_big_to_build(tmp_path: Path) -> None:
    for side in "cs":
        (tmp_path / side).mkdir()
        for number in range(1500):
            (tmp_path / side / f"{number:04d}.wav").touch()
    made = build(tmp_path, "sample:2000")
    assert len(set(made)) == 2000


def test_sources_may_overlap(corpus: Path) -> None:
    out = corpus / "pairs.parquet"
    assert build_manifest([f"{corpus}/c", f"{corpus}/c/*.wav"], [f"{corpus}/s/x.ogg"], "cross", str(out), FILES) == 2
    assert rows(out)[0] == ("c/a.wav", "s/x.ogg")


def test_a_single_file_is_taken_as_it_is(corpus: Path) -> None:
    assert build(corpus, "cross", content="c/notes.txt", style="s/x.ogg") == [("../c/notes.txt", "../s/x.ogg")]


@pytest.mark.parametrize(
    ("pairing", "content", "style", "message"),
    [
        ("zip", "c", "s", "2 contents, 3 styles"),
        ("sample:7", "c", "s", "2 contents and 3 styles make 6 pairs. Use 1 <= N <= 6"),
        ("sample:0", "c", "s", "Use 1 <= N <= 6"),
        ("all", "c", "s", "'all' is unknown. Use 'cross', 'zip' or 'sample:N'"),
        ("cross", "nowhere", "s", "nowhere: no such file or folder"),
        ("cross", "c", "t", "t: no sound among its 1 files"),
        ("cross", "c/*.ogg", "s", "no sound among its 0 files"),
    ],
)
def test_what_cannot_be_built(corpus: Path, pairing: str, content: str, style: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        build(corpus, pairing, content, style)
    assert not (corpus / "m").exists()


@pytest.mark.parametrize("name", sorted(set(soundfile.available_formats()) - WITHOUT_SUFFIX))
def test_every_format_that_libsndfile_writes_is_taken_by_its_suffix(tmp_path: Path, name: str) -> None:
    sound = tmp_path / "s" / f"x.{name}"
    sound.parent.mkdir()
    soundfile.write(sound, np.sin(np.arange(4000) / 20), 8000, format=name)
    assert build(tmp_path, "cross", content="s", style="s") == [(f"../s/x.{name}",) * 2]


@pytest.mark.parametrize("suffix", [".opus", ".oga", ".aifc", ".wave", ".caf", ".w64", ".rf64", ".au", ".snd", ".MP3"])
def test_other_suffixes_of_sounds_are_taken(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / f"x{suffix}").touch()
    assert build(tmp_path, "cross", content="s", style="s/*") == [(f"../s/x{suffix}",) * 2]


def test_what_was_left_out_is_counted_by_suffix_and_once(corpus: Path) -> None:
    for name in ("c/x.doc", "c/deep/y.DOC", "c/LICENSE"):
        (corpus / name).touch()
    said: list[str] = []
    out = f"{corpus}/p.parquet"
    assert build_manifest([f"{corpus}/c"], [f"{corpus}/c", f"{corpus}/c/**"], "cross", out, FILES, say=said.append) == 4
    assert said == ["4 files were left out, by suffix no sounds: 2 .doc, 1 .txt, 1 without a suffix"]


def test_sounds_that_pyav_reads_are_taken_where_it_is_installed(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("c/x.m4a", "c/deep/y.WMA", "c/z.doc"):
        (corpus / name).touch()
    found: dict[bool, tuple[int, list[str]]] = {}
    folder, sound, out = f"{corpus}/c", f"{corpus}/c/x.m4a", f"{corpus}/p.parquet"
    for has_pyav in (False, True):
        monkeypatch.setattr(suffixes, "has_pyav", lambda has_pyav=has_pyav: has_pyav)
        said: list[str] = []
        count = build_manifest([folder], [sound], "cross", out, FILES, say=said.append)
        found[has_pyav] = count, said
    without, with_pyav = found[False], found[True]
    assert with_pyav[0] == without[0] + 2
    others = "2 files were left out, by suffix no sounds: 1 .doc, 1 .txt"
    remedy = "PyAV reads them: pip install 'timbreflow[av]'"
    left_out = f"2 files were left out that libsndfile does not read: 1 .m4a, 1 .wma. {remedy}"
    assert (without[1], with_pyav[1]) == ([others, left_out], [others])


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p", "p.pq", "p.json"])
def test_a_target_of_another_suffix_is_refused(corpus: Path, name: str) -> None:
    (corpus / "l.csv").write_text("content,style\na,b\n")
    with pytest.raises(ManifestError, match=r"a manifest is a Parquet file, .*Name it .*/p\.parquet"):
        build_from_csv(f"{corpus}/l.csv", f"{corpus}/{name}", FILES)
    with pytest.raises(ManifestError, match=r"a manifest is a Parquet file, .*Name it .*/p\.parquet"):
        build_manifest([f"{corpus}/c"], [f"{corpus}/s"], "cross", f"{corpus}/{name}", FILES)
    assert not (corpus / name).exists()


@pytest.mark.parametrize("out", ["~/p.parquet", "file:/p.parquet", "C:\\p.parquet", "$HOME/p.parquet"])
def test_a_target_that_is_most_likely_not_meant_is_refused(
    corpus: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus)
    before = sorted(corpus.rglob("*"))
    with pytest.raises(ManifestError, match=r"Write "):
        build_manifest(["c"], ["s"], "cross", out, FILES)
    assert sorted(corpus.rglob("*")) == before


def test_a_folder_as_target(corpus: Path) -> None:
    with pytest.raises(ManifestError, match=r"is a folder. Name the file to write"):
        build_manifest([f"{corpus}/c"], [f"{corpus}/s"], "cross", f"{corpus}/c", FILES)


def test_zip_names_a_doubled_pair(corpus: Path) -> None:
    sound = [f"{corpus}/c/a.wav"] * 2
    with pytest.raises(ManifestError, match=r"makes the pair .*a.wav x .*a.wav 2 times"):
        build_manifest(sound, sound, "zip", f"{corpus}/p.parquet", FILES)


def test_csv_keeps_columns_and_moves_paths(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    csv = tmp_path / "lists" / "pairs.csv"
    csv.write_text(
        'content,style,pair_id,seed,label,score\n../c.wav,/abs/s.wav,007,,"x, y",0.5\nd.wav,s3://b/s.wav,8,3,,\n'
    )
    out = tmp_path / "m" / "pairs.parquet"
    assert build_from_csv(str(csv), str(out), FILES) == 2
    assert rows(out) == [("../c.wav", "/abs/s.wav"), ("../lists/d.wav", "s3://b/s.wav")]
    (batch,) = read_manifest(str(out), FILES, accept)
    assert batch["content"].to_pylist() == [f"{tmp_path}/c.wav", f"{tmp_path}/lists/d.wav"]
    assert batch["pair_id"].to_pylist() == ["007", "8"]
    assert batch["seed"].to_pylist() == [None, 3]
    own = user_columns(str(out), FILES)
    assert own is not None
    assert own.to_pydict() == {"label": ["x, y", ""], "score": ["0.5", ""]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a readable CSV"),
        ("content,style\n", "no rows under the header"),
        ("content,styl\na,b\n", "no column 'style'. Is it 'styl'"),
        ("content,style\na,b\nc,\n", "column 'style', line 3: empty"),
        ("content,style\na,b\na,b\n", "line 3: .*content 'a' x style 'b'.* stands in line 2 already"),
        ("content,style,seed\na,b,x\n", "column 'seed', line 2: 'x' is not a number. Give one"),
        ("content,style,status\na,b,x\n", "column 'status' is a name of the result table"),
        ("content,style\na,b,c\n", "line 2: 3 fields, but the header has 2. Put a text that holds commas in quotes"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, message: str) -> None:
    csv = tmp_path / "pairs.csv"
    csv.write_text(text)
    with pytest.raises(ManifestError, match=message) as caught:
        build_from_csv(str(csv), str(tmp_path / "p.parquet"), FILES)
    assert "pairs.csv" in str(caught.value)
    assert not (tmp_path / "p.parquet").exists()


def test_missing_csv(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no such file. Correct the path of the CSV"):
        build_from_csv(str(tmp_path / "no.csv"), str(tmp_path / "p.parquet"), FILES)


def test_on_s3(corpus: Path, s3: str) -> None:
    for name in ("c/a.wav", "c/b.wav", "s/x.wav"):
        FILES.create(f"{s3}/{name}", b"RIFF")
    out = f"{s3}/m/pairs.parquet"
    assert build_manifest([f"{s3}/c"], [f"{s3}/s/*.wav"], "cross", out, FILES) == 2
    (batch,) = read_manifest(out, FILES, accept)
    assert batch["content"].to_pylist() == [f"{s3}/c/a.wav", f"{s3}/c/b.wav"]
    with pytest.raises(ManifestError, match="a manifest on S3 cannot name local sounds"):
        build_manifest([f"{corpus}/c"], [f"{s3}/s"], "cross", out, FILES)
