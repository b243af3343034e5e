"""Compute batches in processes of their own: devices synthesise, measurement workers write and measure.

This process needs neither torch nor librosa for it. What dies or stands still there is replaced, and costs at most the
pair that is the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from stylecore.weights import Weights, shipped
from tasks.devices.device_pool import DevicePool, Slot
from tasks.devices.measurement_pool import MeasurementPool
from tasks.pair_state import PairState
from tasks.progress import PROGRESS
from tasks.workers.supervision import answered


@dataclass(frozen=True)
class SynthesisRequest:
    """What a device is asked to synthesise, and how.

    Attributes
    ----------
    outcomes : sequence of PairState
        Pairs with their sounds, or failed already.
    device : str
        As torch names it.
    threads : int
        Of the processor.
    cache_bytes : int
        Limit of the process's cache of analysed sounds.
    weights : Weights
        Of the network.
    """

    outcomes: Sequence[PairState]
    device: str
    threads: int
    cache_bytes: int
    weights: Weights = field(default_factory=shipped)


@dataclass(frozen=True)
class DeviceQuery:
    """Asks a device process which devices there are."""


class Executor(Protocol):
    """How the two stages of a shard are computed. Any thread may call both; a slot serves one of them at a time."""

    @property
    def devices(self) -> DevicePool:
        """The devices."""

    def synthesise(self, batch: SynthesisRequest, slot: Slot) -> None:
        """Give each outcome of a batch its `rendered`, or the reason why it has none."""

    def measure(self, outcomes: Sequence[PairState]) -> None:
        """Give each rendered outcome its `measurement`, or the reason why it has none."""


@dataclass(frozen=True)
class SubprocessExecutor:
    """Computes in processes of their own.

    Attributes
    ----------
    devices : DevicePool
        Devices with their processes.
    measurement_pool : MeasurementPool
        Processes that write and measure.
    stall_s : float
        Seconds without a step after which a process is killed.
    """

    devices: DevicePool
    measurement_pool: MeasurementPool
    stall_s: float

    def synthesise(self, batch: SynthesisRequest, slot: Slot) -> None:
        """Synthesise a batch in the slot's process; see `Executor`."""
        ready = [outcome for outcome in batch.outcomes if not outcome.failed]
        if not ready:
            return  # rows of sounds that could not be read need no device
        self.measurement_pool.warm_up()

        def ask(some: Sequence[PairState]) -> list[PairState]:
            sent = [replace(outcome, space=None) for outcome in some]  # a device knows of no channels
            made: list[PairState] = slot.worker.request(replace(batch, outcomes=sent), self.stall_s, _count_step)
            return made

        for outcome, answer in zip(ready, answered(ask, ready, _gave_up), strict=True):
            outcome.take(answer)

    def measure(self, outcomes: Sequence[PairState]) -> None:
        """Write and measure what was rendered, in a measurement worker; see `Executor`."""
        self.measurement_pool.measure([outcome for outcome in outcomes if not outcome.failed], self.stall_s)


def _gave_up(outcome: PairState, reason: str) -> PairState:
    outcome.fail("device_process", reason)
    return outcome


def _count_step(_: object) -> None:
    PROGRESS.count_step()
