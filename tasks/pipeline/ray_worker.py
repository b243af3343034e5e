"""Compute a group of shards on a worker of Ray: what a process that others start and stop has to see to."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from manifests.results.history import known_names, part_name
from manifests.results.layout import part_uri
from tasks.interruption import clear_stop, request_stop
from tasks.options import RunOptions
from tasks.pipeline.shards import Committed, compute_shards
from tasks.storage.storage import Storage

WAKE_S = 0.2
TIMEOUT_S = 10.0
"""What a shard gets to finish an evaluation, or its commit, once Ray cancels the task."""

Result = TypeVar("Result")


def compute_on_worker(plan_uri: str, shards: Sequence[int], root: str, run_id: str, options: RunOptions) -> Committed:
    """Compute those shards of a group that the run has not committed yet; see `compute_shards`.

    Ray starts a task anew if its worker was lost, and what the lost one committed is not to be done twice.
    """
    committed = known_names(Storage(), root)
    left = [shard for shard in shards if part_name(root, part_uri(root, run_id, shard)) not in committed]
    return stoppable(lambda: compute_shards(plan_uri, left, root, run_id, options))


def stoppable(work: Callable[[], Result]) -> Result:
    """Do work in another thread, and ask it to stop if this one is interrupted.

    Ray cancels a task by an interrupt in the process's main thread, which wakes that thread out of no waiting: so here
    it never waits for long.

    Raises
    ------
    KeyboardInterrupt
        If the work did not stop when it was asked to.
    Exception
        What the work raises.
    """
    clear_stop()  # an earlier task of this process may have been cancelled
    outcome: Future[Result] = Future()
    context = contextvars.copy_context()  # which task run of Prefect's this is

    def run() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:
            outcome.set_exception(error)

    try:
        threading.Thread(target=run, name="shards", daemon=True).start()
        while not wait([outcome], WAKE_S).done:
            pass
    except KeyboardInterrupt:
        request_stop()
        if not wait([outcome], TIMEOUT_S).done:
            raise
    return outcome.result()


synthesise_on_worker = task(name="synthesise shards", cache_policy=NO_CACHE)(compute_on_worker)
