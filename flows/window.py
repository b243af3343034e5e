"""Keep a few tasks in flight: Prefect records a window reliably, and thousands at once it does not."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from prefect.futures import PrefectFuture

Item = TypeVar("Item")
Result = TypeVar("Result")

TICK_S = 0.5


def in_flight(
    submit: Callable[[Item], PrefectFuture[Result]],
    items: Sequence[Item],
    width: int,
    on_tick: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Submit items, at most `width` at a time, and yield results as they come.

    `on_tick` is called about twice a second while nothing arrives: the caller's thread never sleeps through a signal.
    A task's exception is raised here.
    """
    done: queue.SimpleQueue[PrefectFuture[Result]] = queue.SimpleQueue()
    waiting = list(reversed(items))
    running = 0
    while waiting or running:
        while waiting and running < width:
            submit(waiting.pop()).add_done_callback(done.put)
            running += 1
        try:
            future = done.get(timeout=TICK_S)
        except queue.Empty:
            on_tick()
            continue
        running -= 1
        on_tick()
        yield future.result()
