"""Compute in this process, what it does to the process it does to the run: for one pair, and to look closely."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tasks.cache import ByteLimitedCache
from tasks.devices.device_pool import DevicePool, Slot
from tasks.devices.executors import SynthesisRequest
from tasks.interruption import raise_if_stopping
from tasks.pair_state import MeasurementFailure, MeasurementRequest, PairState
from tasks.pipeline.batch_synthesis import synthesise_batch
from tasks.pipeline.measurement import measure_all
from tasks.progress import PROGRESS

CACHE_BYTES = 512 << 20


class InProcessExecutor:
    """Both stages in the thread that asks for them (`tasks.devices.executors.Executor`).

    Parameters
    ----------
    device : str
        As torch names it; it has one slot.
    """

    def __init__(self, device: str) -> None:
        self.devices = DevicePool([device])
        self.analyses, self.features = ByteLimitedCache(CACHE_BYTES), ByteLimitedCache(CACHE_BYTES)

    def synthesise(self, batch: SynthesisRequest, slot: Slot) -> None:
        """Synthesise a batch."""
        torch.set_num_threads(batch.threads)  # per thread: equal batches then give identical samples
        synthesise_batch(batch.outcomes, slot.device, batch.weights, self.analyses, count_step)

    def measure(self, outcomes: Sequence[PairState]) -> None:
        """Write and measure what was rendered."""
        rendered = [outcome for outcome in outcomes if not outcome.failed]
        found = measure_all([MeasurementRequest.of(outcome) for outcome in rendered], self.features, raise_if_stopping)
        for outcome, measured in zip(rendered, found, strict=True):
            if isinstance(measured, MeasurementFailure):
                outcome.fail(measured.error_type, measured.message)
            else:
                outcome.measurement = measured


def count_step() -> None:
    """Count one step of this process; raise `Interrupted` once the run is asked to stop."""
    raise_if_stopping()
    PROGRESS.count_step()
