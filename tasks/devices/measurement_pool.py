"""The measurement workers of a process: children that write and measure sounds, so that no device waits for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import LifoQueue

from stylecore.errors import Interrupted
from tasks.pair_state import Measurement, MeasurementFailure, MeasurementRequest, PairState
from tasks.workers.client import ChildError
from tasks.workers.supervision import Worker, answered

PROGRAM = "tasks.pipeline.measurement_worker"

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""A worker has one core: a second thread makes nothing faster here, and costs twice the processor's time."""

START_TIMEOUT_S = 300.0
"""librosa compiles its functions when they are called for the first time on a machine."""


class MeasurementPool:
    """Some measurement workers, started when they are needed; any thread may use them.

    Parameters
    ----------
    count : int
        Measurement workers at most.
    program : str
        What they run.
    """

    def __init__(self, count: int, program: str = PROGRAM) -> None:
        self.all = tuple(Worker(program, ENVIRONMENT) for _ in range(count))
        self._idle: LifoQueue[Worker] = LifoQueue()  # the last one used is warm
        for worker in self.all:
            self._idle.put(worker)
        self._starting, self._warm = threading.Lock(), threading.Event()

    def measure(self, outcomes: Sequence[PairState], stall_s: float) -> None:
        """Give each rendered outcome its measurement, or the reason why it has none.

        Raises
        ------
        Interrupted
            If the run is asked to stop.
        """
        if not outcomes:
            return
        orders = [MeasurementRequest.of(outcome) for outcome in outcomes]
        found = answered(lambda some: self._ask(some, stall_s), orders, _gave_up)
        for outcome, measured in zip(outcomes, found, strict=True):
            if isinstance(measured, MeasurementFailure):
                outcome.fail(measured.error_type, measured.message)
            else:
                outcome.measurement = measured

    def warm_up(self) -> None:
        """Start the first in the background, while there is nothing to measure yet; later calls do nothing."""
        if not self._warm.is_set():
            self._warm.set()
            threading.Thread(target=self._warm_up, name="measurement", daemon=True).start()

    def close(self) -> None:
        """End the processes."""
        for worker in self.all:
            worker.close()

    def _warm_up(self) -> None:
        # The first one who measures will be told; where the program ends meanwhile, the pipes are closed under this.
        with suppress(ChildError, Interrupted, OSError):
            self._ask([], START_TIMEOUT_S)

    def _ask(self, orders: Sequence[MeasurementRequest], stall_s: float) -> list[Measurement | MeasurementFailure]:
        worker = self._idle.get()
        try:
            if worker.pid is None:
                with self._starting:  # what librosa compiles, and keeps on disk, is not to be written by two at once
                    worker.request([], START_TIMEOUT_S)
            found: list[Measurement | MeasurementFailure] = worker.request(orders, stall_s) if orders else []
            return found
        finally:
            self._idle.put(worker)


def _gave_up(_: MeasurementRequest, reason: str) -> MeasurementFailure:
    return MeasurementFailure("device_process", reason)
