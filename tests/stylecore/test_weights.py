"""The digest of the weights, with and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stylecore.errors import WeightsError
from stylecore.folded_alexnet import load_encoder
from stylecore.network import AlexNet3x3, save_network, weights_digest
from stylecore.weights import file_digest, shipped_digest


def test_it_is_the_networks_own() -> None:
    assert shipped_digest() == load_encoder().digest


def test_of_any_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = AlexNet3x3().eval()
    save_network(network, tmp_path / "w.safetensors", {})
    assert file_digest(tmp_path / "w.safetensors") == weights_digest(network) != shipped_digest()


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"not weights")
    for name in ("w.safetensors", "none.safetensors"):
        with pytest.raises(WeightsError, match=name):
            file_digest(tmp_path / name)


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from stylecore.weights import shipped_digest; shipped_digest(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
