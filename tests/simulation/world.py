"""A world of processes that take turns: at every step a seed decides who goes on, who stands still and who dies.

The code of a process runs unchanged, as a coroutine. It gives its turn away wherever it calls the storage or waits.
Time passes only with such steps, and jumps where all wait. So an hour takes a moment, and a seed tells the whole
course.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from greenlet import getcurrent, greenlet

from tasks.clock import Beside, Clock
from tasks.host import ProcessId

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
STEP_S = 0.05
"""Mean time that a call of the storage takes."""

STILL_S = (5.0, 150.0, 400.0, 1000.0)
"""How long a process may stand still."""

MOST_STEPS = 200_000
"""Of a course; one that takes more does not end by itself."""


class Killed(BaseException):
    """A process ends here: nothing of it may be caught, nothing that it does on its way out counts."""


@dataclass(frozen=True)
class Faults:
    """How likely a process is to stand still, to die or to be interrupted at a step, and how far clocks differ (s)."""

    pause: float = 0.0
    kill: float = 0.0
    interrupt: float = 0.0
    skew_s: float = 0.0


@dataclass(eq=False)
class Process:
    """A process of some host: its number, and how far its clock is ahead."""

    name: str
    host: str
    number: int
    skew_s: float
    alive: bool = True
    still_until: float = 0.0
    tasks: list[Task] = field(default_factory=list)

    @property
    def id(self) -> ProcessId:
        """What leases know it by."""
        return ProcessId(self.host, "", self.number, "1")


@dataclass(eq=False)
class Task:
    """A coroutine of a process: it goes on at a time, or once something is so."""

    process: Process
    name: str
    course: greenlet
    at: float = 0.0
    until: Callable[[], bool] = lambda: False

    def is_ready(self, now: float) -> bool:
        """Whether it may go on."""
        return now >= self.process.still_until and (now >= self.at or self.until())


class World(Clock):
    """Processes, their clock and their faults; see the module."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.time = 0.0
        self.steps = 0
        self.log: list[str] = []
        self.processes: list[Process] = []
        self._tasks: list[Task] = []
        self._hub = getcurrent()
        self._now: Task | None = None

    # Processes.

    def process(self, name: str, host: str, work: Callable[[], None]) -> Process:
        """Begin a process."""
        skew = self.random.uniform(-1, 1) * self.faults.skew_s
        made = Process(name, host, len(self.processes) + 1, skew)
        self.processes.append(made)
        self._begin(made, work, "main")
        return made

    @property
    def current(self) -> Process:
        """Whose turn it is."""
        assert self._now is not None
        return self._now.process

    def this_process(self) -> ProcessId:
        """Return the identity of the process whose turn it is."""
        return self.current.id

    def is_dead(self, process: ProcessId) -> bool:
        """Return whether a process of the same host has ended; of others nobody can tell."""
        if process.boot != self.current.host:
            return False
        return not self.processes[process.pid - 1].alive

    def kill(self, process: Process) -> None:
        """End a process where it is."""
        self.say(process, "KILLED")
        self._end(process)

    # The clock.

    def now(self) -> datetime:
        """Return the time of day on the host whose turn it is."""
        return BEGIN + timedelta(seconds=self.time + self.current.skew_s)

    def monotonic(self) -> float:
        """Return seconds since the world began."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Give the turn away for a time."""
        self._yield(self.time + seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Give the turn away until an event has come, or for a time."""
        self._yield(self.time + seconds, event.is_set)
        return event.is_set()

    def wait_until(self, so: Callable[[], bool], seconds: float) -> bool:
        """Give the turn away until something is so, or for a time; return whether it is."""
        self._yield(self.time + seconds, so)
        return so()

    def beside(self, work: Callable[[], None], name: str) -> Beside:
        """Begin another coroutine of the process whose turn it is."""
        task = self._begin(self.current, work, name)

        def join(seconds: float | None) -> None:
            self._yield(self.time + (1e9 if seconds is None else seconds), lambda: task.course.dead)

        return Beside(join, lambda: not task.course.dead)

    # Steps.

    def step(self, what: str, weight: float = 1.0) -> None:
        """Give the turn away at a call of the storage; the process may stand still, die or be interrupted here.

        `weight` says how many times as likely a fault is as elsewhere: what it is looked for in is rare.
        """
        process = self.current
        if not process.alive:
            raise Killed
        self.say(process, what)
        draw, faults = self.random.random() / weight, self.faults
        if draw < faults.pause:
            still = self.random.choice(STILL_S)
            process.still_until = self.time + still
            self.say(process, f"STANDS STILL for {still:.0f} s")
        elif draw < faults.pause + faults.kill:
            self.kill(process)
        elif draw < faults.pause + faults.kill + faults.interrupt and self._now is process.tasks[0]:
            self.say(process, "INTERRUPTED")
            raise KeyboardInterrupt
        self._yield(self.time + self.random.expovariate(1 / STEP_S))

    def run(self) -> None:
        """Let all processes go on until they have ended."""
        while self._tasks:
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise AssertionError(f"no end after {MOST_STEPS} steps")
            ready = [task for task in self._tasks if self._is_ready(task)]
            if not ready:
                self.time = min(max(task.at, task.process.still_until) for task in self._tasks)
                continue
            self._turn(self.random.choice(ready))

    def _is_ready(self, task: Task) -> bool:
        """Whether a task may go on; what it waits for is asked as its process, which has flags of its own."""
        self._now = task
        try:
            return task.is_ready(self.time)
        finally:
            self._now = None

    def say(self, process: Process, what: str) -> None:
        """Write down what happens."""
        self.log.append(f"{self.time:9.2f} {process.name}: {what}")

    def _begin(self, process: Process, work: Callable[[], None], name: str) -> Task:
        def course() -> None:
            try:
                work()
            except Killed:
                pass
            finally:
                if task is process.tasks[0] and process.alive:
                    self.say(process, "ends")
                    self._end(process)  # daemons end with the main thread

        task = Task(process, name, greenlet(course, self._hub), self.time)
        process.tasks.append(task)
        self._tasks.append(task)
        return task

    def _turn(self, task: Task) -> None:
        self._now = task
        try:
            if task.process.alive:
                task.course.switch()
            else:
                task.course.throw(Killed)
        finally:
            self._now = None
            self._tasks = [one for one in self._tasks if not one.course.dead and (one.course or one.process.alive)]

    def _yield(self, at: float, until: Callable[[], bool] = lambda: False) -> None:
        task = self._now
        assert task is not None
        if not task.process.alive:
            raise Killed
        task.at, task.until = at, until
        self._hub.switch()
        task.until = lambda: False
        if not task.process.alive:
            raise Killed

    def _end(self, process: Process) -> None:
        process.alive = False
        process.still_until = 0.0
        for task in process.tasks:
            task.at = 0.0
