"""Write sounds as FLAC, read them again, and measure what a listener would hear. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from hashlib import sha256

import numpy as np

from stylecore import metrics
from stylecore.features import SAMPLE_RATE
from tasks.audio.sound_files import decode_flac, encode_flac, pcm_to_float, samples_sha256
from tasks.cache import ByteLimitedCache
from tasks.pair_state import IdentifiedSound, Measurement, MeasurementFailure, MeasurementRequest, error_type_of


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
    """Write one result as FLAC bytes, decode it again, and measure that.

    Parameters
    ----------
    order : MeasurementRequest
        Samples in the steps of a 24-bit file.
    cache : ByteLimitedCache
        Of the features of contents and styles.

    Raises
    ------
    ValueError
        If the file does not give back the very samples: their losses would be those of another sound.
    SignalError
        If a sound cannot be measured.
    """
    began = time.perf_counter()
    flac = encode_flac(order.samples, order.sample_rate)
    pcm = decode_flac(flac)
    written = pcm_to_float(pcm)
    if not np.array_equal(written, order.samples):
        raise ValueError("FLAC gave back other samples than were written")
    sums = {"file_sha256": sha256(flac).hexdigest(), "samples_sha256": samples_sha256(pcm)}
    encoded = time.perf_counter()
    sounds = {
        "output": metrics.features(written),
        "content": _features(order.content, cache),
        "style": _features(order.style, cache),
    }
    figures = metrics.compare(sounds["output"], sounds["content"], sounds["style"], notes=order.notes)
    described = {f"{whose}_{name}": value for whose, of in sounds.items() for name, value in of.descriptors.items()}
    seconds = {"write": encoded - began, "measure": time.perf_counter() - encoded}
    return Measurement(flac, **sums, figures={**described, **figures}, seconds=seconds)


def _features(sound: IdentifiedSound, cache: ByteLimitedCache) -> metrics.SoundFeatures:
    return cache.get(sound.identity, lambda: _Features(metrics.features(sound.samples))).value


def warm_up() -> None:
    """Pay for what librosa loads and compiles on its first call."""
    metrics.features(np.random.default_rng(0).standard_normal(SAMPLE_RATE))
