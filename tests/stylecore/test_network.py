"""The network: folding, masking, and what a file of weights may be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stylecore.encoder import Encoder
from stylecore.errors import WeightsError
from stylecore.folded_alexnet import FoldedAlexNet, load_encoder, random_encoder
from stylecore.network import ARCHITECTURE, CHANNELS, CLASSES, AlexNet3x3, load_network, save_network, weights_digest


@pytest.fixture
def network() -> AlexNet3x3:
    """Return a full network with statistics that are not the initial ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = AlexNet3x3()
        for norm in network.norms:
            norm.running_mean.normal_(0.0, 0.1)
            norm.running_var.uniform_(0.2, 3.0)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, 0.1, 0.2)
    network.input_mean.fill_(1.3)
    network.input_scale.fill_(0.6)
    return network.eval()


@pytest.fixture
def weights(network: AlexNet3x3, tmp_path: Path) -> Path:
    """Return a file of weights."""
    path = tmp_path / "network.safetensors"
    save_network(network, path, {"steps": "12"})
    return path


def test_folding_batch_norm_changes_nothing(network: AlexNet3x3, calibration: Tensor) -> None:
    heard: list[Tensor] = []
    for norm in network.norms:
        norm.register_forward_hook(lambda _module, _inputs, output: heard.append(torch.relu(output)))
    with torch.no_grad():
        network.features(calibration[:, :256])
        encodings = FoldedAlexNet(network)(calibration)
    assert len(heard) == len(encodings) == len(CHANNELS)
    for found, expected in zip(encodings, heard, strict=True):
        assert found.shape == expected.shape
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_encodings_have_the_published_shapes(encoder: Encoder) -> None:
    encodings = encoder(torch.zeros(2, 257, 43))
    sizes = [(256, 43), (128, 21), (64, 10), (64, 10), (64, 10)]
    assert [tuple(e.shape) for e in encodings] == [(2, c, *s) for c, s in zip(CHANNELS, sizes, strict=True)]


def test_deeper_layers_are_left_out(encoder: Encoder, calibration: Tensor) -> None:
    shallow, deep = encoder(calibration, depth=2), encoder(calibration)
    assert len(shallow) == 2
    assert all(torch.equal(a, b) for a, b in zip(shallow, deep[:2], strict=True))


@pytest.mark.parametrize("frames", [(31, 21, 6), (30, 29, 28), (27, 27, 27)])
def test_a_masked_batch_is_the_same_as_each_alone(
    encoder: Encoder, log_spectrogram_of: Callable[[str, int], Tensor], frames: tuple[int, ...]
) -> None:
    names = ("harp_phrase", "singing_phrase", "drum_loop")
    log_spectrograms = [log_spectrogram_of(name, 4_800)[:, :n] for name, n in zip(names, frames, strict=True)]
    batch = torch.full((3, 257, max(frames)), 9.9)  # whatever stands in the padding must not be heard
    for item, own in enumerate(log_spectrograms):
        batch[item, :, : own.shape[1]] = own
    together = encoder(batch, torch.tensor(frames))
    for item, own in enumerate(log_spectrograms):
        for layer, alone in enumerate(encoder(own[None]), start=1):
            width = int(encoder.own_columns(torch.tensor(frames[item]), layer))
            assert alone.shape[-1] == width
            found = together[layer - 1][item]
            assert (found[..., :width] - alone[0]).norm() <= 1e-5 * alone.norm()
            assert not found[..., width:].any()


def test_the_filters_are_frozen(encoder: Encoder) -> None:
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder.training


def test_weights_come_back_as_they_were_saved(network: AlexNet3x3, weights: Path) -> None:
    loaded = load_network(weights)
    assert not loaded.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert load_encoder(weights).digest == weights_digest(network)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    with pytest.raises(WeightsError, match=r"none\.safetensors: no such file; `timbreflow pretrain` makes one"):
        load_network(path)


@pytest.mark.parametrize("content", [b"", b"not weights at all, only text", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"odd\.safetensors: not a readable safetensors file"):
        load_network(path)


def test_a_truncated_file_is_named(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-1_000])
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_network(weights)


def test_a_folder_is_no_file_of_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_network(tmp_path)


@pytest.mark.parametrize("header", [None, {"architecture": "vgg-19"}])
def test_another_architecture_is_refused(weights: Path, header: dict[str, str] | None) -> None:
    save_file(load_file(weights), weights, metadata=header)
    with pytest.raises(WeightsError, match=rf"architecture .*, expected '{ARCHITECTURE}'"):
        load_network(weights)


@pytest.mark.parametrize("fault", ["missing", "surplus", "misshapen"])
def test_tensors_that_do_not_fit_are_refused(weights: Path, fault: str) -> None:
    tensors = load_file(weights)
    name = "convolutions.0.weight"
    if fault == "missing":
        del tensors[name]
    elif fault == "surplus":
        tensors["convolutions.9.weight"] = tensors[name].clone()
    else:
        tensors[name] = tensors[name][:, :, :, :2].contiguous()
    save_file(tensors, weights, metadata={"architecture": ARCHITECTURE})
    with pytest.raises(WeightsError, match=r"(?s)network\.safetensors: .*convolutions"):
        load_network(weights)


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_no_pickle_is_read(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    path = tmp_path / "network.pt"
    torch.save({"weight": _Trap(sprung)}, path)
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_network(path)
    assert not sprung.exists()
    torch.load(path, weights_only=False)  # the trap does work
    assert sprung.exists()


def test_the_digest_follows_what_encodings_depend_on(network: AlexNet3x3) -> None:
    before = weights_digest(network)
    assert weights_digest(network) == before
    with torch.no_grad():
        network.classifier[-1].weight.add_(1.0)
    assert weights_digest(network) == before
    for tensor in (
        network.convolutions[4].weight,
        network.norms[0].running_var,
        network.norms[2].bias,
        network.input_mean,
        network.input_scale,
    ):
        kept = tensor.detach().clone()
        with torch.no_grad():
            tensor.view(-1)[0] += 0.25
        assert weights_digest(network) != before
        with torch.no_grad():
            tensor.copy_(kept)
    assert weights_digest(network) == before


def test_a_random_encoder_leaves_the_global_generator_alone(calibration: Tensor) -> None:
    torch.manual_seed(77)
    expected = torch.rand(3)
    torch.manual_seed(77)
    first = random_encoder(1, calibration).digest
    assert torch.equal(torch.rand(3), expected)
    assert random_encoder(1, calibration).digest == first
    assert random_encoder(2, calibration).digest != first


def test_a_random_encoder_is_calibrated(calibration: Tensor) -> None:
    encoder = random_encoder(1, calibration)
    heard = (calibration - encoder.input_mean) * encoder.input_scale
    assert heard.mean().abs() < 1e-4
    assert heard.std() == pytest.approx(1.0, abs=1e-4)
    for encoding in encoder(calibration):  # half of a standard normal behind ReLU: mean square 1/2 in every filter
        assert encoding.square().mean().item() == pytest.approx(0.5, abs=0.1)


def test_the_classifier_names_80_classes(network: AlexNet3x3, calibration: Tensor) -> None:
    assert network(calibration).shape == (3, CLASSES)
