"""The AlexNet with 3 x 3 receptive fields whose encodings the losses compare (Verma & Smith 2018, section 3).

Opposed to the paper, whose layer widths are not published, ours are a quarter of AlexNet's and the first layer keeps
full resolution (stride 1): at equal cost resolution carries more than width (docs/experiments.md). Pooling is by
averages, whose gradients are smoother than those of a maximum.

`AlexNet3x3` is what is trained; `Encoder` is what is left of it for synthesis: frozen, without a classifier, batch norm
folded into the convolutions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stylecore.errors import WeightsError

CHANNELS = (16, 48, 96, 64, 64)
POOL_AFTER = (1, 2)
CLASSES = 80
ARCHITECTURE = "alexnet-3x3-stride1-quarter"
SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "instruments80.safetensors"


def encoded_bins(n_bins: int) -> int:
    """Return how many of a picture's bins are encoded: an even number, without the last, at half the sampling rate.

    Pooling would leave that one out at the next layer, and rows that halve make bands of equal height at each.
    """
    return n_bins - n_bins % 2


def frame_mask(frames: Tensor, n_frames: int) -> Tensor:
    """Return `[B, 1, 1, T]`, one where a frame is the item's own and zero where it is padding."""
    positions = torch.arange(n_frames, device=frames.device)
    return (positions < frames[:, None]).to(torch.float32)[:, None, None, :]


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

    def forward(self, picture: Tensor) -> Tensor:
        """Return class scores `[B, 80]` of pictures `[B, F, T]` (cross-entropy training, paper section 3)."""
        return self.classifier(self.features(picture))

    def features(self, picture: Tensor) -> Tensor:
        """Return the activations of the last layer, `[B, C, F / 4, T / 4]`, from pictures `[B, F, T]`."""
        x = ((picture - self.input_mean) * self.input_scale)[:, None]
        for layer, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True), start=1):
            x = torch.relu(norm(convolution(x)))
            if layer in POOL_AFTER:
                x = nn.functional.avg_pool2d(x, 2)
        return x


class Encoder(nn.Module):
    """The frozen filters of a trained network: pictures to encodings.

    Parameters
    ----------
    network : AlexNet3x3
        Its running statistics are folded into the filters, `w' = w g / s` and `b' = b - m g / s`: batch norm of a
        frozen network is a constant scale and shift per filter.
    """

    input_mean: Tensor
    input_scale: Tensor

    def __init__(self, network: AlexNet3x3) -> None:
        super().__init__()
        self.digest = _digest(network)
        filters, shifts = zip(
            *(_folded(c, n) for c, n in zip(network.convolutions, network.norms, strict=True)), strict=True
        )
        self.filters = nn.ParameterList(filters)
        self.shifts = nn.ParameterList(shifts)
        self.register_buffer("input_mean", network.input_mean.detach().float().clone())
        self.register_buffer("input_scale", network.input_scale.detach().float().clone())
        # Channels last: a convolution's result is then, row by row, the matrix whose Gram matrix style needs.
        self.to(memory_format=torch.channels_last)
        self.eval().requires_grad_(False)

    def forward(self, picture: Tensor, frames: Tensor | None = None, depth: int = len(CHANNELS)) -> list[Tensor]:
        """Return the encodings of layers 1 to `depth`: activations after ReLU, before pooling, of `encoded_bins`.

        Parameters
        ----------
        picture : Tensor
            Log-magnitude spectrograms, `[B, F, T]`.
        frames : Tensor, optional
            Each item's own number of frames, `[B]`; None when all fill the picture. Shifts turn padding into non-zero
            and the next convolution would leak it back, so padding is zeroed after every ReLU and pooling: an item's
            encodings are then the same as alone.
        depth : int
            Deeper layers are not computed.

        Returns
        -------
        list of Tensor
            `[B, C, F', T']` per layer; both axes are halved, rounded down, after layers 1 and 2.
        """
        return list(self.layer_by_layer(picture, frames, depth))

    def layer_by_layer(self, picture: Tensor, frames: Tensor | None, depth: int) -> Iterator[Tensor]:
        """Yield what `forward` returns, each encoding before the next is computed: it is in the cache still."""
        x = _masked(
            ((picture[:, : encoded_bins(picture.shape[1])] - self.input_mean) * self.input_scale)[:, None], frames
        )
        for layer in range(1, depth + 1):
            x = _masked(torch.relu_(self.convolved(x, layer)), frames)
            yield x
            if layer in POOL_AFTER and layer < depth:
                frames = None if frames is None else frames // 2
                x = _masked(nn.functional.avg_pool2d(x, 2), frames)

    def back_propagated(
        self, encodings: Sequence[Tensor], pulls: Mapping[int, Tensor], frames: Tensor | None, n_bins: int
    ) -> Tensor:
        """Return the gradient `[B, F, T]` of `sum over layers <pull, encoding>` with respect to the picture.

        The chain rule through ReLU, pooling and the transposed convolutions, from the deepest layer up. By hand, since
        it takes half of what autograd does: the filters are frozen, and gradients are added where they lie.

        Parameters
        ----------
        encodings : sequence of Tensor
            What `forward` returned.
        pulls : mapping
            Gradients with respect to the encodings of some layers, `[B, C, F', T']`; they are written over.
        frames : Tensor or None
            As for `forward`.
        n_bins : int
            F of the picture.
        """
        deepest = max(pulls)
        from_below = torch.empty(0)
        for layer in range(deepest, 0, -1):
            encoding, gradient = encodings[layer - 1], pulls.get(layer)
            if gradient is None:
                gradient = torch.zeros_like(encoding)
            if layer < deepest and layer in POOL_AFTER:
                own = None if frames is None else encoding_frames(frames, layer + 1)
                _spread_onto(gradient, _masked(from_below, own))
            elif layer < deepest:
                gradient += from_below
            torch.ops.aten.threshold_backward.grad_input(gradient, encoding, 0.0, grad_input=gradient)
            from_below = self.transposed(gradient, layer)
        picture = _masked(from_below, frames)[:, 0] * self.input_scale
        return nn.functional.pad(picture, (0, 0, 0, n_bins - picture.shape[1]))

    def convolved(self, x: Tensor, layer: int) -> Tensor:
        """Return the convolution of a layer, `[B, O, F, T]`, before ReLU."""
        return nn.functional.conv2d(x, self.filters[layer - 1], self.shifts[layer - 1], padding=1)

    def transposed(self, gradient: Tensor, layer: int) -> Tensor:
        """Return the gradient `[B, I, F, T]` of a layer's convolution with respect to its input."""
        filters = self.filters[layer - 1]
        if filters.shape[1] > 1:
            return nn.functional.conv_transpose2d(gradient, filters, padding=1)
        # One input channel: a product for nine taps and nine shifted sums take a quarter of what a convolution does.
        batch, channels, rows, columns = gradient.shape
        taps = filters.reshape(channels, 9).T @ gradient.permute(0, 2, 3, 1).reshape(-1, channels).T
        taps = taps.reshape(3, 3, batch, rows, columns)
        edged = gradient.new_zeros(batch, rows + 2, columns + 2)
        for i in range(3):
            for j in range(3):
                edged[:, i : i + rows, j : j + columns] += taps[i, j]
        return edged[:, None, 1:-1, 1:-1]


def _spread_onto(gradient: Tensor, pooled: Tensor) -> None:
    """Add the gradient of an average pooling: a quarter to each of the four cells; an odd edge gets none."""
    rows, columns = pooled.shape[2:]
    quarter = pooled / 4
    for i in range(2):
        for j in range(2):
            gradient[:, :, i : 2 * rows : 2, j : 2 * columns : 2] += quarter


def _masked(x: Tensor, frames: Tensor | None) -> Tensor:
    return x if frames is None else x * frame_mask(frames, x.shape[-1])


def _folded(convolution: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    filters = (convolution.weight * gain[:, None, None, None]).detach().float()
    return filters.contiguous(memory_format=torch.channels_last), (
        norm.bias - norm.running_mean * gain
    ).detach().float()


def encoding_frames(frames: Tensor, layer: int) -> Tensor:
    """Return how many columns of a layer's encoding are an item's own, from its number of frames."""
    return frames // 2 ** sum(pooled < layer for pooled in POOL_AFTER)


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
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError as error:
        raise WeightsError(f"weights {path}: no such file; `timbreflow pretrain` makes one") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights {path}: not a readable safetensors file ({error})") from error
    if header.get("architecture") != ARCHITECTURE:
        raise WeightsError(f"weights {path}: architecture {header.get('architecture')!r}, expected {ARCHITECTURE!r}")
    network = AlexNet3x3()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"weights {path}: {error}") from error
    return network.eval()


def load_encoder(path: Path = SHIPPED_WEIGHTS) -> Encoder:
    """Load the frozen filters of a trained network; raises as `load_network`."""
    return Encoder(load_network(path))


def random_encoder(seed: int, calibration: Tensor) -> Encoder:
    """Return untrained filters whose batch norm knows the statistics of `calibration` pictures `[B, F, T]`.

    The control of every comparison: what is left of a result when nothing was learned.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AlexNet3x3()
    network.input_mean.copy_(calibration.mean())
    network.input_scale.copy_(1.0 / calibration.std())
    for norm in network.norms:
        cast(
            nn.BatchNorm2d, norm
        ).momentum = None  # cumulative average: one pass over the calibration pictures sets the statistics
    with torch.no_grad():
        network.train().features(calibration)
    return Encoder(network)


def weights_digest(encoder: Encoder) -> str:
    """Return the sha256 over names and values of all tensors of the trained network that the encodings depend on.

    Of the tensors as they are stored: folding rounds a little differently on every kind of processor, and a corpus must
    not be computed again because another machine goes on with it.
    """
    return encoder.digest


def _digest(network: AlexNet3x3) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith("classifier.") and not name.endswith("num_batches_tracked"):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
