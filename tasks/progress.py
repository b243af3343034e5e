"""How far a run is: counters that shards raise and the terminal reads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class RunProgress:
    """Pairs succeeded and failed so far in this process, and steps of the optimisation and the phase."""

    succeeded: int = 0
    failed: int = 0
    steps: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def reset(self) -> None:
        """Begin a run at zero."""
        with self._lock:
            self.succeeded = self.failed = self.steps = 0

    def count_pair(self, status: str) -> None:
        """Count one pair by its status."""
        with self._lock:
            if status == "succeeded":
                self.succeeded += 1
            else:
                self.failed += 1

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
