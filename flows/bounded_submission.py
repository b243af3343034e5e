"""Keep a few tasks in flight: Prefect records a window reliably, and thousands at once it does not."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from prefect.futures import PrefectFuture

from tasks.interruption import request_stop

Item = TypeVar("Item")
Result = TypeVar("Result")

TICK_S = 0.5
TIMEOUT_S = 15.0
"""What a shard that was asked to stop gets to finish its evaluation, or its commit."""


def work_through(
    submit: Callable[[Item], PrefectFuture[Result]],
    items: Sequence[Item],
    width: int,
    on_tick: Callable[[], None] = lambda: None,
    on_done: Callable[[Result], object] = lambda _: None,
    stop: Callable[[], None] = request_stop,
) -> None:
    """Submit items, at most `width` at a time, until all are done.

    `on_tick` is called about twice a second: the caller's thread never sleeps through a signal. `on_done` is given each
    task's result; a task's exception is raised here. Whatever ends the work early, a signal included, the tasks in
    flight are asked to `stop` first, and get a moment to do so.
    """
    done: queue.SimpleQueue[PrefectFuture[Result]] = queue.SimpleQueue()
    waiting = list(reversed(items))
    running = 0
    try:
        while waiting or running:
            while waiting and running < width:
                submit(waiting.pop()).add_done_callback(done.put)
                running += 1
            with suppress(queue.Empty):
                future = done.get(timeout=TICK_S)
                running -= 1
                on_done(future.result())
            on_tick()
    except BaseException:
        stop()
        _let_finish(done, running)
        raise


def _let_finish(done: queue.SimpleQueue[PrefectFuture[Result]], running: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    with suppress(queue.Empty):
        for _ in range(running):
            done.get(timeout=max(0.0, deadline - time.monotonic()))
