"""The program of a measurement worker, which writes and measures sounds. librosa lives here, torch does not."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.cache import ByteLimitedCache
from tasks.interruption import clear_stop, raise_if_stopping, request_stop
from tasks.pair_state import Measurement, MeasurementFailure, MeasurementRequest
from tasks.pipeline.measurement import measure_all, warm_up
from tasks.workers.server import Tell, serve

CACHE_BYTES = 128 << 20
"""Limit of the features that are kept: 1.5 MB for a sound of 3 s."""

_FEATURES = ByteLimitedCache(CACHE_BYTES)


def answer(orders: Sequence[MeasurementRequest], tell: Tell) -> list[Measurement | MeasurementFailure]:
    """Measure what is ordered; an order of nothing makes ready for others.

    Raises
    ------
    Interrupted
        If the parent asked for it.
    """
    clear_stop()

    def on_step() -> None:
        tell("step")
        raise_if_stopping()

    if not orders:
        warm_up()
    return measure_all(orders, _FEATURES, on_step)


if __name__ == "__main__":
    serve(answer, on_notice=lambda _: request_stop())
