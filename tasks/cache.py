"""Encoded sounds, kept between pairs: in a corpus each content meets many styles and each style many contents."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar


class Sized(Protocol):
    """Anything that says how many bytes it holds."""

    @property
    def n_bytes(self) -> int:
        """Bytes held."""


Value = TypeVar("Value", bound=Sized)


class ByteLimitedCache:
    """Least-recently-used cache with a limit in bytes, shared by the threads of a process.

    A value larger than the limit is computed and handed out, but not kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.n_bytes = 0
        self._values: OrderedDict[Hashable, Sized] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value of a key, computed now if it is not held.

        Two threads that miss the same key at once both compute it: cheaper than making one wait for the other's device.
        """
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]  # type: ignore[return-value]
        value = compute()
        if value.n_bytes > self.limit_bytes:
            return value
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self.n_bytes += value.n_bytes
            while self.n_bytes > self.limit_bytes:
                _, dropped = self._values.popitem(last=False)
                self.n_bytes -= dropped.n_bytes
        return value
