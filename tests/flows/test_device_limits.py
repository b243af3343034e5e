"""Two runs on one host do not share an accelerator: the limit is made if it is missing, and used strictly."""

from __future__ import annotations

from contextlib import suppress

import pytest
from httpx import ConnectError
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.exceptions import ObjectNotFound

from tasks.devices import device_limits
from tasks.devices.device_limits import alone_on, ensure_limit, limit_name
from tasks.devices.device_pool import DevicePool

DEVICE = "fake:0"


@pytest.fixture
def limit(harness: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a limit that is not there, of which nobody waits for long."""
    monkeypatch.setattr(device_limits, "TRY_S", 4.0)
    name = limit_name(DEVICE)
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        client.delete_global_concurrency_limit_by_name(name)
    return name


def taken(name: str) -> tuple[int, int]:
    """Return how many hold a limit, and how many may."""
    with get_client(sync_client=True) as client:
        found = client.read_global_concurrency_limit_by_name(name)
        return found.active_slots, found.limit


def test_it_is_made_and_one_run_waits_for_the_other(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @flow
    def first() -> None:
        with alone_on(DEVICE):
            assert taken(limit) == (1, 1)
            with monkeypatch.context() as patched:
                patched.setattr(device_limits, "TRY_S", 0.5)
                with pytest.raises(TimeoutError), alone_on(DEVICE):
                    pass
        assert taken(limit) == (0, 1)
        with alone_on(DEVICE):
            pass

    first()


def test_what_somebody_has_set_stays(limit: str) -> None:
    ensure_limit(limit)
    with get_client(sync_client=True) as client:
        client.update_global_concurrency_limit(limit, GlobalConcurrencyLimitUpdate(limit=2))
    ensure_limit(limit)
    assert taken(limit) == (0, 2)


def test_groups_of_shards_hold_it_together(limit: str) -> None:
    @flow
    def run() -> None:
        slots = DevicePool([DEVICE], alone_on)
        with slots.opened():
            with slots.borrowed():
                assert taken(limit) == (1, 1)
            with slots.opened(), slots.borrowed():
                assert taken(limit) == (1, 1)

        assert taken(limit) == (0, 1)  # given back before the group has ended: its process may end with it

    run()


def test_a_server_that_is_away_is_asked_again(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [ConnectError("refused"), ConnectError("refused")]

    def away_at_first(name: str) -> None:
        if answers:
            raise answers.pop()
        ensure_limit(name)

    monkeypatch.setattr(device_limits, "ensure_limit", away_at_first)
    monkeypatch.setattr(device_limits, "AWAY_S", 0.1)

    @flow
    def run() -> None:
        slots = DevicePool([DEVICE], alone_on)
        with slots.opened(), slots.borrowed():
            assert taken(limit) == (1, 1)

    run()
    assert answers == []


def test_outside_of_a_run_nobody_is_asked(limit: str) -> None:
    with alone_on(DEVICE), alone_on(DEVICE):
        pass
    with get_client(sync_client=True) as client, pytest.raises(ObjectNotFound):
        client.read_global_concurrency_limit_by_name(limit)
