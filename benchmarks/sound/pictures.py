"""Pictures of a pair: content, style and result as spectrograms side by side."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.judged_pairs import JudgedPair
from stylecore.spectrogram import HOP_S, stft
from tasks.audio.sound_files import SAMPLE_RATE, read_sound
from tasks.storage.storage import Storage

RANGE_DB = 70.0


def draw_pair(pair: JudgedPair, audio: Path, caption: str, picture: Path) -> None:
    """Draw one pair as PNG; `audio` is the result, `caption` stands under the pair's name."""
    result = read_sound(str(audio.resolve()), Storage())
    sounds = {
        f"content: {pair.content.path.stem}": pair.content.samples,
        f"style: {pair.style.path.stem}": pair.style.samples,
        "result": result,
    }
    figure, axes = plt.subplots(1, 3, figsize=(15, 5), sharey=True, constrained_layout=True)
    for axis, (title, samples) in zip(axes, sounds.items(), strict=True):
        levels = decibels(samples)
        extent = (0.0, levels.shape[1] * HOP_S, 0.0, SAMPLE_RATE / 2000.0)
        image = axis.imshow(levels, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-RANGE_DB, vmax=0)
        axis.set_title(title.replace("_", " "))
        axis.set_xlabel("time / s")
    axes[0].set_ylabel("frequency / kHz")
    figure.colorbar(image, ax=axes, label="dB under peak")
    figure.suptitle(f"{pair.pair_id}\n{textwrap.fill(caption, 130)}")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)
    plt.close(figure)


def decibels(samples: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return the spectrogram of a sound in dB under its peak, `[F, T]`, down to -70 dB."""
    magnitude = stft(torch.from_numpy(samples)[None], SAMPLE_RATE)[0].abs().numpy()
    return 20.0 * np.log10(np.maximum(magnitude / magnitude.max(), 10.0 ** (-RANGE_DB / 20.0)))
