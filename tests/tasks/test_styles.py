"""Styles of several sounds: lists, folders and patterns as one style, blends by weight, and what is wrong with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile
from numpy.typing import NDArray

from manifests.files import UriError, join
from manifests.schema import ManifestError
from tasks.audio import style_catalog
from tasks.audio.sound_errors import AudioError
from tasks.audio.style_catalog import catalogued, expanded
from tasks.options import RunOptions
from tasks.pair_state import Voice, as_one_sound
from tasks.pipeline.single import synthesise_single
from tasks.planning.preview import preview_run
from tasks.storage.storage import Storage
from tests.tasks.corpus import CPU, QUICK, Row, planned, read, run_all, write_manifest

RATE = 16_000
FILES = Storage()
SINGLY = RunOptions(device="cpu", batch_size=1)
"""Companions of a batch change the last bits of a result."""

STYLES: dict[str, tuple[list[str], list[float] | None]] = {
    "bright": (["bright.wav"], None),
    "dark": (["dark.wav"], None),
    "mostly bright": (["bright.wav", "dark.wav"], [0.999, 0.001]),
    "half": (["dark.wav", "bright.wav"], [1.0, 1.0]),
    "folder": (["both"], None),
    "gone": (["bright.wav", "gone.wav"], None),
    "silent": (["bright.wav", "silent.wav"], None),
    "no sound": (["none"], None),
    "no match": (["b?t.wav", "dark.wav"], [1.0, 2.0]),
}


def notes(hertz: Sequence[float], partials: int, note_s: float = 0.25, rate: int = RATE) -> NDArray[np.float64]:
    """Return notes that decay, `[N]`; the more partials, the brighter."""
    time_s = np.arange(round(note_s * rate)) / rate
    shape = 0.2 * np.exp(-4 * time_s) * np.minimum(1, time_s / 0.005)
    return np.concatenate(
        [shape * sum(np.sin(2 * np.pi * n * f * time_s) / n**0.5 for n in range(1, partials + 1)) for f in hertz]
    )


def write_sounds(folder: Path) -> None:
    """Write a content, a bright style and a dark one in two clips each, and a folder of both."""
    sounds = {
        "content.wav": notes([262, 330, 392], 4),
        "bright.wav": notes([220, 294, 370], 16),
        "bright2.wav": notes([247, 311, 415], 16),
        "dark.wav": notes([233, 277, 349], 2),
        "silent.wav": np.zeros(RATE),
    }
    for name, samples in sounds.items():
        soundfile.write(folder / name, samples, RATE)
    (folder / "both" / "deep").mkdir(parents=True)
    soundfile.write(folder / "both" / "1.wav", sounds["bright.wav"], RATE)
    soundfile.write(folder / "both" / "deep" / "2.flac", sounds["dark.wav"], RATE)
    (folder / "both" / "readme.txt").write_text("no sound")
    (folder / "none").mkdir()
    (folder / "none" / "readme.txt").write_text("no sound")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of sounds, to be read and never changed."""
    folder = tmp_path_factory.mktemp("styles")
    write_sounds(folder)
    return folder


def plan_of(folder: Path, styles: Sequence[object], **columns: Sequence[object]) -> list[dict[str, object]]:
    """Return the planned pairs of styles, in their order: of one content, with one seed."""
    rows: list[Row] = [
        {"pair_id": str(n), "content": "content.wav", "style": style, "seed": 5}
        | {name: values[n] for name, values in columns.items()}
        for n, style in enumerate(styles)
    ]
    found, _ = planned(write_manifest(folder / f"{abs(hash(repr(rows)))}.parquet", rows), folder / "out")
    return sorted((dict(row) for row in found), key=lambda row: int(str(row["pair_id"])))


def prints_of(folder: Path, styles: Sequence[object], **columns: Sequence[object]) -> list[object]:
    return [row["fingerprint"] for row in plan_of(folder, styles, **columns)]


class TestIdentities:
    def test_a_list_of_one_is_that_sound(self, folder: Path) -> None:
        (plain,) = prints_of(folder, ["dark.wav"])
        listed = prints_of(folder, [["dark.wav"], ["dark.wav", "./dark.wav"]], style_weights=[[3.0], [1.0, 2.0]])
        assert set(listed) == {plain}

    def test_neither_order_nor_names_count(self, folder: Path) -> None:
        styles = [["bright.wav", "dark.wav"], ["both/deep/2.flac", "both/1.wav"], ["both"], ["both/"], ["both/**/*"]]
        bytes_of = {name: (folder / name).read_bytes() for name in ("bright.wav", "dark.wav", "both/1.wav")}
        assert bytes_of["bright.wav"] == bytes_of["both/1.wav"]
        one, two, *others = prints_of(folder, styles)
        assert set(others) == {two}
        assert one != two  # the dark one is another file there
        assert len(set(prints_of(folder, [["dark.wav", "bright.wav"], ["both/1.wav", "dark.wav"]]))) == 1

    def test_a_folder_of_one_sound_is_that_sound(self, folder: Path) -> None:
        assert len(set(prints_of(folder, ["both/deep", "both/deep/2.flac", "both/deep/*.flac"]))) == 1

    def test_weights_count_by_their_proportion(self, folder: Path) -> None:
        pair = ["bright.wav", "dark.wav"]
        weights = [[1.0, 3.0], [0.1, 0.3], [3.0, 1.0], [1.0, 1.0], None]
        one, same, other, equal, together = prints_of(folder, [pair] * 5, style_weights=weights)
        assert one == same
        assert len({one, other, equal, together}) == 4
        swapped = prints_of(folder, [pair[::-1], ["both/1.wav", "dark.wav"]], style_weights=[[3.0, 1.0], [1.0, 3.0]])
        assert set(swapped) == {one}

    def test_a_text_may_be_json(self, folder: Path) -> None:
        pair = ["bright.wav", "dark.wav"]
        texts = [json.dumps(pair), json.dumps({"bright.wav": 2, "dark.wav": 6}), json.dumps(pair)]
        found = prints_of(folder, texts, style_weights=[None, None, "[1, 3]"])
        assert found == prints_of(folder, [pair] * 3, style_weights=[None, [1.0, 3.0], [1.0, 3.0]])

    def test_other_clips_are_another_style(self, folder: Path, tmp_path: Path) -> None:
        write_sounds(tmp_path)
        (before,) = prints_of(tmp_path, ["both"])
        soundfile.write(tmp_path / "both" / "3.wav", notes([300], 3), RATE)
        (after,) = prints_of(tmp_path, ["both"])
        assert after != before

    def test_a_name_with_brackets_is_a_file_if_it_is_there(self, folder: Path, tmp_path: Path) -> None:
        write_sounds(tmp_path)
        for name in ("take [1].wav", "take 1.wav"):
            soundfile.write(tmp_path / name, notes([300 + len(name)], 3), RATE)
        row, other = plan_of(tmp_path, ["take [1].wav", "take [12].wav"])
        assert row["style_clips"] is None
        assert json.loads(str(other["style_clips"]))[0][1][0][0].endswith("take 1.wav")

    def test_the_plan_names_the_clips(self, folder: Path) -> None:
        (row,) = plan_of(folder, ["both"])
        ((share, clips),) = json.loads(str(row["style_clips"]))
        assert (share, {Path(uri).name for uri, _ in clips}) == (1.0, {"1.wav", "2.flac"})
        assert row["style"] == str(folder / "both")


class TestRefusals:
    @pytest.mark.parametrize(
        ("style", "weights", "message"),
        [
            (["a.wav", "b.wav"], [1.0], "1 weights for 2 styles"),
            (["a.wav", "b.wav"], [1.0, 0.0], "the weight 0.0 of 'b.wav'"),
            (["a.wav", "b.wav"], [1.0, -1.0], "the weight -1.0"),
            (["a.wav", "b.wav"], [1.0, float("nan")], "the weight nan"),
            (["a.wav", "b.wav"], [1.0, float("inf")], "the weight inf"),
            (["a.wav", "b.wav"], [1.0, None], "no list of numbers"),
            ([], None, "an empty list"),
            (["a.wav", " "], None, "an empty path"),
            (["a.wav", None], None, "a null in the list"),
            (None, None, "null"),
            ([f"{n}.wav" for n in range(65)], None, "65 clips > 64"),
            ([f"{n}.wav" for n in range(9)], [1.0] * 9, "9 styles > 8 in a blend"),
            (["s3://bucket", "a.wav"], None, "is a bucket, not a sound"),
        ],
    )
    def test_what_cannot_be_meant(
        self, tmp_path: Path, style: list[str] | None, weights: list[float] | None, message: str
    ) -> None:
        schema = pa.schema(
            [
                ("content", pa.string()),
                ("style", pa.list_(pa.string())),
                ("style_weights", pa.list_(pa.float64())),
            ]
        )
        rows = [
            {"content": "c.wav", "style": ["a.wav"]},
            {"content": "c.wav", "style": style, "style_weights": weights},
        ]
        manifest = tmp_path / "m.parquet"
        pa.parquet.write_table(pa.Table.from_pylist(rows, schema=schema), manifest)
        with pytest.raises(ManifestError, match=r"row 2: ") as caught:
            read(str(manifest))
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"style": '["a.wav", b.wav]'}, "is no JSON"),
            ({"style": '["a.wav", 1]'}, "no text"),
            ({"style": '{"a.wav": "much"}'}, "the weight much"),
            ({"style": '["a.wav", "b.wav"]', "style_weights": "1;2"}, "no list of numbers"),
            ({"style": '{"a.wav": 1, "b.wav": 2}', "style_weights": "[1, 2]"}, "weights of its own"),
            ({"style": '["a.wav", "b.wav"]', "style_start_s": 1.0}, "an excerpt of a style of several clips"),
            ({"style": '["a.wav", "b.wav"]', "style_end_s": 1.0}, "an excerpt of a style of several clips"),
        ],
    )
    def test_texts_that_cannot_be_meant(self, tmp_path: Path, row: Row, message: str) -> None:
        manifest = write_manifest(tmp_path / "m.parquet", [{"content": "c.wav", **row}])
        with pytest.raises(ManifestError) as caught:
            read(manifest)
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        "kind", [pa.list_(pa.int64()), pa.struct([("a", pa.string())]), pa.list_(pa.list_(pa.string()))]
    )
    def test_a_column_of_another_type(self, tmp_path: Path, kind: pa.DataType) -> None:
        manifest = str(tmp_path / "m.parquet")
        table = pa.table({"content": pa.array(["c.wav"]), "style": pa.nulls(1, kind)})
        pa.parquet.write_table(table, manifest)
        with pytest.raises(ManifestError, match="column 'style' has the type"):
            read(manifest)

    def test_the_same_pair_twice(self, tmp_path: Path) -> None:
        rows = [{"content": "c.wav", "style": style} for style in (["a.wav", "b.wav"], ["b.wav", "a.wav"])]
        with pytest.raises(ManifestError, match=r"stands in row 1\s+already"):
            read(write_manifest(tmp_path / "m.parquet", rows))


class TestRuns:
    @pytest.fixture(scope="class")
    @classmethod
    def table(cls, folder: Path) -> pd.DataFrame:
        """Return the results of `STYLES`, and of the bright style as a plain text."""
        rows = [
            {"pair_id": name, "content": "content.wav", "style": style, "style_weights": weights, "seed": 5}
            for name, (style, weights) in STYLES.items()
        ]
        manifest = write_manifest(folder / "runs.parquet", rows)
        missing, no_sound = preview_run(manifest, str(folder / "out"), QUICK, CPU).notes
        assert missing.startswith("1 sound of 1 pair cannot be read, missing")
        assert missing.endswith(f": {folder}/gone.wav")
        assert no_sound.startswith("2 sounds of 2 pairs cannot be read, style_clips")
        listed = run_all(manifest, folder / "out", options=SINGLY).table
        plain = write_manifest(folder / "plain.parquet", [{**rows[0], "style": "bright.wav", "style_weights": None}])
        other = run_all(plain, folder / "plain", options=SINGLY).table.assign(pair_id="plain")
        return pd.concat([listed, other]).set_index("pair_id")

    def test_a_list_of_one_sounds_as_the_sound(self, table: pd.DataFrame) -> None:
        for column in ("samples_sha256", "fingerprint", "style", "style_identity", "timbre_transfer"):
            assert table.loc["bright", column] == table.loc["plain", column]

    def test_all_but_the_broken_ones_succeed(self, table: pd.DataFrame) -> None:
        failed = table[table["status"] == "failed"]["error_type"].to_dict()
        assert failed == {"gone": "missing", "silent": "silent", "no sound": "style_clips", "no match": "style_clips"}

    def test_the_clip_at_fault_is_named(self, table: pd.DataFrame) -> None:
        messages = table["error_message"]
        assert "gone.wav' does not exist" in messages["gone"]
        assert "silent.wav' is silent" in messages["silent"]
        assert "no sound among the 1 files of" in messages["no sound"]
        assert "b?t.wav'" in messages["no match"]

    def test_a_blend_lies_between_its_styles(self, table: pd.DataFrame) -> None:
        octaves = np.log2(table["output_centroid_hz"])
        low, high = octaves["dark"], octaves["bright"]
        assert low + 0.15 * (high - low) < octaves["half"] < high - 0.15 * (high - low)
        assert octaves["mostly bright"] == pytest.approx(high, abs=0.03)

    def test_clips_together_are_one_style(self, table: pd.DataFrame) -> None:
        centroids = table["style_centroid_hz"]
        assert centroids["dark"] < centroids["folder"] < centroids["bright"]
        assert table.loc["folder", "style_identity"] != table.loc["half", "style_identity"]

    def test_a_row_tells_what_its_style_was(self, table: pd.DataFrame, folder: Path) -> None:
        assert table.loc["folder", "style"] == str(folder / "both")
        assert json.loads(table.loc["half", "style"]) == {f"{folder}/bright.wav": 0.5, f"{folder}/dark.wav": 0.5}
        assert json.loads(table.loc["gone", "style"]) == [f"{folder}/bright.wav", f"{folder}/gone.wav"]

    def test_one_pair_without_a_manifest_has_them_too(self, folder: Path, tmp_path: Path, table: pd.DataFrame) -> None:
        settings = QUICK.resolve({"seed": 5})
        row = synthesise_single(
            str(folder / "content.wav"), str(folder / "both"), str(tmp_path / "out.flac"), settings, "cpu"
        )
        for column in ("samples_sha256", "style_identity", "fingerprint"):
            assert row[column] == table.loc["folder", column]


def test_one_pair_of_what_cannot_be_meant_is_refused(folder: Path) -> None:
    with pytest.raises(UriError, match="the weight -1 of 'b"):
        synthesise_single("a.wav", '{"a.wav": 2, "b.wav": -1}', str(folder / "no.flac"), QUICK, "cpu")


def test_an_excerpt_of_a_folder_is_refused_pair_by_pair(folder: Path) -> None:
    settings = QUICK.resolve({"style_start_s": 0.1})
    row = synthesise_single(
        str(folder / "content.wav"), str(folder / "both"), str(folder / "excerpt.flac"), settings, "cpu"
    )
    assert (row["status"], row["error_type"]) == ("failed", "style_clips")
    assert "several clips" in str(row["error_message"])


def test_a_folder_of_very_many_files_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style_catalog, "MOST_FILES", 2)
    both, deep = str(folder / "both"), str(folder / "both" / "deep")
    found = catalogued([], [both, deep], {}, FILES)
    assert {text: style.sound.readable for text, style in found.styles.items()} == {both: False, deep: True}
    with pytest.raises(AudioError, match="more than 2 files lie below it") as caught:
        expanded(both, FILES)
    assert caught.value.error_type == "style_clips"


def test_a_folder_of_more_than_64_sounds_is_refused(tmp_path: Path) -> None:
    for number in range(65):
        (tmp_path / f"{number}.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError, match="65 clips > 64") as caught:
        expanded(str(tmp_path), FILES)
    assert caught.value.error_type == "style_clips"
    assert catalogued([], [str(tmp_path)], {}, FILES).styles[str(tmp_path)].sound.identity == "unreadable:style_clips"


def test_identities_stay_what_they_are(folder: Path) -> None:
    """They are in fingerprints: to change them is to compute all results of such styles again."""
    shas = sorted(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("bright.wav", "dark.wav"))
    texts = [json.dumps([f"{folder}/{name}" for name in ("bright.wav", "dark.wav")])]
    texts += [json.dumps({f"{folder}/bright.wav": 0.5, f"{folder}/dark.wav": 0.5})]
    found = [style.sound.identity for style in catalogued([], texts, {}, FILES).styles.values()]
    assert found == [
        hashlib.sha256(json.dumps(["clips", *shas]).encode()).hexdigest(),
        hashlib.sha256(json.dumps(["blend", *([sha, 0.5] for sha in shas)]).encode()).hexdigest(),
    ]


def test_a_folder_on_s3(folder: Path, s3: str) -> None:
    names = ["both/1.wav", "both/deep/2.flac"]
    for name in names:
        with FILES.writing(join(s3, name)) as sink:
            sink.write((folder / name).read_bytes())
    styles = [join(s3, "both"), join(s3, "both/**/*.wav"), join(s3, "gone")]
    found = catalogued([], styles, {}, FILES).styles
    here = catalogued([], [str(folder / "both"), str(folder / "both/1.wav")], {}, FILES).styles
    assert [found[style].sound.identity for style in styles] == [
        *(style.sound.identity for style in here.values()),
        "unreadable:missing",
    ]
    assert found[styles[0]].voices[0].clips[0].uri.startswith("s3://")


def test_a_blend_is_measured_by_as_much_of_each_as_its_share() -> None:
    one, other = (Voice(name, np.full(size, value, np.float32)) for name, size, value in (("a", 100, 1), ("b", 10, 2)))
    blend = [Voice("a", one.samples, 0.25), Voice("b", other.samples, 0.75)]
    assert np.unique(as_one_sound(blend), return_counts=True)[1].tolist() == [25, 75]
