"""Two things at a time: what comes next is made while its predecessor is used."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")

_END: Any = object()


def prefetched(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Give what a generator gives, the next one made by a thread meanwhile; memory holds one more of them.

    What the generator raises is raised in its turn. It is closed at the end, also of who stops early.
    """
    thread, coming = ThreadPoolExecutor(1), Future[Item]()
    try:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item
    finally:
        del coming  # it holds the error, whose traceback holds this frame and all that its callers hold
        thread.shutdown()  # an interrupt that comes meanwhile leaves the generator to the thread, which is in it
        items.close()
