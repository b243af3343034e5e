"""Compute batches in processes of their own: devices synthesise, meters write and measure.

This process needs neither torch nor librosa for it. What dies or stands still there is replaced, and costs at most the
pair that is the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tasks.measuring import Meters
from tasks.outcomes import Outcome
from tasks.progress import PROGRESS
from tasks.rows import Measured, RowContext, failed, succeeded
from tasks.slots import DeviceSlots, Slot
from tasks.supervision import answered


@dataclass(frozen=True)
class Batch:
    """What a device is asked to synthesise, and how.

    Attributes
    ----------
    outcomes : sequence of Outcome
        Pairs with their sounds, or failed already.
    device : str
        As torch names it.
    threads : int
        Of the processor.
    cache_bytes : int
        Limit of the process's cache of analysed sounds.
    """

    outcomes: Sequence[Outcome]
    device: str
    threads: int
    cache_bytes: int


@dataclass(frozen=True)
class Look:
    """Asks a device process which devices there are."""


class Compute(Protocol):
    """How the two stages of a shard are computed. Any thread may call both; a slot serves one of them at a time."""

    @property
    def slots(self) -> DeviceSlots:
        """The devices."""

    def synthesise(self, batch: Batch, slot: Slot) -> None:
        """Give each outcome of a batch its `rendered`, or the reason why it has none."""

    def measure(self, outcomes: Sequence[Outcome], run: RowContext) -> list[Measured]:
        """Return a row for each outcome, in order, with its file if it succeeded."""


@dataclass(frozen=True)
class Apart:
    """Computes in processes of their own.

    Attributes
    ----------
    slots : DeviceSlots
        Devices with their processes.
    meters : Meters
        Processes that write and measure.
    stall_s : float
        Seconds without a step after which a process is killed.
    """

    slots: DeviceSlots
    meters: Meters
    stall_s: float

    def synthesise(self, batch: Batch, slot: Slot) -> None:
        """Synthesise a batch in the slot's process; see `Compute`."""
        ready = [outcome for outcome in batch.outcomes if not outcome.failed]
        if not ready:
            return  # rows of sounds that could not be read need no device
        self.meters.warm_up()

        def ask(some: Sequence[Outcome]) -> list[Outcome]:
            made: list[Outcome] = slot.worker.request(replace(batch, outcomes=some), self.stall_s, _count_step)
            return made

        for outcome, answer in zip(ready, answered(ask, ready, _gave_up), strict=True):
            outcome.take(answer)

    def measure(self, outcomes: Sequence[Outcome], run: RowContext) -> list[Measured]:
        """Write and measure what was rendered, in a meter; see `Compute`."""
        self.meters.measure([outcome for outcome in outcomes if not outcome.failed], self.stall_s)
        return rows_of(outcomes, run)


def rows_of(outcomes: Sequence[Outcome], run: RowContext) -> list[Measured]:
    """Return the row of each outcome, in order: of those that were measured, and of those that have failed."""
    return [failed(outcome, run) if outcome.failed else succeeded(outcome, run) for outcome in outcomes]


def _gave_up(outcome: Outcome, reason: str) -> Outcome:
    outcome.fail("device_process", reason)
    return outcome


def _count_step(_: object) -> None:
    PROGRESS.count_step()
