"""How far a run is: counters that shards raise and the terminal reads; and how busy its devices were."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DeviceTime:
    """When a device worked: from its first request to its last answer, of which it was busy for `busy_s` seconds.

    Times are of the host's monotonic clock; `name` is of one device of one host.
    """

    name: str
    began: float
    ended: float
    busy_s: float

    def with_more(self, other: DeviceTime) -> DeviceTime:
        """Return the time of both."""
        began, ended = min(self.began, other.began), max(self.ended, other.ended)
        return DeviceTime(self.name, began, ended, self.busy_s + other.busy_s)


class DeviceTimes:
    """Times of several devices; any thread may add to them."""

    def __init__(self) -> None:
        self._times: dict[str, DeviceTime] = {}
        self._lock = threading.Lock()

    def add(self, times: Iterable[DeviceTime]) -> None:
        """Add times of devices, known or new."""
        with self._lock:
            for time in times:
                known = self._times.get(time.name)
                self._times[time.name] = time if known is None else known.with_more(time)

    def all(self) -> tuple[DeviceTime, ...]:
        """Return the time of each device."""
        with self._lock:
            return tuple(self._times.values())

    @property
    def waited(self) -> float | None:
        """Share of their time in which the devices had nothing to do, 0 to 1; None where none has worked.

        >>> times = DeviceTimes()
        >>> times.add([DeviceTime("a", 0, 4, 4), DeviceTime("a", 5, 10, 5), DeviceTime("b", 0, 10, 10)])
        >>> times.waited
        0.05
        """
        times = self.all()
        span = sum(time.ended - time.began for time in times)
        return max(0.0, span - sum(time.busy_s for time in times)) / span if span > 0 else None


@dataclass
class RunProgress:
    """Pairs succeeded and failed so far in this process, steps of the optimisation and the phase.

    And the segments of the long contents that it has come to, those that are computed and all.
    """

    succeeded: int = 0
    failed: int = 0
    steps: int = 0
    segments_done: int = 0
    segments: int = 0
    devices: DeviceTimes = field(default_factory=DeviceTimes)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def reset(self) -> None:
        """Begin a run at zero."""
        with self._lock:
            self.succeeded = self.failed = self.steps = self.segments_done = self.segments = 0
            self.devices = DeviceTimes()

    def count_pair(self, status: str) -> None:
        """Count one pair by its status."""
        with self._lock:
            if status == "succeeded":
                self.succeeded += 1
            else:
                self.failed += 1

    def plan_segments(self, count: int) -> None:
        """Count segments that are to be computed; negative: that are not, after all."""
        with self._lock:
            self.segments += count

    def count_segment(self) -> None:
        """Count one segment that is computed."""
        with self._lock:
            self.segments_done += 1

    def count_step(self) -> None:
        """Count one evaluation of the objective for a batch, or one iteration of the phase."""
        with self._lock:
            self.steps += 1

    @property
    def pairs(self) -> int:
        """Pairs attempted."""
        return self.succeeded + self.failed


PROGRESS = RunProgress()
"""This process's counters; a run resets them."""
