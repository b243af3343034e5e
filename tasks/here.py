"""Compute in this process, what it does to the process it does to the run: for one pair, and to look closely."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tasks.cache import ByteLimitedCache
from tasks.computing import Batch, rows_of
from tasks.interruption import raise_if_stopping
from tasks.measurement import measure_all
from tasks.outcomes import Fault, Order, Outcome
from tasks.progress import PROGRESS
from tasks.rows import Measured, RowContext
from tasks.slots import DeviceSlots, Slot
from tasks.synthesis import synthesise_batch

CACHE_BYTES = 512 << 20


class Here:
    """Both stages in the thread that asks for them (`tasks.computing.Compute`).

    Parameters
    ----------
    device : str
        As torch names it; it has one slot.
    """

    def __init__(self, device: str) -> None:
        self.slots = DeviceSlots([device])
        self.analyses, self.features = ByteLimitedCache(CACHE_BYTES), ByteLimitedCache(CACHE_BYTES)

    def synthesise(self, batch: Batch, slot: Slot) -> None:
        """Synthesise a batch."""
        torch.set_num_threads(batch.threads)  # per thread: equal batches then give identical samples
        synthesise_batch(batch.outcomes, slot.device, self.analyses, count_step)

    def measure(self, outcomes: Sequence[Outcome], run: RowContext) -> list[Measured]:
        """Write and measure what was rendered."""
        rendered = [outcome for outcome in outcomes if not outcome.failed]
        found = measure_all([Order.of(outcome) for outcome in rendered], self.features, raise_if_stopping)
        for outcome, measured in zip(rendered, found, strict=True):
            if isinstance(measured, Fault):
                outcome.fail(measured.error_type, measured.message)
            else:
                outcome.measurement = measured
        return rows_of(outcomes, run)


def count_step() -> None:
    """Count one step of this process; raise `Interrupted` once the run is asked to stop."""
    raise_if_stopping()
    PROGRESS.count_step()
