"""The cache of analysed sounds: a limit in bytes that holds, and nothing computed twice that still fits."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tasks.cache import ByteLimitedCache


@dataclass(frozen=True)
class Blob:
    name: str
    n_bytes: int


class Store:
    """Computes blobs and remembers which it had to compute."""

    def __init__(self, limit_bytes: int) -> None:
        self.cache = ByteLimitedCache(limit_bytes)
        self.computed: list[str] = []

    def get(self, name: str, n_bytes: int = 10) -> Blob:
        def compute() -> Blob:
            self.computed.append(name)
            return Blob(name, n_bytes)

        return self.cache.get(name, compute)


def test_a_value_is_computed_once() -> None:
    store = Store(100)
    assert store.get("a") is store.get("a")
    assert store.computed == ["a"]
    assert store.cache.n_bytes == 10


def test_the_least_recently_used_goes_first() -> None:
    store = Store(30)
    for name in ("a", "b", "c", "a", "d"):
        store.get(name)
    assert store.cache.n_bytes == 30
    assert store.computed == ["a", "b", "c", "d"]
    store.get("a")
    store.get("c")
    assert store.computed == ["a", "b", "c", "d"]
    store.get("b")
    assert store.computed == ["a", "b", "c", "d", "b"]


@pytest.mark.parametrize("limit_bytes", [0, 29])
def test_a_value_over_the_limit_is_handed_out_and_not_kept(limit_bytes: int) -> None:
    store = Store(limit_bytes)
    assert store.get("huge", 30) == Blob("huge", 30)
    assert store.cache.n_bytes == 0
    store.get("huge", 30)
    assert store.computed == ["huge", "huge"]


def test_a_value_over_the_limit_drives_nothing_out() -> None:
    store = Store(30)
    store.get("a")
    store.get("huge", 31)
    store.get("a")
    assert store.computed == ["a", "huge"]


def test_a_failed_computation_leaves_nothing() -> None:
    cache = ByteLimitedCache(100)

    def fail() -> Blob:
        raise MemoryError

    with pytest.raises(MemoryError):
        cache.get("a", fail)
    assert cache.n_bytes == 0
    assert cache.get("a", lambda: Blob("a", 1)) == Blob("a", 1)


def test_many_threads_keep_the_count_of_bytes() -> None:
    store = Store(50)
    names = [f"{number % 13}" for number in range(2_000)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: store.get(name, 5 + int(name)), names))
    assert [blob.name for blob in found] == names
    held = sum(blob.n_bytes for blob in store.cache._values.values())
    assert store.cache.n_bytes == held <= 50


def test_threads_that_miss_at_once_compute_once() -> None:
    cache, together, computed = ByteLimitedCache(100), threading.Barrier(8), []

    def compute() -> Blob:
        computed.append(threading.get_ident())
        time.sleep(0.05)
        return Blob("a", 1)

    def get(_: int) -> Blob:
        together.wait()
        return cache.get("a", compute)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(get, range(8))) == {Blob("a", 1)}
    assert len(computed) == 1
    assert cache._turns == {}
