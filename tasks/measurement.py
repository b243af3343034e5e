"""Turn outcomes into sound files and rows: one constant gain, FLAC, and the figures of the audio as written."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray

from manifests.results import audio_uri
from stylecore import metrics
from stylecore.settings import CORE_VERSION
from stylecore.spectrogram import magnitude, stft
from stylecore.synthesis import losses_of
from tasks.audio import decode_flac, encode_flac, pcm_to_float, samples_sha256
from tasks.cache import ByteLimitedCache
from tasks.devices import encoder_on
from tasks.synthesis import Outcome, error_type_of

PEAK_LIMIT_DB = -1.0
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """A row of the results and, if the pair succeeded, the file that belongs to it."""

    row: dict[str, object]
    flac: bytes | None


@dataclass(frozen=True)
class _Features:
    """Features of one sound with their size, for the cache."""

    value: metrics.SoundFeatures

    @property
    def n_bytes(self) -> int:
        arrays = (getattr(self.value, field.name) for field in fields(self.value))
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


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


def measure(outcome: Outcome, run: RowContext, cache: ByteLimitedCache) -> Measured:
    """Write one outcome as FLAC bytes, decode it again, and measure what a listener would hear.

    A pair that fails here becomes a failed row like any other.
    """
    began = time.perf_counter()
    try:
        measured = _measure_success(outcome, run, cache, began) if outcome.error_type is None else None
    except Exception as error:  # a figure that cannot be computed must not take the shard with it
        outcome.fail(error_type_of(error), f"{type(error).__name__}: {error}")
        measured = None
    return measured or Measured(_common_row(outcome, run), None)


@dataclass(frozen=True)
class RowContext:
    """What all rows of a shard share."""

    root: str
    run_id: str
    shard: int
    device: str
    weights_digest: str


def _measure_success(outcome: Outcome, run: RowContext, cache: ByteLimitedCache, began: float) -> Measured:
    synthesis, content, style = outcome.synthesis, outcome.content, outcome.style
    assert synthesis is not None
    assert content is not None
    assert style is not None
    assert outcome.pair is not None
    waveform = synthesis.waveform.numpy()
    gain = output_gain(waveform, content)
    rate = outcome.settings.sample_rate
    flac = encode_flac(waveform * np.float32(gain), rate)
    pcm = decode_flac(flac)
    written = pcm_to_float(pcm)
    encoded = time.perf_counter()
    output_features = metrics.features(written)
    content_features = cache.get(
        ("features", outcome.planned["content_identity"]), lambda: _Features(metrics.features(content))
    ).value
    style_features = cache.get(
        ("features", outcome.planned["style_identity"]), lambda: _Features(metrics.features(style))
    ).value
    figures = metrics.compare(output_features, content_features, style_features)
    heard = losses_of(outcome.pair, encoder_on(run.device), torch.from_numpy(written / np.float32(gain)))
    estimate = stft(torch.from_numpy(written)[None], rate)[0].abs().numpy()
    convergence = metrics.spectral_convergence_db(estimate, gain * magnitude(synthesis.picture).numpy())
    outcome.seconds["write"] = encoded - began
    outcome.seconds["measure"] = time.perf_counter() - encoded
    row = {
        **_common_row(outcome, run),
        **_loss_columns(outcome, heard),
        "output": audio_uri(run.root, str(outcome.planned["fingerprint"])),
        "status": "succeeded",
        "file_sha256": sha256(flac).hexdigest(),
        "samples_sha256": samples_sha256(pcm),
        "n_samples": len(written),
        "duration_s": len(written) / rate,
        "sample_rate": rate,
        "gain_db": 20.0 * float(np.log10(gain)),
        **_described("content", content_features),
        **_described("style", style_features),
        **_described("output", output_features),
        **figures,
        "spectral_convergence_db": convergence,
    }
    return Measured(row, flac)


def _described(whose: str, features: metrics.SoundFeatures) -> dict[str, float | None]:
    return {f"{whose}_{name}": value for name, value in features.descriptors.items()}


def _common_row(outcome: Outcome, run: RowContext) -> dict[str, object]:
    planned, settings = outcome.planned, outcome.settings
    own = ("pair_id", "content", "style", "fingerprint", "content_identity", "style_identity", "settings")
    names = ("alpha", "beta", "gamma", "delta", "iterations", "seed")
    return {
        **{name: planned[name] for name in own},
        **{name: getattr(settings, name) for name in names},
        "status": "failed",
        "error_type": outcome.error_type,
        "error_message": outcome.error_message,
        **{f"seconds_{stage}": seconds for stage, seconds in outcome.seconds.items()},
        "seconds_total": sum(outcome.seconds.values()),
        "device": run.device,
        "version": version("timbreflow"),
        "core_version": CORE_VERSION,
        "torch_version": torch.__version__,
        "weights_digest": run.weights_digest,
        "run_id": run.run_id,
        "shard": run.shard,
        "started_at": outcome.started_at,
        "finished_at": datetime.now(UTC),
    }


def _loss_columns(outcome: Outcome, heard: dict[str, float]) -> dict[str, object]:
    """Return the columns of the losses; the last ones are those `heard` in the audio as written."""
    synthesis, settings = outcome.synthesis, outcome.settings
    assert synthesis is not None
    weights = (settings.alpha, settings.beta, settings.gamma, settings.delta)
    return {
        **{f"loss_first_{name}": value for name, value in synthesis.first_terms.items()},
        **{f"loss_last_{name}": value for name, value in heard.items()},
        "loss_first_total": synthesis.loss_curve[0],
        "loss_last_total": sum(weight * value for weight, value in zip(weights, heard.values(), strict=True)),
        "loss_curve": synthesis.loss_curve,
        "evaluations": synthesis.evaluations,
        "stop_reason": synthesis.stop_reason,
    }
