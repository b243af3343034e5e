"""The devices of a process: one shard at a time on each, and how long each of them waited for work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from queue import Empty, LifoQueue

from tasks.devices.device_names import name_on_host
from tasks.interruption import raise_if_stopping
from tasks.workers.supervision import Worker

PROGRAM = "tasks.pipeline.device_worker"
POLL_S = 0.2
RELEASE_S = 10.0
"""What giving a device back may take: a request to Prefect's server, and an attempt to get it that is under way."""

Exclusive = Callable[[str], AbstractContextManager[object]]
"""Keeps other runs off a device, by its name, while it is entered."""


@dataclass(frozen=True, eq=False)
class Slot:
    """Room for one shard: a device as torch names it, and the process that computes there.

    `name` tells it from all others of a run, on whatever host.
    """

    name: str
    device: str
    worker: Worker


class DevicePool:
    """The slots of a process; any thread may use them.

    Parameters
    ----------
    devices : sequence of str
        One per slot; a processor may be named several times, an accelerator once.
    exclusive : callable, optional
        Entered for each accelerator while groups of shards are at work: a device becomes free once it has been.
    program : str
        Of the device processes.
    """

    def __init__(self, devices: Sequence[str], exclusive: Exclusive | None = None, program: str = PROGRAM) -> None:
        self.all = tuple(Slot(_name(device, number), device, Worker(program)) for number, device in enumerate(devices))
        self._exclusive = exclusive
        self._free: LifoQueue[Slot | Exception] = LifoQueue()  # the last one used is warm
        self._lock = threading.Lock()
        self._groups = 0
        self._closing = threading.Event()
        self._holds: list[threading.Thread] = []

    def __len__(self) -> int:
        return len(self.all)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Have the devices while a group of shards is at work; groups at the same time share them.

        They are given back when the last group has ended: between two groups of a run no other run gets in.
        """
        with self._lock:
            self._groups += 1
            if self._groups == 1:
                self._closing = threading.Event()
                self._free = LifoQueue()
                self._open(self._free, self._closing)
        try:
            yield
        finally:
            with self._lock:
                self._groups -= 1
                if self._groups == 0:
                    self._closing.set()
                    # Ray ends a process with its group, and what it still held would be taken for minutes.
                    for hold in self._holds:
                        hold.join(RELEASE_S)
                    self._holds = []

    @contextmanager
    def borrowed(self) -> Iterator[Slot]:
        """Wait for a free device, and have it for a shard.

        Raises
        ------
        Interrupted
            If the run is asked to stop meanwhile.
        """
        free = self._free
        slot = self._awaited(free)
        try:
            yield slot
        finally:
            free.put(slot)

    def close(self) -> None:
        """End the device processes."""
        for slot in self.all:
            slot.worker.close()

    def _awaited(self, free: LifoQueue[Slot | Exception]) -> Slot:
        while True:
            raise_if_stopping()
            try:
                found = free.get(timeout=POLL_S)
            except Empty:
                continue
            if isinstance(found, Exception):
                free.put(found)  # for the next one that asks
                raise found
            return found

    def _open(self, free: LifoQueue[Slot | Exception], closing: threading.Event) -> None:
        for slot in reversed(self.all):
            if self._exclusive is None:
                free.put(slot)
                continue
            run = partial(copy_context().run, _hold, slot, self._exclusive, free, closing)
            hold = threading.Thread(target=run, name=f"hold {slot.name}", daemon=True)
            hold.start()
            self._holds.append(hold)


def _name(device: str, number: int) -> str:
    """Return a name that no other slot of a run has: an accelerator is one for all processes of a host."""
    return name_on_host(device) + (f":{os.getpid()}:{number}" if device == "cpu" else "")


def _hold(slot: Slot, exclusive: Exclusive, free: LifoQueue[Slot | Exception], closing: threading.Event) -> None:
    """Keep other runs off a device until the last group has ended; it is asked for in bits, so as to notice that."""
    while not closing.is_set():
        try:
            with exclusive(slot.device):
                free.put(slot)
                closing.wait()
        except TimeoutError:
            continue
        except Exception as error:  # told to those who wait for the device
            free.put(error)
            return
