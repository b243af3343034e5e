"""Prefetching: the same items, errors in their turn, and nothing left open."""

from __future__ import annotations

import gc
import signal
from collections.abc import Generator
from contextlib import suppress
from threading import Event, get_ident
from weakref import ref

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


def test_who_is_interrupted_twice_is_interrupted() -> None:
    """The second interrupt meets the wait for the thread, which is still making the first item."""
    let_go = Event()

    def stuck() -> Generator[int, None, None]:
        let_go.wait(20)
        yield 1

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(prefetched(stuck()))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)
        let_go.set()


def test_an_error_lets_go_of_what_its_callers_hold() -> None:
    def breaking() -> Generator[int, None, None]:
        yield 1
        raise KeyError

    class Held: ...

    def use() -> ref[Held]:
        held = Held()
        with suppress(KeyError):
            for _ in prefetched(breaking()):
                pass
        return ref(held)

    gc.disable()
    try:
        assert use()() is None
    finally:
        gc.enable()
