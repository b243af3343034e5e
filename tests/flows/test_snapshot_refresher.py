"""The table is renewed beside the run: nobody waits for it, and it never takes much of the time."""

from __future__ import annotations

import threading
import time

import pytest

from flows.snapshot_refresher import SnapshotRefresher, pause_s, refreshing_snapshot
from tasks.interruption import clear_stop, request_stop
from tests.flows.processes import wait_for


def test_a_tick_does_not_wait_and_no_second_renewal_begins_meanwhile() -> None:
    began, go_on, count = threading.Event(), threading.Event(), []

    def renew() -> None:
        count.append(1)
        began.set()
        assert go_on.wait(30)

    renewal = SnapshotRefresher(renew, 0.0)
    renewal.tick()
    assert began.wait(30)
    for _ in range(3):
        renewal.tick()  # would wait for ever if it did
    go_on.set()
    renewal.wait()
    assert len(count) == 1


def test_the_block_ends_after_the_renewal_under_way() -> None:
    """Else an older table could take the place of the last one."""
    ended = []
    with refreshing_snapshot(lambda: (time.sleep(0.2), ended.append(1))[0], 0.0) as renewal:
        renewal.tick()
    assert ended


def test_a_renewal_that_fails_is_tried_again() -> None:
    count = []

    def renew() -> None:
        count.append(1)
        raise OSError("no space")

    renewal = SnapshotRefresher(renew, 0.0)

    def tried_twice() -> bool:
        renewal.tick()
        renewal.wait()
        return len(count) == 2

    wait_for(tried_twice, "another try", 30)


@pytest.mark.parametrize("took_s", [0.01, 1.0, 10.0, 1000.0])
def test_a_slow_renewal_is_a_fiftieth_of_the_time_at_most(took_s: float) -> None:
    assert took_s / (took_s + pause_s(1.0, took_s)) <= 0.02 + 1e-9


def test_of_a_run_that_is_to_stop_the_renewal_under_way_is_left_alone_after_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes as long as the table is large, and on S3 its upload looks at nothing."""
    monkeypatch.setattr("flows.snapshot_refresher.ABANDON_S", 0.1)
    began, go_on = threading.Event(), threading.Event()

    def renew() -> None:
        began.set()
        go_on.wait(60)

    try:
        with refreshing_snapshot(renew, 0.0) as renewal:
            renewal.tick()
            assert began.wait(30)
            request_stop()  # without it the block would not end, as the test before this one shows
        assert not go_on.is_set()
    finally:
        go_on.set()
        clear_stop()
