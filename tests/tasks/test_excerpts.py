"""Excerpts of sounds: the very samples, whatever the file; their own limits; and pairs that differ in nothing else."""

from __future__ import annotations

import json
import random
import tracemalloc
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from stylecore.settings import Settings
from tasks.audio.catalog import identify, read_memo, write_memo
from tasks.audio.decoding import decode
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.lengths import ANY_LENGTH_S, END_TOLERANCE_S, LONGEST_S
from tasks.audio.sound_errors import AudioError
from tasks.audio.sound_files import read_sound
from tasks.audio.streams import measure, samples_of
from tasks.pipeline.single import synthesise_single
from tasks.planning.preview import preview_run
from tasks.storage.storage import Storage
from tests.tasks import corpus
from tests.tasks.corpus import CPU, QUICK, Row, cut, run_all, write_cut, write_manifest
from tests.tasks.sound_bytes import encoded

RATE = 8_000
FILES = Storage()
FORMS = [
    ("WAV", "PCM_16"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "GSM610"),
    ("AIFF", "FLOAT"),
    ("CAF", "ALAC_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def noise(duration_s: float, rate: int = RATE, channels: int = 1) -> NDArray[np.float64]:
    """Return noise `[N, channels]`, of which no two places are alike."""
    return np.random.default_rng(7).uniform(-0.4, 0.4, (round(duration_s * rate), channels))


def refused(data: bytes, excerpt: Excerpt) -> tuple[str, str]:
    """Return the type and the message of the error that an excerpt raises."""
    with pytest.raises(AudioError) as caught:
        decode(data, "snd/a.wav", RATE, excerpt)
    return caught.value.error_type, str(caught.value)


class TestSamples:
    @pytest.mark.parametrize(("form", "subtype"), FORMS)
    @pytest.mark.parametrize("excerpt", [Excerpt(0.5, 2.25), Excerpt(2.75), Excerpt(0.0, 0.3), Excerpt(1.0, 3.0)])
    def test_an_excerpt_is_a_slice_of_the_whole(self, form: str, subtype: str, excerpt: Excerpt) -> None:
        data = encoded(noise(3), form, subtype, RATE)
        whole, rate = samples_of(data, "whole")
        first, last = excerpt.samples(rate)
        np.testing.assert_array_equal(samples_of(data, "part", excerpt)[0], whole[first:last])

    @pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16")])
    def test_of_a_file_that_is_too_long_as_a_whole(self, form: str, subtype: str) -> None:
        samples = noise(70, RATE, 2)
        data = encoded(samples, form, subtype, RATE)
        assert refused(data, WHOLE)[0] == "too_long"
        part, _ = samples_of(data, "part", Excerpt(61.0, 62.5))
        np.testing.assert_allclose(part, samples[61 * RATE : 62 * RATE + RATE // 2], atol=2**-15)

    @pytest.mark.parametrize("form", ["OGG", "MP3"])
    def test_of_one_that_is_compressed_with_loss(self, form: str) -> None:
        seconds = np.arange(70 * RATE) // RATE
        data = encoded(np.sin(np.arange(70 * RATE) * 0.02 * (seconds + 10)), form, None, RATE)
        part, _ = samples_of(data, "part", Excerpt(61.2, 61.8))
        spectrum = np.abs(np.fft.rfft(part[:, 0] * np.hanning(len(part))))
        assert spectrum.argmax() * 2 * np.pi / len(part) == pytest.approx(0.02 * 71, abs=0.01)

    def test_it_may_lie_across_the_joint_of_joined_files(self) -> None:
        samples = noise(2)
        joined = encoded(samples[:RATE], "WAV", "FLOAT", RATE) + encoded(samples[RATE:], "WAV", "FLOAT", RATE)
        expected = samples[RATE // 2 : RATE + RATE // 2].astype(np.float32)
        np.testing.assert_array_equal(samples_of(joined, "a", Excerpt(0.5, 1.5))[0], expected)
        np.testing.assert_array_equal(samples_of(joined, "a", Excerpt(1.5))[0], samples[-RATE // 2 :].astype("f4"))

    def test_what_lies_around_it_is_not_kept_in_memory(self) -> None:
        """Of 240 s in two channels, 31 MB once decoded, a second takes a block and its bytes."""
        data = encoded(noise(240, 16_000, 2), "FLAC", "PCM_16", 16_000)
        tracemalloc.start()
        try:
            samples_of(data, "part", Excerpt(200.0, 201.0))
            measure(data, "part", ANY_LENGTH_S)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < len(data) + 8e6 < 240 * 16_000 * 2 * 4

    def test_it_is_cut_before_it_gets_another_rate(self, tmp_path: Path) -> None:
        samples, rate = cut("harp_phrase", 0.6)
        soundfile.write(tmp_path / "whole.wav", samples, rate)
        begin, end = round(0.2 * rate), round(0.5 * rate)
        soundfile.write(tmp_path / "cut.wav", samples[begin:end], rate)
        part = read_sound(str(tmp_path / "whole.wav"), FILES, excerpt=Excerpt(0.2, 0.5))
        np.testing.assert_array_equal(part, read_sound(str(tmp_path / "cut.wav"), FILES))

    def test_only_it_has_to_be_a_sound(self, tmp_path: Path) -> None:
        samples = noise(3)
        samples[: 2 * RATE] = np.nan
        samples[2 * RATE : 2 * RATE + RATE // 2] = 0
        soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
        uri = str(tmp_path / "a.wav")
        assert len(read_sound(uri, FILES, RATE, Excerpt(2.5))) == RATE // 2
        for excerpt, kind in ((WHOLE, "not_finite"), (Excerpt(2.0, 2.5), "silent")):
            with pytest.raises(AudioError) as caught:
                read_sound(uri, FILES, RATE, excerpt)
            assert caught.value.error_type == kind
            assert excerpt.named(uri) in str(caught.value)


class TestLimits:
    DATA = encoded(noise(40), "WAV", "PCM_16", RATE)
    LOSSY = encoded(noise(40), "MP3", None, RATE)

    @pytest.mark.parametrize(
        ("excerpt", "error_type", "message"),
        [
            (Excerpt(40.0), "beyond_end", "'snd/a.wav' lasts 40 s, and its excerpt begins at 40 s"),
            (Excerpt(1e6, 1e6 + 1), "beyond_end", "begins at 1000000 s"),
            (Excerpt(39.0, 41.5), "beyond_end", "'snd/a.wav' lasts 40 s, and its excerpt ends at 41.5 s"),
            (Excerpt(39.9), "too_short", "'snd/a.wav' from 39.9 s on lasts 0.1 s, 0.1 s less than 0.2 s"),
            (Excerpt(3.0, 3.05), "too_short", "'snd/a.wav' from 3 s to 3.05 s lasts 0.05 s"),
            (Excerpt(3.0, 3.000001), "too_short", "lasts 0 s"),
            (Excerpt(0.0, 31.0), "too_long", "'snd/a.wav' from 0 s to 31 s lasts 31 s, 1 s more than 30 s"),
            (Excerpt(2.0), "too_long", "'snd/a.wav' from 2 s on lasts 38 s, 8 s more than 30 s"),
        ],
    )
    def test_an_excerpt_that_cannot_be_used_says_why(self, excerpt: Excerpt, error_type: str, message: str) -> None:
        found, said = refused(self.DATA, excerpt)
        assert found == error_type
        assert message in said

    @pytest.mark.parametrize(
        ("excerpt", "error_type"),
        [(Excerpt(41.0), "beyond_end"), (Excerpt(39.0, 42.0), "beyond_end"), (Excerpt(2.0), "too_long")],
    )
    def test_so_does_one_of_a_file_whose_length_decoding_tells(self, excerpt: Excerpt, error_type: str) -> None:
        assert refused(self.LOSSY, excerpt)[0] == error_type

    def test_a_little_may_be_missing_at_its_end(self) -> None:
        part, _ = samples_of(self.DATA, "a", Excerpt(39.0, 40 + 0.9 * END_TOLERANCE_S))
        assert len(part) == RATE
        assert refused(self.DATA, Excerpt(39.0, 40 + 1.1 * END_TOLERANCE_S))[0] == "beyond_end"

    def test_thirty_seconds_and_the_tolerance_of_a_whole_sound_are_read(self) -> None:
        assert len(samples_of(self.DATA, "a", Excerpt(1.0, 1.0 + LONGEST_S))[0]) == LONGEST_S * RATE


class TestIdentities:
    @pytest.fixture
    def long(self, tmp_path: Path) -> str:
        soundfile.write(tmp_path / "long.wav", noise(40), RATE)
        return str(tmp_path / "long.wav")

    def test_a_long_sound_has_an_identity(self, long: str, tmp_path: Path) -> None:
        sound = identify([long], {}, FILES)[long]
        assert (sound.readable, sound.duration_s) == (True, 40.0)
        write_memo(str(tmp_path), [sound], FILES)
        assert identify([long], read_memo(str(tmp_path), FILES), FILES)[long] == sound

    @pytest.mark.parametrize(("form", "subtype"), FORMS)
    def test_how_long_it_is_is_told_without_decoding_it(self, form: str, subtype: str) -> None:
        data = encoded(noise(40), form, subtype, RATE)
        assert measure(data, "a", ANY_LENGTH_S).duration_s == pytest.approx(40, abs=0.15)
        with pytest.raises(AudioError, match="more than 30"):
            measure(data, "a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a sound that is too long, and two short ones."""
    sounds = tmp_path / "data"
    write_cut(sounds / "harp.wav", "harp_phrase", 0.9)
    write_cut(sounds / "fork.wav", "tuning_fork_440", 0.5)
    soundfile.write(sounds / "long.wav", noise(40), RATE)
    return sounds


def write_rows(path: Path, rows: list[Row]) -> str:
    """Write a manifest with all columns that any row has."""
    names = dict.fromkeys(name for row in rows for name in row)
    return write_manifest(path, [{name: row.get(name) for name in names} for row in rows])


def planned(folder: Path, rows: list[Row], settings: Settings = QUICK) -> list[dict[str, Any]]:
    """Return the rows of a plan in the order of the manifest."""
    manifest = write_rows(folder / "pairs.parquet", rows)
    return sorted(map(dict, corpus.planned(manifest, folder / "out", settings)[0]), key=itemgetter("row"))


def pair(content: str = "harp.wav", style: str = "fork.wav", **settings: float) -> dict[str, Any]:
    return {"content": content, "style": style, **settings}


class TestPlanning:
    def test_rows_that_differ_in_their_excerpts_alone_are_different_pairs(self, folder: Path) -> None:
        excerpts = [{}, {"content_start_s": 0.3}, {"content_end_s": 0.3}, {"style_start_s": 0.3}, {"style_end_s": 0.3}]
        rows = planned(folder, [pair(**excerpt) for excerpt in excerpts])
        for name in ("pair_id", "fingerprint"):
            assert len({row[name] for row in rows}) == len(excerpts)
        assert [row["duration_s"] for row in rows] == pytest.approx([0.9, 0.6, 0.3, 0.9, 0.9], abs=1e-4)

    def test_a_bound_that_changes_nothing_is_not_in_the_settings(self, folder: Path) -> None:
        (spelled,) = planned(folder, [pair(pair_id="a", content_start_s=0.0)])  # type: ignore[arg-type]
        (silent,) = planned(folder, [pair(pair_id="a")])  # type: ignore[arg-type]
        assert spelled["fingerprint"] == silent["fingerprint"]
        assert not any(name.endswith("_s") for name in json.loads(spelled["settings"]))

    def test_an_excerpt_of_the_run_holds_for_rows_without_their_own(self, folder: Path) -> None:
        run = QUICK.resolve({"content_start_s": 0.25})
        row, own = planned(folder, [pair(), pair(content_start_s=0.5)], run)
        assert json.loads(row["settings"])["content_start_s"] == 0.25
        assert [row["duration_s"], own["duration_s"]] == pytest.approx([0.65, 0.4], abs=1e-4)
        (same,) = planned(folder, [pair(pair_id=row["pair_id"], content_start_s=0.25)])  # type: ignore[arg-type]
        assert same["fingerprint"] == row["fingerprint"]

    def test_a_long_sound_counts_as_long_as_its_excerpt(self, folder: Path) -> None:
        rows = [
            pair("long.wav", content_start_s=3.0, content_end_s=4.5),
            pair("long.wav"),
            pair("long.wav", content_start_s=3.0),
            pair("long.wav", content_start_s=39.0, content_end_s=50.0),
            pair(style="long.wav", style_start_s=1.0, style_end_s=2.0),
        ]
        found = planned(folder, rows)
        assert [row["duration_s"] for row in found] == pytest.approx([1.5, 40.0, 37.0, 0.0, 0.9], abs=1e-4)
        assert all(len(row["content_identity"]) == len(row["style_identity"]) == 64 for row in found)
        notes = preview_run(str(folder / "pairs.parquet"), str(folder / "out"), QUICK, CPU).notes
        assert [note.partition(":")[0] for note in notes] == [
            "what 1 pair would use of the content is too short, too long, or not there"
        ]

    def test_the_cut_does_not_depend_on_the_order_of_the_rows(self, folder: Path) -> None:
        """One content with excerpts of several lengths."""
        rows: list[Row] = [
            pair(content, style, pair_id=f"{content}{style}{end}", content_end_s=end)  # type: ignore[arg-type]
            for content in ("harp.wav", "fork.wav", "long.wav")
            for style in ("harp.wav", "fork.wav")
            for end in (0.25, 0.3, 0.4, 0.49)
        ]
        mixed = random.Random(1).sample(rows, len(rows))
        orders = [corpus.planned(write_manifest(folder / "m.parquet", some), folder / "o")[0] for some in (rows, mixed)]
        assert [row["pair_id"] for row in orders[0]] == [row["pair_id"] for row in orders[1]]


class TestRuns:
    @pytest.fixture(scope="class")
    @classmethod
    def table(cls, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
        """Return the results of two excerpts of the same two sounds, of their cuts as files, and of bad ones."""
        folder = tmp_path_factory.mktemp("excerpts")
        samples, rate = cut("harp_phrase", 0.9)
        style, style_rate = cut("violin_sustained", 0.8)
        soundfile.write(folder / "harp.wav", samples, rate)
        soundfile.write(folder / "violin.wav", style, style_rate)
        rows = []
        for name, (begin, end) in {"early": (0.1, 0.5), "late": (0.45, 0.8)}.items():
            soundfile.write(folder / f"harp_{name}.wav", samples[round(begin * rate) : round(end * rate)], rate)
            part = style[round(begin * style_rate) : round(end * style_rate)]
            soundfile.write(folder / f"violin_{name}.wav", part, style_rate)
            bounds = {f"{s}_{b}_s": t for s in ("content", "style") for b, t in (("start", begin), ("end", end))}
            rows += [
                {"pair_id": name, "content": "harp.wav", "style": "violin.wav", "seed": 5, **bounds},
                {"pair_id": f"{name} file", "content": f"harp_{name}.wav", "style": f"violin_{name}.wav", "seed": 5},
            ]
        bad = {"beyond": {"style_start_s": 3.0}, "ends beyond": {"content_end_s": 2.0}, "short": {"style_end_s": 0.1}}
        rows += [{"pair_id": name, "content": "harp.wav", "style": "violin.wav", **own} for name, own in bad.items()]
        manifest = write_rows(folder / "pairs.parquet", rows)
        return run_all(manifest, folder / "out").table.set_index("pair_id")

    @pytest.mark.parametrize("name", ["early", "late"])
    def test_an_excerpt_sounds_as_the_file_that_is_cut_so(self, table: pd.DataFrame, name: str) -> None:
        excerpt, file = table.loc[name], table.loc[f"{name} file"]
        assert excerpt["status"] == "succeeded"
        for column in ("samples_sha256", "n_samples", "timbre_transfer", "content_centroid_hz", "style_centroid_hz"):
            assert excerpt[column] == file[column]
        assert excerpt["fingerprint"] != file["fingerprint"]

    def test_a_row_tells_which_excerpt_it_is_of(self, table: pd.DataFrame) -> None:
        names = ["content_start_s", "content_end_s", "style_start_s", "style_end_s"]
        assert table.loc["late", names].tolist() == [0.45, 0.8, 0.45, 0.8]
        assert table.loc["late file", ["content_start_s", "style_start_s"]].tolist() == [0.0, 0.0]
        assert table.loc["late file", ["content_end_s", "style_end_s"]].isna().all()
        assert table.loc["early", "fingerprint"] != table.loc["late", "fingerprint"]

    @pytest.mark.parametrize(
        ("name", "error_type", "message"),
        [
            ("beyond", "beyond_end", "violin.wav' lasts 0.8 s, and its excerpt begins at 3 s"),
            ("ends beyond", "beyond_end", "harp.wav' lasts 0.9 s, and its excerpt ends at 2 s"),
            ("short", "too_short", "violin.wav' from 0 s to 0.1 s lasts 0.1 s"),
        ],
    )
    def test_one_that_is_not_there_is_a_failed_row(
        self, table: pd.DataFrame, name: str, error_type: str, message: str
    ) -> None:
        row = table.loc[name]
        assert (row["status"], row["error_type"]) == ("failed", error_type)
        assert message in row["error_message"]

    def test_one_pair_without_a_manifest_has_them_too(self, folder: Path, tmp_path: Path) -> None:
        settings = QUICK.resolve({"content_start_s": 7.0, "content_end_s": 7.3, "style_end_s": 0.4})
        sounds = str(folder / "long.wav"), str(folder / "fork.wav")
        row = synthesise_single(*sounds, str(tmp_path / "out.flac"), settings, "cpu")
        assert (row["status"], row["n_samples"]) == ("succeeded", 4_800)
