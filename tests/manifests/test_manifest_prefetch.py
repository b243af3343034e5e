"""Prefetching: the same items, errors in their turn, and nothing left open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from threading import Event, get_ident

import pytest

from manifests.results.prefetch import prefetched


def counting(until: int, closed: list[bool]) -> Generator[int, None, None]:
    try:
        yield from range(until)
    finally:
        closed.append(True)


@pytest.mark.parametrize("until", [0, 1, 5])
def test_items_come_in_their_order(until: int) -> None:
    closed: list[bool] = []
    assert list(prefetched(counting(until, closed))) == list(range(until))
    assert closed == [True]


def test_the_next_is_made_while_one_is_used() -> None:
    made, makers = Event(), set()

    def slow() -> Generator[int, None, None]:
        yield 1
        made.set()
        makers.add(get_ident())
        yield 2

    items = prefetched(slow())
    assert next(items) == 1
    assert made.wait(20)  # nobody has asked for it
    assert next(items) == 2
    assert get_ident() not in makers


def test_an_error_is_raised_in_its_turn() -> None:
    def breaking() -> Generator[int, None, None]:
        yield 1
        raise KeyError("third")

    items = prefetched(breaking())
    assert next(items) == 1
    with pytest.raises(KeyError, match="third"):
        next(items)


def test_who_stops_early_leaves_nothing_open() -> None:
    closed: list[bool] = []
    items = prefetched(counting(5, closed))
    next(items)
    items.close()
    assert closed == [True]


@pytest.mark.parametrize(("chosen", "expected"), [(None, "jemalloc"), ("system", "system")])
def test_arrow_gives_memory_back_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, expected: str
) -> None:
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    if chosen is not None:
        monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", chosen)
    program = "import flows.cross_synthesis, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]
