"""Two things at a time: what comes next is made while its predecessor is used."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")

_END: Any = object()


def prefetched(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Give what a generator gives, the next one made by a thread meanwhile; memory holds one more of them.

    What the generator raises is raised in its turn. It is closed at the end, also of who stops early.
    """
    try:
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(next, items, _END)
            while (item := coming.result()) is not _END:
                coming = thread.submit(next, items, _END)
                yield item
    finally:
        items.close()
