"""Fixtures of the core's tests: sounds of the demo, and a small network in place of a trained one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile
import soxr
import torch
from torch import Tensor

from stylecore.encoder import Encoder
from stylecore.folded_alexnet import random_encoder
from stylecore.network import AlexNet3x3
from stylecore.synthesis import sound_log_spectrogram

SAMPLE_RATE = 16_000
DEMO = Path(__file__).parents[2] / "assets" / "demo"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute on one thread: figures are then the same on every run, and the tests leave the machine to others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sound() -> Callable[[str, int], Tensor]:
    """Return a reader: `n_samples` of a demo sound at 16 kHz, float32, from half a second on."""
    read: dict[str, Tensor] = {}

    def excerpt(name: str, n_samples: int) -> Tensor:
        if name not in read:
            samples, own_rate = soundfile.read(DEMO / f"{name}.flac", dtype="float32")
            read[name] = torch.from_numpy(soxr.resample(samples, own_rate, SAMPLE_RATE))
        return read[name][8_000 : 8_000 + n_samples].clone()

    return excerpt


@pytest.fixture(scope="session")
def log_spectrogram_of(sound: Callable[[str, int], Tensor]) -> Callable[[str, int], Tensor]:
    """Return a maker of log-spectrograms `[F, T]` of demo sounds."""
    return lambda name, n_samples: sound_log_spectrogram(sound(name, n_samples), SAMPLE_RATE)


@pytest.fixture(scope="session")
def calibration(log_spectrogram_of: Callable[[str, int], Tensor]) -> Tensor:
    """Return log-spectrograms `[3, F, T]` that tell a random network what spectrograms look like."""
    return torch.stack([log_spectrogram_of(name, 4_800) for name in ("harp_phrase", "violin_sustained", "drum_loop")])


@pytest.fixture(scope="session")
def encoder(calibration: Tensor) -> Encoder:
    """Return the network at full size with random filters: no test here needs it to have learned."""
    return random_encoder(3, calibration)


@pytest.fixture(scope="session")
def small_network() -> AlexNet3x3:
    """Return a narrow network in evaluation mode whose batch norms all do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        network = AlexNet3x3(channels=(3, 4, 5, 4, 3), classes=7)
        for norm in network.norms:
            norm.running_mean.normal_(0.0, 0.2)
            norm.running_var.uniform_(0.3, 2.0)
            torch.nn.init.uniform_(norm.weight, 0.7, 1.5)
            torch.nn.init.uniform_(norm.bias, 0.05, 0.4)
    network.input_mean.fill_(1.4)
    network.input_scale.fill_(0.8)
    return network.eval()
