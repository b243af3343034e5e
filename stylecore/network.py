"""The AlexNet with 3 x 3 receptive fields whose encodings the losses compare (Verma & Smith 2018, section 3).

Opposed to the paper, whose layer widths are not published, ours are a quarter of AlexNet's and the first layer keeps
full resolution (stride 1): at equal cost resolution carries more than width (docs/experiments.md). Pooling is by
averages, whose gradients are smoother than those of a maximum.

`AlexNet3x3` is what is trained; `FoldedAlexNet` is what is left of it for synthesis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load, save_file
from torch import Tensor, nn

from stylecore.errors import WeightsError
from stylecore.weights import ARCHITECTURE, SHIPPED_WEIGHTS, decides_encodings, weights_in

CHANNELS = (16, 48, 96, 64, 64)
POOL_AFTER = (1, 2)
CLASSES = 80


class AlexNet3x3(nn.Module):
    """Five 3 x 3 convolutions with batch norm, ReLU and two average poolings; a classifier used in training only."""

    input_mean: Tensor
    input_scale: Tensor

    def __init__(self, channels: Sequence[int] = CHANNELS, classes: int = CLASSES) -> None:
        super().__init__()
        inputs = (1, *channels[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, kernel_size=3, padding=1, bias=False) for i, o in zip(inputs, channels, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in channels)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d((16, 2)),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(channels[-1] * 32, 256),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(256, classes),
        )
        self.register_buffer("input_mean", torch.zeros(()))
        self.register_buffer("input_scale", torch.ones(()))

    def forward(self, log_spectrogram: Tensor) -> Tensor:
        """Return class scores `[B, 80]` of log-spectrograms `[B, F, T]` (cross-entropy training, paper section 3)."""
        return self.classifier(self.features(log_spectrogram))

    def features(self, log_spectrogram: Tensor) -> Tensor:
        """Return the activations of the last layer, `[B, C, F / 4, T / 4]`, from log-spectrograms `[B, F, T]`."""
        x = ((log_spectrogram - self.input_mean) * self.input_scale)[:, None]
        for layer, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True), start=1):
            x = torch.relu(norm(convolution(x)))
            if layer in POOL_AFTER:
                x = nn.functional.avg_pool2d(x, 2)
        return x


def save_network(network: AlexNet3x3, path: Path, metadata: dict[str, str]) -> None:
    """Write weights and their provenance as safetensors; the architecture travels in the header."""
    header = {"architecture": ARCHITECTURE, **metadata}
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata=header)


def load_network(path: Path = SHIPPED_WEIGHTS) -> AlexNet3x3:
    """Load a trained network in evaluation mode; no pickle is ever read.

    Raises
    ------
    WeightsError
        If the file is missing, is no safetensors file, or belongs to another architecture.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise WeightsError(f"weights {path}: no such file; `timbreflow pretrain` makes one") from error
    except OSError as error:
        raise WeightsError(f"weights {path}: not a readable safetensors file ({error})") from error
    return network_in(data, str(path))


def network_in(data: bytes, name: str) -> AlexNet3x3:
    """Return the network in the bytes of a file of weights; raises as `load_network`."""
    weights_in(data, name)  # whatever is wrong with the file is said there
    network = AlexNet3x3()
    try:
        network.load_state_dict(load(data))
    except RuntimeError as error:
        raise WeightsError(f"weights {name}: {error}") from error
    return network.eval()


def weights_digest(network: AlexNet3x3) -> str:
    """Return the sha256 over names and values of all tensors that the encodings depend on.

    Of the tensors as they are stored: folding rounds a little differently on every kind of processor, and a corpus must
    not be computed again because another machine goes on with it.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if decides_encodings(name):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
