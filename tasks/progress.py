"""How far a run is: counters that shards raise and the terminal reads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class RunProgress:
    """Pairs succeeded and failed so far in this process, and evaluations of the objective."""

    succeeded: int = 0
    failed: int = 0
    evaluations: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def reset(self) -> None:
        """Begin a run at zero."""
        with self._lock:
            self.succeeded = self.failed = self.evaluations = 0

    def count_pair(self, status: str) -> None:
        """Count one pair by its status."""
        with self._lock:
            if status == "succeeded":
                self.succeeded += 1
            else:
                self.failed += 1

    def count_evaluation(self) -> None:
        """Count one evaluation of the objective for a batch."""
        with self._lock:
            self.evaluations += 1

    @property
    def pairs(self) -> int:
        """Pairs attempted."""
        return self.succeeded + self.failed


PROGRESS = RunProgress()
"""This process's counters; a run resets them."""
