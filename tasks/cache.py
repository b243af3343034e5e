"""What is known of sounds, kept between pairs: in a corpus each content meets many styles, each style many contents."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar


class Sized(Protocol):
    """Anything that says how many bytes it holds."""

    @property
    def n_bytes(self) -> int:
        """Bytes held."""


Value = TypeVar("Value", bound=Sized)


@dataclass
class _Turn:
    """Of the threads that want one key at the same time: how many there are, and whose turn it is to look."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    threads: int = 0


class ByteLimitedCache:
    """Least-recently-used cache with a limit in bytes, shared by the threads of a process.

    A value larger than the limit is computed and handed out, but not kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.n_bytes = 0
        self._values: OrderedDict[Hashable, Sized] = OrderedDict()
        self._turns: dict[Hashable, _Turn] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value of a key, computed now if it is not held.

        Of two threads that miss the same key at once one computes it, and the other waits.
        """
        with self._turn(key):
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]  # type: ignore[return-value]
            value = compute()
            if value.n_bytes <= self.limit_bytes:
                self._keep(key, value)
            return value

    def _keep(self, key: Hashable, value: Sized) -> None:
        with self._lock:
            self._values[key] = value
            self.n_bytes += value.n_bytes
            while self.n_bytes > self.limit_bytes:
                _, dropped = self._values.popitem(last=False)
                self.n_bytes -= dropped.n_bytes

    @contextmanager
    def _turn(self, key: Hashable) -> Iterator[None]:
        with self._lock:
            turn = self._turns.setdefault(key, _Turn())
            turn.threads += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.threads -= 1
                if not turn.threads:
                    del self._turns[key]
