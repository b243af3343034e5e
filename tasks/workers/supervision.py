"""Child processes that are replaced when they die or stand still; what they worked on is tried again, then singly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from stylecore.errors import Interrupted
from tasks.interruption import STOP_REQUESTED, raise_if_stopping
from tasks.logs import get_logger
from tasks.workers.client import Child, ChildError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Worker:
    """A child process that is started when it is needed, and anew after its death; it answers one request at a time.

    Parameters
    ----------
    module : str
        Its program.
    environment : mapping, optional
        Variables set beside those of this process.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self.module = module
        self._environment = environment
        self._child: Child | None = None
        self._lock = threading.Lock()

    def request(self, message: Any, response_timeout_s: float, on_news: Callable[[Any], None] = lambda _: None) -> Any:
        """Return the child's answer; a request to stop the run is passed on with the next news.

        Raises
        ------
        ChildError
            If the child died, or gave no news for as long as it was allowed to; the next request starts another.
        Exception
            Whatever else its handler raised, `Interrupted` among it.
        """
        with self._lock:
            child = self._child = self._child or Child(self.module, self._environment)

            def heard(news: Any) -> None:
                on_news(news)
                if STOP_REQUESTED.is_set():
                    child.notify("stop")

            try:
                return child.request(message, response_timeout_s, heard)
            except Interrupted:
                raise
            except BaseException:
                self._child = None
                child.close()
                raise

    @property
    def pid(self) -> int | None:
        """Number of the process; None if there is none now."""
        return self._child.pid if self._child is not None else None

    def take_over(self, other: Worker) -> None:
        """Go on with the child of another worker of the same program."""
        self._child, other._child = other._child, None

    def close(self) -> None:
        """Kill the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.close()


def answered(
    ask: Callable[[Sequence[Item]], list[Answer]],
    items: Sequence[Item],
    give_up: Callable[[Item, str], Answer],
    attempts: int = 2,
) -> list[Answer]:
    """Return the answers to all items, whatever one of them does to the process that is asked.

    All are tried together, twice; then each alone; the one that is the cause is given up.

    Parameters
    ----------
    ask : callable
        Returns one answer per item, in order; raises `ChildError` if a process died or stood still.
    items : sequence
        At least one.
    give_up : callable
        Returns the answer to an item that is the cause, from the item and what happened.
    attempts : int
        How often they are tried together.
    """
    for _ in range(attempts):
        try:
            return ask(items)
        except ChildError as error:
            raise_if_stopping()
            reason = str(error)
            get_logger("timbreflow.processes").warning("%s", reason)
    if len(items) == 1:
        return [give_up(items[0], reason)]
    return [answer for item in items for answer in answered(ask, [item], give_up, attempts=1)]
