"""The same for many files, several at a time: the disk and the network answer side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

THREADS = 16
_AHEAD = 4 * THREADS

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
    """Give each item with what `work` returns for it, in order, a few of them ahead of their turn.

    At a fault nothing more is begun: where a storage stays away, each request would wait for it anew.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(THREADS) as pool:

        def begun(count: int) -> list[tuple[Item, Future[Result]]]:
            return [(item, pool.submit(work, item)) for item in islice(waiting, count)]

        ahead = deque(begun(_AHEAD))
        try:
            while ahead:
                item, future = ahead.popleft()
                result = future.result()
                ahead.extend(begun(1))
                yield item, result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
