"""Write sounds, read them again, and measure what a listener would hear. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from hashlib import sha256

import numpy as np
import soxr
from numpy.typing import NDArray

from stylecore import metrics
from stylecore.channels import downmix
from stylecore.features import SAMPLE_RATE
from tasks.audio.encoding import FORMATS, decode, encode
from tasks.audio.sound_files import pcm_of, samples_sha256
from tasks.cache import ByteLimitedCache
from tasks.pair_state import IdentifiedSound, Measurement, MeasurementFailure, MeasurementRequest, error_type_of
from tasks.pipeline.placing import placed_in


@dataclass(frozen=True)
class _Features:
    """Features of one sound with their size, for the cache."""

    value: metrics.SoundFeatures

    @property
    def n_bytes(self) -> int:
        return _bytes_of(self.value)


def _bytes_of(value: object) -> int:
    """Return the bytes of all arrays of a record and of the records in it."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if is_dataclass(value):
        return sum(_bytes_of(getattr(value, field.name)) for field in fields(value))
    return 0


def measure_all(
    orders: Sequence[MeasurementRequest], cache: ByteLimitedCache, on_step: Callable[[], None]
) -> list[Measurement | MeasurementFailure]:
    """Measure results, whatever one of them does; `on_step` is called before each.

    Raises
    ------
    Interrupted
        From `on_step`.
    """
    found: list[Measurement | MeasurementFailure] = []
    for order in orders:
        on_step()
        try:
            found.append(measure(order, cache))
        except Exception as error:  # a figure that cannot be computed must not take the shard with it
            found.append(MeasurementFailure(error_type_of(error), f"{type(error).__name__}: {error}"))
    return found


def measure(order: MeasurementRequest, cache: ByteLimitedCache) -> Measurement:
    """Write one result into the bytes of a file, decode it again, and measure that, mixed down and at 16 kHz.

    Parameters
    ----------
    order : MeasurementRequest
        A result, its content and its style.
    cache : ByteLimitedCache
        Of the features of contents and styles.

    Raises
    ------
    ValueError
        If a file without loss does not give back the very samples: their losses would be those of another sound.
    SignalError
        If a sound cannot be measured.
    """
    began = time.perf_counter()
    heard = placed_in(order.space, order.samples, order.sample_rate)
    audio = encode(heard.samples, order.space.sample_rate, order.file_format, order.tags)
    written = decode(audio)
    if FORMATS[order.file_format].is_lossless and not np.array_equal(written, heard.samples):
        raise ValueError(f"{order.file_format} gave back other samples than were written")
    encoded = time.perf_counter()
    sounds = {
        "output": metrics.features(_measured(written, order.space.sample_rate)),
        "content": _features(order.content, order.sample_rate, cache),
        "style": _features(order.style, order.sample_rate, cache),
    }
    figures = metrics.compare(sounds["output"], sounds["content"], sounds["style"], notes=order.notes)
    described = {f"{whose}_{name}": value for whose, of in sounds.items() for name, value in of.descriptors.items()}
    seconds = {"write": encoded - began, "measure": time.perf_counter() - encoded}
    return Measurement(
        audio,
        sha256(audio).hexdigest(),
        samples_sha256(pcm_of(written.clip(-1, 1))),
        order.space.sample_rate,
        len(written),
        1 if written.ndim == 1 else written.shape[1],
        heard.gain,
        {**described, **figures},
        seconds,
    )


def _features(sound: IdentifiedSound, sample_rate: int, cache: ByteLimitedCache) -> metrics.SoundFeatures:
    def features() -> _Features:
        return _Features(metrics.features(_measured(sound.samples, sample_rate)))

    return cache.get((sound.identity, sample_rate), features).value


def _measured(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Return a sound `[N]` or `[N, channels]` as it is measured: mono, at 16 kHz."""
    mono = samples if samples.ndim == 1 else downmix(samples)
    if sample_rate != SAMPLE_RATE:
        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE, quality="HQ")
    return np.asarray(mono, dtype=np.float32)


def warm_up() -> None:
    """Pay for what librosa loads and compiles on its first call."""
    metrics.features(np.random.default_rng(0).standard_normal(SAMPLE_RATE))
