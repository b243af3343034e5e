"""Data sets of Hugging Face and WebDataset: read back by the real libraries, complete, and never made twice."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from manifests.files import join
from tasks.exporting.export_errors import ExportError
from tasks.exporting.hugging_face import HuggingFaceForm
from tasks.exporting.shard_record import SHARD_RECORD_NAME
from tasks.exporting.sharded import ExportedShards, ShardForm, export_shards
from tasks.exporting.shards_of_rows import ShardLimits, key_of
from tasks.exporting.web_dataset import WebDatasetForm
from tasks.storage.storage import Storage, StorageError
from tests.tasks.output_root import exported_row, failed_row, files_in, put, write_root

FORMS = (HuggingFaceForm, WebDatasetForm)


def sound(pair_id: str, rate: int = 16_000) -> bytes:
    sink, noise = io.BytesIO(), np.random.default_rng(len(pair_id)).standard_normal(800) / 10
    soundfile.write(sink, noise, rate, format="FLAC")
    return sink.getvalue() + pair_id.encode()


def row(pair_id: str, rate: int = 16_000, **values: Any) -> dict[str, Any]:
    told = {
        "sample_rate": rate,
        "duration_s": 0.05,
        "loss_curve": [2.0, 1.0],
        "melody_kept": 0.5,
        "settings": '{"a": 1}',
    }
    return exported_row(pair_id, sound(pair_id, rate), **{**told, **values})


def export(
    where: str, make: Callable[[], ShardForm], rows: int = 2, folder: str = "out", size: int = 1 << 20
) -> ExportedShards:
    form = make()
    form.limits = ShardLimits(rows, size, size)
    return export_shards(join(where, "root"), join(where, folder), form)


def counts(done: ExportedShards) -> tuple[int, int, int, int]:
    """Return the pairs, and the files that were there, that are new, and that were removed."""
    return done.pairs, done.kept, done.written, done.removed


def names_in(where: str, folder: str = "out") -> list[str]:
    return [name for name in files_in(join(where, folder)) if name != SHARD_RECORD_NAME]


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]


def test_datasets_loads_audio_columns_and_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    own = {"content_licence": "CC0-1.0", "style_licence": "CC|BY", "mood": "warm", "tags": {"a": [1]}}
    rows = [row(f"p/{number}.x", **own) for number in range(5)]
    write_root(str(tmp_path / "root"), [*rows, failed_row("bad")])
    assert counts(export(str(tmp_path), HuggingFaceForm)) == (5, 0, 3, 0)
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["audio"].sampling_rate == 16_000
    table = loaded.cast_column("audio", datasets.Audio(decode=False))
    for found, wanted in zip(table, rows, strict=True):
        assert found["audio"] == {"bytes": wanted["audio"], "path": f"{key_of(wanted['pair_id'])}.flac"}
        assert soundfile.info(io.BytesIO(found["audio"]["bytes"])).samplerate == 16_000
        assert found["pair_id"] == wanted["pair_id"]
        assert {name: found[name] for name in own} == own
        assert found["loss_curve"] == [2.0, 1.0]
    card = (tmp_path / "out" / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    assert "5 pairs, 0.2 s" in card
    assert "| `a` | 1 (5) |" in card
    assert "| CC\\|BY | 5 |" in card
    assert "| `melody_kept` | 0.500 |" in card


def test_the_rate_stands_in_the_schema_only_where_all_agree(tmp_path: Path) -> None:
    write_root(str(tmp_path / "root"), [row("a"), row("b"), row("c", 48_000)])
    export(str(tmp_path), HuggingFaceForm)
    for file in (tmp_path / "out" / "data").iterdir():
        told = json.loads(pq.read_schema(file).metadata[b"huggingface"])
        assert told["info"]["features"] == {"audio": {"_type": "Audio"}}


def test_a_column_called_audio_and_types_that_are_not_known_do_not_stand_in_the_way(tmp_path: Path) -> None:
    from datasets import Features

    write_root(str(tmp_path / "root"), [row("a"), row("b")])
    table = pq.read_table(tmp_path / "root" / "results.parquet")
    odd = {
        "audio": pa.array(["mine", None]).dictionary_encode(),
        "map": pa.array([[("x", 1)], None], pa.map_(pa.string(), pa.int64())),
        "maps": pa.array([[[("x", 1)]], []], pa.list_(pa.map_(pa.string(), pa.int64()))),
    }
    for name, values in odd.items():
        table = table.append_column(name, values)
    pq.write_table(table, tmp_path / "root" / "results.parquet")
    export(str(tmp_path), HuggingFaceForm)
    found = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
    assert str(Features.from_arrow_schema(found.schema)["audio_1"]).startswith("Audio(sampling_rate=16000")
    assert found["audio_1"][1]["bytes"].as_py() == sound("b")
    assert found.select(list(odd)).to_pylist() == [
        {"audio": "mine", "map": '[["x", 1]]', "maps": '[[["x", 1]]]'},
        {"audio": None, "map": None, "maps": "[]"},
    ]


def test_webdataset_reads_each_pair_with_its_row(tmp_path: Path) -> None:
    import webdataset

    rows = [row("a.b/c"), row("a_b_c", mood="x"), row("\u00e9" * 300), exported_row("w", suffix=".wav")]
    write_root(str(tmp_path / "root"), [*rows, failed_row("bad")])
    assert counts(export(str(tmp_path), WebDatasetForm)) == (4, 0, 2, 0)
    urls = sorted(str(path) for path in (tmp_path / "out").glob("shard-*.tar"))
    assert [Path(url).name for url in urls] == ["shard-000000.tar", "shard-000001.tar"]
    found = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert len({one["__key__"] for one in found}) == len(rows)
    for one, wanted in zip(found, rows, strict=True):
        told = json.loads(one["json"])
        assert one["__key__"] == key_of(told["pair_id"])
        assert told["pair_id"] == wanted["pair_id"]
        assert told["mood"] == wanted.get("mood")
        assert one[wanted["suffix"][1:]] == wanted["audio"]


@pytest.mark.parametrize("form", FORMS)
def test_only_what_has_changed_is_written_and_what_is_not_wanted_goes(form: type, tmp_path: Path) -> None:
    where, root = str(tmp_path), str(tmp_path / "root")
    write_root(root, [row(name) for name in "abcd"])
    assert counts(export(where, form)) == (4, 0, 2, 0)
    before = files_in(str(tmp_path / "out"))
    assert counts(export(where, form)) == (4, 2, 0, 0)
    assert files_in(str(tmp_path / "out")) == before
    write_root(root, [row("a"), row("b"), row("c", mood="new"), row("d")])
    assert export(where, form).written >= 1
    write_root(root, [row("a", mood="x")])
    assert counts(export(where, form))[::3] == (1, 1 if form is WebDatasetForm else 2)
    assert len(names_in(where)) == (1 if form is WebDatasetForm else 2)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_pairs_come_to_the_same_bytes(form: type, tmp_path: Path) -> None:
    where, root = str(tmp_path), str(tmp_path / "root")
    write_root(root, [row(name) for name in "abc"])
    export(where, form)
    export(where, form, folder="again")
    first, second = files_in(str(tmp_path / "out")), files_in(str(tmp_path / "again"))
    assert {name: first[name] for name in names_in(where)} == {name: second[name] for name in names_in(where)}


def test_shards_that_only_have_another_name_are_linked(tmp_path: Path) -> None:
    where, root = str(tmp_path), str(tmp_path / "root")
    write_root(root, [row(name) for name in "abcd"])
    export(where, HuggingFaceForm)
    first = (tmp_path / "out/data/train-00000-of-00002.parquet").stat().st_ino
    write_root(root, [row(name) for name in "abcde"])
    assert counts(export(where, HuggingFaceForm)) == (5, 0, 3, 2)
    assert (tmp_path / "out/data/train-00000-of-00003.parquet").stat().st_ino == first
    assert names_in(where) == ["README.md", *(f"data/train-{number:05d}-of-00003.parquet" for number in range(3))]


@pytest.mark.parametrize("form", FORMS)
def test_pairs_without_their_audio_are_left_out_and_counted(form: type, tmp_path: Path) -> None:
    where, root = str(tmp_path), tmp_path / "root"
    write_root(str(root), [row(name) for name in "abcd"])
    audio = sorted((root / "audio").rglob("*.flac"))
    audio[0].unlink()
    whole = audio[1].read_bytes()
    audio[1].write_bytes(whole[:-1] + b"?")
    audio[2].write_bytes(b"")
    done = export(where, form)
    assert (done.pairs, done.missing) == (1, 3)
    assert "3 have no audio any more" in done.sentence()
    audio[1].write_bytes(whole)
    done = export(where, form)
    assert (done.pairs, done.missing) == (2, 2)


@pytest.mark.parametrize("form", FORMS)
def test_an_export_that_breaks_off_goes_on(form: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = str(tmp_path)
    write_root(str(tmp_path / "root"), [row(name) for name in "abcdef"])
    written, original = [], form.write  # type: ignore[attr-defined]

    def failing(self: Any, *values: Any) -> None:
        written.append(1)
        if len(written) == 2:
            values[-1].write(b"half")
            raise StorageError("full")
        original(self, *values)

    monkeypatch.setattr(form, "write", failing)
    with pytest.raises(StorageError, match="full"):
        export(where, form)
    assert len(names_in(where)) == 1
    assert counts(export(where, form)) == (6, 1, 2, 0)


def test_sizes_are_bounded_and_one_that_is_too_large_is_told(tmp_path: Path) -> None:
    where = str(tmp_path)
    rows = [exported_row(f"p{number}", bytes([number]) * size) for number, size in enumerate((40, 40, 90, 30, 200))]
    write_root(str(tmp_path / "root"), rows)
    done = export(where, WebDatasetForm, rows=10, size=100)
    assert (done.pairs, done.written, done.too_large) == (4, 3, 1)
    assert "1 left out, since their audio is too large" in done.sentence()
    sounds = [[len(data) for name, data in members(data).items() if name.endswith("flac")] for data in shards(where)]
    assert sounds == [[40, 40], [90], [30]]


def shards(where: str) -> list[bytes]:
    return [data for name, data in sorted(files_in(join(where, "out")).items()) if name.endswith(".tar")]


def test_folders_of_others_stay_as_they_are(tmp_path: Path) -> None:
    where = str(tmp_path)
    write_root(str(tmp_path / "root"), [row("a")])
    put(str(tmp_path / "out"), "mine.txt", b"mine")
    with pytest.raises(ExportError, match="no export has made"):
        export(where, HuggingFaceForm)
    export(where, HuggingFaceForm, folder="new")
    with pytest.raises(ExportError, match="of the kind 'hf', not 'webdataset'"):
        export(where, WebDatasetForm, folder="new")
    with pytest.raises(ExportError, match="the results themselves"):
        export(where, WebDatasetForm, folder="root")
    put(str(tmp_path / "new"), "README.md", b"my own card")
    write_root(str(tmp_path / "root"), [row("a"), row("b")])
    done = export(where, HuggingFaceForm, folder="new")
    assert done.edited == ("README.md",)
    assert (tmp_path / "new" / "README.md").read_bytes() == b"my own card"


def test_from_s3_to_s3(s3: str) -> None:
    root = join(s3, "root")
    write_root(root, [row(name) for name in "abc"])
    for make, folder in ((HuggingFaceForm, "hf"), (WebDatasetForm, "wd")):
        assert counts(export(s3, make, folder=folder)) == (3, 0, 2, 0)
        assert counts(export(s3, make, folder=folder)) == (3, 2, 0, 0)
    found = Storage().read(join(s3, "wd", "shard-000000.tar"))
    assert members(found)[f"{key_of('a')}.flac"] == sound("a")
    table = pq.read_table(io.BytesIO(Storage().read(join(s3, "hf", "data/train-00001-of-00002.parquet"))))
    assert table["audio"][0]["bytes"].as_py() == sound("c")
