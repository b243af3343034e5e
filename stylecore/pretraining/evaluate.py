"""How well the network hears: accuracy on pitches held out as a whole, and on a soundfont it never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stylecore.network import CLASSES, AlexNet3x3
from stylecore.pretraining.augment import plain_log_spectrograms
from stylecore.pretraining.notes import FAMILIES, SAMPLE_RATE, Notes

BATCH = 64


@dataclass(frozen=True)
class Accuracy:
    """Share of notes whose program (`top_1`) or instrument family (`family`) was named; `confusion` `[10, 10]`."""

    notes: int
    top_1: float
    family: float
    confusion: NDArray[np.int64]


def evaluate(network: AlexNet3x3, notes: Notes) -> Accuracy:
    """Classify the first 1.28 s of each note; rows of the confusion are true families, columns named ones."""
    if not len(notes.programs):
        raise ValueError("there are no notes to classify")
    network.eval()
    samples = torch.from_numpy(notes.samples)
    named = []
    with torch.inference_mode():
        for start in range(0, len(samples), BATCH):
            named.append(network(plain_log_spectrograms(samples[start : start + BATCH].float(), SAMPLE_RATE)).argmax(1))
    predicted = torch.cat(named).numpy()
    per_family = CLASSES // len(FAMILIES)
    confusion = np.zeros((len(FAMILIES), len(FAMILIES)), dtype=np.int64)
    np.add.at(confusion, (notes.programs // per_family, predicted // per_family), 1)
    return Accuracy(
        notes=len(predicted),
        top_1=float((predicted == notes.programs).mean()),
        family=float(np.trace(confusion) / confusion.sum()),
        confusion=confusion,
    )
