"""Make the goldens anew: `python -m tests.goldens.make`. Do so where the sound has changed on purpose, and listen.

The outputs are one second long, of two pairs of demo sounds, with each preset. Every step runs, each but a few times:
an optimisation enlarges the rounding of another processor or of another number of threads, and after all evaluations of
a preset it is as large as a difference that is meant. Beside them stands the CORE_VERSION that made them: samples that
move are another computation, and stored results have to be computed anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from stylecore.analysis import analyse
from stylecore.folded_alexnet import load_encoder
from stylecore.pairing import paired
from stylecore.settings import CORE_VERSION, preset
from stylecore.synthesis import synthesise
from tasks.audio.sound_files import SAMPLE_RATE, read_sound
from tasks.storage.storage import Storage

FOLDER = Path(__file__).parent
DEMO = FOLDER.parents[1] / "assets" / "demo"
VERSION = FOLDER / "core_version.json"
DURATION_S = 1
GAIN = 0.5
"""Keeps peaks in the range of a file."""
FEW = {"iterations": 4, "sound_iterations": 2, "griffin_lim_iterations": 8}
PAIRS = {"harp-x-violin": ("harp_phrase", "violin_sustained"), "drums-x-cello": ("drum_loop", "cello_phrase")}
NAMES = [f"{pair}-{name}" for pair in PAIRS for name in ("default", "paper")]


def golden(name: str) -> Path:
    """Return the path of a golden: mono, 16 kHz, FLAC of 24 bits: a result of few evaluations may be quiet."""
    return FOLDER / f"{name}.flac"


def rendered(name: str, n_threads: int = 1) -> NDArray[np.float32]:
    """Return the samples `[16000]` that the core makes for a golden today."""
    pair, settings = name.rsplit("-", 1)
    content, style = (_second(sound) for sound in PAIRS[pair])
    whole, encoder, threads = preset(settings), load_encoder(), torch.get_num_threads()
    chosen = whole.resolve({name: min(count, getattr(whole, name)) for name, count in FEW.items()})
    torch.set_num_threads(n_threads)
    try:
        analyses = [analyse(sound, chosen.analysis_rate) for sound in (content, style)]
        (result,) = synthesise([paired(*analyses, len(content), encoder, chosen)], encoder)
    finally:
        torch.set_num_threads(threads)
    return GAIN * result.waveform.numpy()


def _second(sound: str) -> torch.Tensor:
    """Return the second of a demo sound that begins half a second after it."""
    samples = read_sound(str(DEMO / f"{sound}.flac"), Storage())
    return torch.from_numpy(samples[SAMPLE_RATE // 2 :][: DURATION_S * SAMPLE_RATE].copy())


def main() -> None:
    """Write all goldens and the version of the core that made them."""
    for name in NAMES:
        soundfile.write(golden(name), rendered(name), SAMPLE_RATE, subtype="PCM_24")
        print(golden(name))
    VERSION.write_text(json.dumps({"core_version": CORE_VERSION}) + "\n")


if __name__ == "__main__":
    main()
