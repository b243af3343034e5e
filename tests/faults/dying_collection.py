"""A garbage collection that is killed at its n-th deed, for processes that are to import little."""

from __future__ import annotations

import itertools
import os
import signal
from typing import Any

from tasks.ledger.gc import collect
from tasks.storage.storage import Storage


def die_at(root: str, deed: int, after: bool) -> None:
    """Collect, and be killed at the n-th deed: before it, or when it is just done."""
    numbers = itertools.count(1)

    def mortal(method: Any) -> Any:
        def act(*arguments: Any) -> Any:
            number = next(numbers)
            if number == deed and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(*arguments)
            if number == deed:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return act

    for name in ("delete", "replacing", "swap"):
        setattr(Storage, name, mortal(getattr(Storage, name)))
    collect(root, keep_days=0)
