"""Draw the paper's Figures 1 and 2 from the preset `paper`: `python docs/pictures/paper_figures.py`.

Four panels each: the Gaussian noise that the optimisation begins with, content, style, and the result. All are
log-magnitude spectrograms as the network sees them; the result's is that of the sound as it was written.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from stylecore.folded_alexnet import load_encoder
from stylecore.settings import preset
from stylecore.spectrogram import HOP_S
from stylecore.synthesis import sound_picture, starting_picture
from tasks.audio.sound_files import SAMPLE_RATE, read_sound
from tasks.pipeline.single import synthesise_single
from tasks.storage.storage import Storage

HERE = Path(__file__).parent
DEMO = HERE.parent.parent / "assets" / "demo"
FIGURES = {
    "paper_figure_1.png": ("harp_phrase", "tuning_fork_440"),
    "paper_figure_2.png": ("singing_phrase", "violin_sustained"),
}
PAPER = preset("paper")
COLOURS = 96
LOUDEST = 7.5
"""Upper end of the colours, in nepers: what a full sine at the reference level reaches."""

Picture = NDArray[np.float32]


def log_magnitude(path: Path) -> Picture:
    """Return the picture `[F, T]` of a file, in nepers over the floor."""
    return np.asarray(sound_picture(torch.from_numpy(read_sound(str(path), Storage())), SAMPLE_RATE))


def panels(content: Path, style: Path) -> dict[str, Picture]:
    """Return the four pictures of one example by their titles."""
    with TemporaryDirectory() as folder:
        result = Path(folder) / "result.flac"
        row = synthesise_single(str(content), str(style), str(result), PAPER, "cpu")
        if row["status"] != "succeeded":
            raise SystemExit(f"{content.stem} x {style.stem}: {row['error_message']}")
        heard = log_magnitude(result)
    start = starting_picture(load_encoder(), *heard.shape, PAPER)
    return {
        "Gaussian noise": np.asarray(start),
        f"content: {content.stem.replace('_', ' ')}": log_magnitude(content),
        f"style: {style.stem.replace('_', ' ')}": log_magnitude(style),
        "result": heard,
    }


def draw(name: str, content: str, style: str) -> None:
    """Draw one example beside this file."""
    drawn = panels(DEMO / f"{content}.flac", DEMO / f"{style}.flac")
    figure, axes = plt.subplots(2, 2, figsize=(12, 8), sharex=True, sharey=True, constrained_layout=True)
    for axis, (title, picture) in zip(axes.flat, drawn.items(), strict=True):
        extent = (0.0, picture.shape[1] * HOP_S, 0.0, SAMPLE_RATE / 2000.0)
        image = axis.imshow(picture, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=0, vmax=LOUDEST)
        axis.set_title(title)
    for axis in axes[1]:
        axis.set_xlabel("time / s")
    for axis in axes[:, 0]:
        axis.set_ylabel("frequency / kHz")
    figure.colorbar(image, ax=axes, label="log-magnitude / Np")
    save(figure, HERE / name)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of few colours: noise does not compress, and a repository keeps every version."""
    whole = BytesIO()
    figure.savefig(whole, dpi=80)
    Image.open(whole).convert("RGB").quantize(COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    for name, example in FIGURES.items():
        draw(name, *example)
