"""One pair without a manifest: the same sound as a run's, in a file of the user's choice."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import soundfile

from manifests.files import join
from manifests.schema import RESULT_COLUMNS
from stylecore.settings import Settings
from tasks.options import DeviceError, RunOptions
from tasks.pipeline.single import synthesise_single
from tasks.storage.storage import Storage, StorageError
from tests.tasks.corpus import QUICK, run_all, write_cut, write_manifest


@pytest.fixture
def harp(tmp_path: Path) -> str:
    return write_cut(tmp_path / "harp.wav", "harp_phrase")


@pytest.fixture
def fork(tmp_path: Path) -> str:
    return write_cut(tmp_path / "fork.wav", "tuning_fork_440", 0.3)


def single(content: str, style: str, out: str | Path, settings: Settings = QUICK) -> dict[str, object]:
    return synthesise_single(content, style, str(out), settings, "cpu")


def test_it_writes_the_sound_and_returns_its_row(harp: str, fork: str, tmp_path: Path) -> None:
    row = single(harp, fork, tmp_path / "new" / "folder" / "out.flac")
    assert row["status"] == "succeeded"
    assert row["output"] == str(tmp_path / "new" / "folder" / "out.flac")
    assert sha256(Path(str(row["output"])).read_bytes()).hexdigest() == row["file_sha256"]
    assert soundfile.info(row["output"]).frames == row["n_samples"] == 6_400
    assert row["seed"] == QUICK.seed
    assert set(row) <= {column.name for column in RESULT_COLUMNS}
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"harp.wav", "fork.wav", "out.flac"}


def test_it_sounds_as_the_row_of_a_run(harp: str, fork: str, tmp_path: Path) -> None:
    settings = QUICK.resolve({"seed": 11, "gamma": 2.0})
    row = single(harp, fork, tmp_path / "out.flac", settings)
    manifest = write_manifest(tmp_path / "pairs.parquet", [{"content": harp, "style": fork, "seed": 11, "gamma": 2.0}])
    table = run_all(manifest, tmp_path / "run", QUICK, RunOptions(device="cpu", batch_size=1)).table
    for name in ("fingerprint", "samples_sha256", "timbre_transfer", "spectral_convergence_db"):
        assert table[name].tolist() == [row[name]]


def test_paths_may_be_relative(harp: str, fork: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row = single("harp.wav", "fork.wav", "out.FLAC")
    assert row["output"] == str(tmp_path / "out.FLAC")
    assert (tmp_path / "out.FLAC").is_file()


def test_an_old_file_is_replaced_only_by_a_success(harp: str, fork: str, tmp_path: Path) -> None:
    out = tmp_path / "out.flac"
    out.write_bytes(b"an earlier take")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(8_000), 16_000)
    row = single(harp, str(silent), out)
    assert (row["status"], row["error_type"]) == ("failed", "silent")
    assert str(silent) in str(row["error_message"])
    assert row.get("output") is None
    assert out.read_bytes() == b"an earlier take"
    assert single(harp, fork, out)["status"] == "succeeded"
    assert soundfile.info(out).frames == 6_400


@pytest.mark.parametrize("side", ["content", "style"])
def test_a_missing_sound_is_a_failed_row(harp: str, tmp_path: Path, side: str) -> None:
    missing = str(tmp_path / "missing.wav")
    pair = {"content": harp, "style": harp, side: missing}
    row = single(pair["content"], pair["style"], tmp_path / "out.flac")
    assert row["error_type"] == "missing"
    assert missing in str(row["error_message"])
    assert not (tmp_path / "out.flac").exists()


@pytest.mark.parametrize("name", ["out.mp3", "out", "flac.txt"])
def test_the_file_must_be_one_that_is_written(harp: str, fork: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match=r"\.flac"):
        single(harp, fork, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_place_that_cannot_be_written_is_an_error(harp: str, fork: str) -> None:
    with pytest.raises(StorageError, match=r"harp\.wav/out\.flac"):
        single(harp, fork, f"{harp}/out.flac")


def test_an_absent_device_is_an_error(harp: str, fork: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cuda:77"):
        synthesise_single(harp, fork, str(tmp_path / "out.flac"), QUICK, "cuda:77")


def test_from_s3_to_s3(s3: str, harp: str, fork: str, tmp_path: Path) -> None:
    files = Storage()
    for sound in (harp, fork):
        files.create(join(s3, Path(sound).name), Path(sound).read_bytes())
    there = single(join(s3, "harp.wav"), join(s3, "fork.wav"), join(s3, "deep/out.flac"))
    here = single(harp, fork, tmp_path / "out.flac")
    assert there["samples_sha256"] == here["samples_sha256"]
    assert files.read(join(s3, "deep/out.flac")) == (tmp_path / "out.flac").read_bytes()
