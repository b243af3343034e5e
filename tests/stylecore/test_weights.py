"""The digest of the weights, with and without torch, and what a file of weights may be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file, save_file

from stylecore.errors import WeightsError
from stylecore.folded_alexnet import encoder_of, load_encoder
from stylecore.network import AlexNet3x3, save_network, weights_digest
from stylecore.weights import ARCHITECTURE, shipped, weights_in


@pytest.fixture
def network() -> AlexNet3x3:
    torch.manual_seed(0)
    return AlexNet3x3().eval()


@pytest.fixture
def file(network: AlexNet3x3, tmp_path: Path) -> Path:
    save_network(network, tmp_path / "w.safetensors", {})
    return tmp_path / "w.safetensors"


def test_it_is_the_networks_own(network: AlexNet3x3, file: Path) -> None:
    assert shipped().digest == load_encoder().digest
    weights = weights_in(file.read_bytes(), "w")
    assert weights.digest == weights_digest(network) == encoder_of(weights).digest != shipped().digest


def test_the_classifier_does_not_count(file: Path) -> None:
    before = weights_in(file.read_bytes(), "w")
    tensors = load_file(file)
    tensors["classifier.6.bias"] += 1
    save_file(tensors, file, {"architecture": ARCHITECTURE})
    assert weights_in(file.read_bytes(), "w") == before


@pytest.mark.parametrize("data", [b"", b"not weights", bytes(100)])
def test_a_damaged_file_is_an_error(data: bytes) -> None:
    with pytest.raises(WeightsError, match="weights w: not a readable safetensors file"):
        weights_in(data, "w")


def test_another_architecture_is_an_error(file: Path) -> None:
    save_file(load_file(file), file, {"architecture": "vgg-19"})
    with pytest.raises(WeightsError, match="weights w: architecture 'vgg-19', expected"):
        weights_in(file.read_bytes(), "w")


@pytest.mark.parametrize("fault", ["missing", "surplus", "misshapen"])
def test_other_tensors_are_an_error_before_anything_is_computed(file: Path, fault: str) -> None:
    tensors, name = load_file(file), "convolutions.0.weight"
    if fault == "missing":
        del tensors[name]
    elif fault == "surplus":
        tensors["convolutions.9.weight"] = tensors[name].copy()
    else:
        tensors[name] = tensors[name][:, :, :, :2].copy()
    save_file(tensors, file, {"architecture": ARCHITECTURE})
    with pytest.raises(WeightsError, match=r"weights w: other tensors than .*: convolutions"):
        weights_in(file.read_bytes(), "w")


def test_it_needs_no_torch() -> None:
    code = "import sys; from stylecore.weights import shipped; shipped(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
