"""One result as a listener hears it: brought to the content's level, written as FLAC, decoded again, measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.judged_pairs import JudgedPair
from benchmarks.sound.systems import Diverged, Rendered, System
from stylecore import metrics
from stylecore.figures import FIGURES, spectral_convergence_db
from stylecore.spectrogram import stft
from tasks.audio.sound_files import SAMPLE_RATE, decode_flac, encode_flac, pcm_to_float
from tasks.pipeline.rendering import output_gain

Measure = Callable[[np.ndarray, float, Rendered, JudgedPair], Mapping[str, float | None]]
"""From a result as written, the gain it was written with, the result before, and its pair, to its figures."""


def judged(pair: JudgedPair, system: System, folder: Path) -> dict[str, object]:
    """Compute and measure one result by the project's figures; `judged_by` says what comes back."""
    return judged_by(_figures, [figure.name for figure in FIGURES], pair, system, folder)


def judged_by(
    measure: Measure, figures: Sequence[str], pair: JudgedPair, system: System, folder: Path
) -> dict[str, object]:
    """Compute and measure one result; its audio goes to `audio/<system>/<pair_id>.flac` under the folder.

    Parameters
    ----------
    measure : callable
        Finds the figures.
    figures : sequence of str
        Their names: a pair without a result has them too, as None.

    Returns
    -------
    dict
        Pair, system, figures, seconds of processor time per second of audio, and where the audio is. A diverged pair
        has no figures and an `error`.
    """
    row: dict[str, object] = {"pair_id": pair.pair_id, "system": system.name, **dict.fromkeys(figures)}
    try:
        rendered, seconds = system.timed(pair.content.samples, pair.style.samples)
    except Diverged as error:
        return {**row, "cpu_seconds_per_second": None, "audio": None, "error": str(error)}
    gain = output_gain(rendered.samples, pair.content.samples)
    flac = encode_flac(rendered.samples * np.float32(gain), SAMPLE_RATE)
    audio = Path("audio") / system.name / f"{pair.pair_id}.flac"
    (folder / audio).parent.mkdir(parents=True, exist_ok=True)
    (folder / audio).write_bytes(flac)
    return {
        **row,
        **measure(pcm_to_float(decode_flac((folder / audio).read_bytes())), gain, rendered, pair),
        "cpu_seconds_per_second": seconds / pair.content.seconds,
        "audio": str(audio),
        "audio_sha256": hashlib.sha256(flac).hexdigest(),
        "error": None,
        **rendered.facts,
    }


def _figures(written: np.ndarray, gain: float, rendered: Rendered, pair: JudgedPair) -> dict[str, float | None]:
    compared = metrics.compare(metrics.features(written), pair.content.features, pair.style.features)
    if rendered.asked is None:
        return compared
    estimate = stft(torch.from_numpy(written)[None], SAMPLE_RATE)[0].abs().numpy()
    return {**compared, "spectral_convergence_db": spectral_convergence_db(estimate, gain * rendered.asked)}
