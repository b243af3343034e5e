"""A run with weights of the user's own: they decide fingerprints and samples, and nothing wrong with them goes by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylecore.errors import WeightsError
from stylecore.network import AlexNet3x3, save_network, weights_digest
from tasks.pipeline.single import synthesise_single
from tasks.storage.network_weights import read_weights
from tasks.storage.storage import Storage
from tests.tasks.corpus import CPU, QUICK, begin, compute, run_all, write_cut, write_manifest


def trained(path: Path, seed: int) -> str:
    """Write weights as `timbreflow pretrain` would, and return their digest."""
    torch.manual_seed(seed)
    network = AlexNet3x3().eval()
    save_network(network, path, {})
    return weights_digest(network)


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    write_cut(tmp_path / "harp.wav", "harp_phrase", 0.5)
    write_cut(tmp_path / "violin.wav", "violin_sustained", 0.5)
    return write_manifest(tmp_path / "m.parquet", [{"content": "harp.wav", "style": "violin.wav"}])


def test_their_results_stand_beside_those_of_the_shipped(manifest: str, tmp_path: Path) -> None:
    digest = trained(tmp_path / "mine.safetensors", 1)
    mine = CPU.model_copy(update={"weights": str(tmp_path / "mine.safetensors")})
    shipped, own = run_all(manifest, tmp_path / "out"), run_all(manifest, tmp_path / "out", options=mine)
    assert own.table["weights_digest"].tolist() == [digest] != shipped.table["weights_digest"].tolist()
    assert own.table["fingerprint"].tolist() != shipped.table["fingerprint"].tolist()
    assert own.table["samples_sha256"].tolist() != shipped.table["samples_sha256"].tolist()
    assert run_all(manifest, tmp_path / "out", options=mine).summary.counts["up_to_date"] == 1
    assert run_all(manifest, tmp_path / "out").summary.counts["up_to_date"] == 1


def test_weights_that_change_while_a_run_is_at_work_stop_it(manifest: str, tmp_path: Path) -> None:
    trained(tmp_path / "mine.safetensors", 1)
    options = CPU.model_copy(update={"weights": str(tmp_path / "mine.safetensors")})
    run, plan = begin(manifest, tmp_path / "out", QUICK, options)
    trained(tmp_path / "mine.safetensors", 2)
    with pytest.raises(WeightsError, match=r"mine\.safetensors: changed since the run was planned; run it again"):
        compute(run, plan)


def test_one_pair_takes_them_too(manifest: str, tmp_path: Path) -> None:
    digest = trained(tmp_path / "mine.safetensors", 1)
    sounds = str(tmp_path / "harp.wav"), str(tmp_path / "violin.wav"), str(tmp_path / "out.flac")
    row = synthesise_single(*sounds, QUICK, "cpu", str(tmp_path / "mine.safetensors"))
    assert (row["status"], row["weights_digest"]) == ("succeeded", digest)


def test_they_are_read_wherever_a_manifest_may_lie(anywhere: str, tmp_path: Path) -> None:
    digest = trained(tmp_path / "mine.safetensors", 1)
    with Storage().writing(f"{anywhere}/mine.safetensors") as sink:
        sink.write((tmp_path / "mine.safetensors").read_bytes())
    assert read_weights(f"{anywhere}/mine.safetensors", Storage()).digest == digest
    with pytest.raises(WeightsError, match=r"none\.safetensors: no such file; `timbreflow pretrain` makes one"):
        read_weights(f"{anywhere}/none.safetensors", Storage())


def test_a_folder_is_no_file_of_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is a folder; name the \.safetensors file in it"):
        read_weights(str(tmp_path), Storage())
