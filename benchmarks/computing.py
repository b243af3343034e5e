"""Computing many things one after another, or in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import torch

Result = TypeVar("Result")


def computed(
    function: Callable[..., Result],
    calls: Sequence[tuple],
    jobs: int,
    threads: int,
    prepare: Callable[[], object],
) -> Iterator[tuple[int, Result]]:
    """Call a function with each tuple of arguments; yield the call's index and its result as each is finished.

    Parameters
    ----------
    function, prepare : callable
        With more than one job, both, and all arguments, have to be picklable.
    calls : sequence of tuple
        Arguments of each call, begun in this order.
    jobs : int
        Processes; with one, this process computes.
    threads : int
        Threads of PyTorch in each process.
    prepare : callable
        Called first in each process that computes.
    """
    if not calls:
        return
    if jobs == 1:
        torch.set_num_threads(threads)
        prepare()
        for index, arguments in enumerate(calls):
            yield index, function(*arguments)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks, and hang on one
    pool = ProcessPoolExecutor(jobs, context, _begin, (threads, prepare))
    try:
        indices = {pool.submit(function, *arguments): index for index, arguments in enumerate(calls)}
        for future in as_completed(indices):
            yield indices[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(threads: int, prepare: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process of the terminal; one of them explains
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    prepare()


def _end_with_parent() -> None:
    """End this process when its parent does: one that is killed cannot say goodbye."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
