"""Draw a demo pair: `python docs/pictures/spectrograms.py OUTPUT PAIR_ID PICTURE.png`."""

from __future__ import annotations

import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from stylecore.spectrogram import HOP_S, stft
from tasks.audio.sound_files import read_sound
from tasks.storage.storage import Storage

RANGE_DB = 70.0
SAMPLE_RATE = 16_000


def decibels(uri: str) -> np.ndarray:
    """Return the spectrogram of a sound in dB under its peak, `[F, T]`."""
    samples = torch.from_numpy(read_sound(uri, Storage(), SAMPLE_RATE))[None]
    magnitude = stft(samples, SAMPLE_RATE)[0].abs().numpy()
    return 20.0 * np.log10(np.maximum(magnitude / magnitude.max(), 10.0 ** (-RANGE_DB / 20.0)))


def draw(output: str, pair_id: str, picture: str) -> None:
    """Draw one pair of an output root side by side."""
    rows = pd.read_parquet(f"{output}/results.parquet").set_index("pair_id")
    row = rows.loc[pair_id]
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True, constrained_layout=True)
    for axis, whose in zip(axes, ("content", "style", "output"), strict=True):
        levels = decibels(row[whose])
        extent = (0.0, levels.shape[1] * HOP_S, 0.0, SAMPLE_RATE / 2000.0)
        image = axis.imshow(levels, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-RANGE_DB, vmax=0)
        name = row[whose].rsplit("/", 1)[-1].removesuffix(".flac").replace("_", " ")
        axis.set_title(f"{whose}: {name}" if whose != "output" else f"result: {pair_id.replace('-', ' ')}")
        axis.set_xlabel("time / s")
    axes[0].set_ylabel("frequency / kHz")
    figure.colorbar(image, ax=axes, label="dB under peak")
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    draw(*sys.argv[1:4])
