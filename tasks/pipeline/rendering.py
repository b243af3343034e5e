"""From a synthesis to the samples of its file: one constant gain, steps of 24 bits, and the losses of just these."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stylecore.encoded import padded
from stylecore.encoder import Encoder
from stylecore.figures import spectral_convergence_db
from stylecore.spectrogram import log_spectrogram, magnitude, stft
from stylecore.synthesis import Pair, Synthesis, equation_1
from stylecore.terms import TERMS
from tasks.audio.sound_files import quantised
from tasks.devices.hardware import on_device
from tasks.pair_state import PairState, Rendered, error_type_of

PEAK_LIMIT_DB = -1.0
Samples = NDArray[np.float32]
Made = tuple[PairState, Pair, Synthesis]


def output_gain(waveform: Samples, content: Samples) -> float:
    """Return the one gain that gives a result its content's RMS, or a peak of -1 dBFS if that is less.

    >>> import numpy as np
    >>> output_gain(np.full(10, 0.25, np.float32), np.full(10, 0.5, np.float32))
    2.0
    """
    rms = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
    peak = float(np.abs(waveform).max())
    if rms == 0.0:
        return 1.0
    content_rms = float(np.sqrt(np.mean(np.square(content, dtype=np.float64))))
    return min(content_rms / rms, 10.0 ** (PEAK_LIMIT_DB / 20.0) / peak)


def render(made: Sequence[Made], encoder: Encoder, device: str) -> None:
    """Give each outcome of a batch its `Rendered`, or the reason why it has none.

    Parameters
    ----------
    made : sequence of (PairState, Pair, Synthesis)
        What one call of `synthesise` made of one batch.
    encoder : Encoder
        On the device.
    device : str
        As torch names it.
    """
    began = time.perf_counter()
    written = [(one, at_level) for one in made if (at_level := _at_level(one)) is not None]
    if not written:
        return
    heard = _heard_terms(
        [(pair, samples / np.float32(gain)) for (_, pair, _), (samples, gain) in written], encoder, device
    )
    for ((outcome, _, synthesis), (samples, gain)), terms in zip(written, heard, strict=True):
        outcome.rendered = Rendered(
            samples=samples,
            gain=gain,
            first_terms=synthesis.first_terms,
            heard_terms=terms,
            loss_curve=synthesis.loss_curve,
            evaluations=synthesis.evaluations,
            stop_reason=synthesis.stop_reason,
            convergence_db=_convergence_db(synthesis, samples, gain, outcome.settings.analysis_rate),
        )
    share = (time.perf_counter() - began) / len(made)
    for outcome, _, _ in made:
        outcome.take_time("measure", share)


def _at_level(made: Made) -> tuple[Samples, float] | None:
    """Return the samples of the file and their gain; None, with the reason in the outcome, if there are none."""
    outcome, _, synthesis = made
    assert outcome.content is not None
    try:
        waveform = synthesis.waveform.numpy()
        gain = output_gain(waveform, outcome.content)
        return quantised(waveform * np.float32(gain)), gain
    except Exception as error:  # whatever one pair does, its companions go on
        outcome.fail(error_type_of(error), f"{type(error).__name__}: {error}")
        return None


@torch.no_grad()
def _heard_terms(heard: Sequence[tuple[Pair, Samples]], encoder: Encoder, device: str) -> list[dict[str, float]]:
    """Return the four losses, without weights, of samples `[N]` as they are heard, at the level of `Synthesis`."""
    pairs = [pair for pair, _ in heard]
    problem = equation_1(pairs, encoder)
    log_spectrograms = [
        log_spectrogram(on_device(samples, device)[None], pair.settings.analysis_rate)[0] for pair, samples in heard
    ]
    terms = problem.objective(padded(log_spectrograms)).stacked.tolist()  # read back once for all
    return [dict(zip((term.name for term in TERMS), own, strict=True)) for own in terms]


def _convergence_db(synthesis: Synthesis, samples: Samples, gain: float, sample_rate: int) -> float | None:
    estimate = stft(torch.from_numpy(samples)[None], sample_rate)[0].abs().numpy()
    return spectral_convergence_db(estimate, gain * magnitude(synthesis.log_spectrogram).numpy())
