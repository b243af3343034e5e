"""Leases: of overlapping slices one run holds at most one, and whoever lost it finds out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from manifests.sharding import ShardSlice
from tasks.host import is_dead, this_process
from tasks.interruption import clear_stop, request_stop
from tasks.ledger.lease import WHOLE, LeaseLost, LeaseTaken, check_lease, holding, lease_uri
from tasks.storage.storage import Storage, StorageError

FIRST, SECOND = ShardSlice(0, 2), ShardSlice(1, 2)


@pytest.fixture
def files() -> Storage:
    return Storage()


@pytest.fixture
def root(anywhere: str) -> str:
    return anywhere


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let hearts beat every 0.3 s: a lease expires after 1.2 s."""
    monkeypatch.setenv("TIMBREFLOW_HEARTBEAT_S", "0.3")
    return


def holders(files: Storage, root: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(files.read(lease_uri(root)))["holders"]
    return found


def put(files: Storage, root: str, **changes: object) -> None:
    """Write the lease of a run on another host, or of what else `changes` say."""
    now = datetime.now(UTC).isoformat()
    entry = {
        "owner": "theirs",
        "shards": "0/1",
        "user": "ana",
        "host": "studio-2",
        "process": {"boot": "another", "namespace": "", "pid": 7, "started": "1"},
        "since": now,
        "heartbeat": now,
        "heartbeat_s": 15.0,
        "beats": 3,
        "closing": False,
        **changes,
    }
    with files.writing(lease_uri(root)) as sink:
        sink.write(json.dumps({"holders": [entry]}).encode())


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def test_a_lease_is_held_and_given_back(files: Storage, root: str) -> None:
    with holding(files, root, "mine") as lease:
        lease.check()
        assert [one["owner"] for one in holders(files, root)] == ["mine"]
    assert holders(files, root) == []
    with pytest.raises(LeaseLost, match="mine"):
        lease.check()


def test_a_second_run_is_refused_and_told_who_holds_it(files: Storage, root: str) -> None:
    since = ago(5)
    put(files, root, since=since)
    with pytest.raises(LeaseTaken) as refused, holding(files, root, "mine"):
        pass
    for part in ("theirs", "ana", "studio-2", since, root):
        assert part in str(refused.value)
    assert [one["owner"] for one in holders(files, root)] == ["theirs"]


def test_disjoint_slices_are_held_side_by_side_and_overlapping_ones_are_not(files: Storage, root: str) -> None:
    with holding(files, root, "one", FIRST), holding(files, root, "two", SECOND):
        for refused in (WHOLE, FIRST, ShardSlice(1, 3), ShardSlice(3, 4)):
            with pytest.raises(LeaseTaken), holding(files, root, "three", refused):
                pass
        assert {one["owner"] for one in holders(files, root)} == {"one", "two"}


def test_of_many_runs_that_start_at_once_one_gets_it(files: Storage, root: str) -> None:
    start, done = threading.Barrier(6), threading.Event()

    def claim(number: int) -> bool:
        start.wait()
        try:
            with holding(files, root, f"run-{number}"):
                done.wait(20)  # until all others have been refused
        except LeaseTaken:
            refused.release()
            return False
        return True

    refused = threading.Semaphore(0)
    with ThreadPoolExecutor(6) as pool:
        claims = [pool.submit(claim, number) for number in range(6)]
        assert all(refused.acquire(timeout=20) for _ in range(5))
        done.set()
        assert sum(one.result() for one in claims) == 1


def test_a_dead_process_of_this_machine_is_taken_over_at_once(files: Storage, root: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import json; from tasks.host import this_process; "
         "print(json.dumps(this_process()._asdict()))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    put(files, root, process=json.loads(ended.stdout), heartbeat_s=1e6)
    with holding(files, root, "mine") as lease:
        lease.check()
        assert [one["owner"] for one in holders(files, root)] == ["mine"]


def test_a_process_number_given_to_another_process_is_not_taken_for_the_owner() -> None:
    here = this_process()
    assert not is_dead(here)
    assert is_dead(here._replace(started="1"))
    assert not is_dead(here._replace(boot="another machine"))
    assert not is_dead(here._replace(namespace="another container"))


@pytest.mark.usefixtures("quick")
def test_a_silent_host_is_taken_over_after_four_heartbeats(files: Storage, root: str) -> None:
    put(files, root, heartbeat=ago(1), heartbeat_s=3.0)  # a slow storage has ten seconds to be read in
    with pytest.raises(LeaseTaken), holding(files, root, "mine"):
        pass
    put(files, root, heartbeat=ago(13), heartbeat_s=3.0)
    with holding(files, root, "mine") as lease:
        lease.check()


@pytest.mark.usefixtures("quick")
def test_a_host_whose_clock_is_slow_is_not_taken_for_silent(files: Storage, root: str) -> None:
    put(files, root, heartbeat=ago(3600), heartbeat_s=2.0)
    late = threading.Timer(0.5, lambda: put(files, root, heartbeat=ago(3600), heartbeat_s=2.0, beats=4))
    late.start()
    with pytest.raises(LeaseTaken), holding(files, root, "mine"):
        pass
    late.join()


@pytest.mark.usefixtures("quick")
def test_a_heart_beats_while_the_lease_is_held(files: Storage, root: str) -> None:
    with holding(files, root, "mine"):
        deadline = threading.Event()
        while holders(files, root)[0]["beats"] == 0:  # for ever, if it does not
            deadline.wait(0.1)
        with pytest.raises(LeaseTaken), holding(files, root, "other"):
            pass


def test_who_was_taken_over_may_not_commit_and_does_not_come_back(files: Storage, root: str) -> None:
    with holding(files, root, "mine") as lease:
        put(files, root)
        with pytest.raises(LeaseLost, match="theirs"):
            lease.check()
        with pytest.raises(LeaseLost):
            lease.begin_closing()
    assert [one["owner"] for one in holders(files, root)] == ["theirs"]


def test_who_was_silent_and_not_yet_taken_over_renews_before_it_commits(files: Storage, root: str) -> None:
    put(files, root, owner="mine", heartbeat=ago(300))
    check_lease(files, root, "mine")
    assert holders(files, root)[0]["beats"] == 4


def test_the_last_slice_closes_and_the_others_leave(files: Storage, root: str) -> None:
    with holding(files, root, "one", FIRST) as one:
        with holding(files, root, "two", SECOND) as two:
            assert not one.begin_closing()
            assert [holder["owner"] for holder in holders(files, root)] == ["two"]
            assert two.begin_closing()
            assert [holder["closing"] for holder in holders(files, root)] == [True]
        with pytest.raises(LeaseLost):
            one.check()


def test_slices_of_different_cuts_are_not_computed_beside_each_other(files: Storage, root: str) -> None:
    with holding(files, root, "a", FIRST) as one, holding(files, root, "b", SECOND) as other:
        one.agree_on("a cut")
        with pytest.raises(LeaseTaken, match=r"run a \(shards 0/2\).* cut otherwise: .*same manifest"):
            other.agree_on("another cut")
        other.agree_on("a cut")
        assert [one["cut"] for one in holders(files, root)] == ["a cut"] * 2


def test_the_cut_of_a_dead_slice_binds_nobody(files: Storage, root: str) -> None:
    put(files, root, shards="0/2", cut="a cut", heartbeat=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    with holding(files, root, "b", SECOND) as own:
        own.agree_on("another cut")


def test_of_slices_that_end_together_the_later_waits_and_writes_its_own(files: Storage, root: str) -> None:
    written: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with holding(files, root, "one", FIRST) as one:
            assert one.begin_closing()

            def end_the_other() -> None:
                with holding(files, root, "two", SECOND) as two:
                    if two.begin_closing():
                        written.append("two")

            other = pool.submit(end_the_other)
            threading.Event().wait(0.5)
            written.append("one")
        other.result(timeout=30)
    assert written == ["one", "two"]


def test_who_is_to_stop_does_not_wait_for_the_table_of_another_slice(files: Storage, root: str) -> None:
    with holding(files, root, "one", FIRST) as one:
        assert one.begin_closing()
        with holding(files, root, "two", SECOND) as two:
            request_stop()
            try:
                assert not two.begin_closing()  # or it would wait for the first one, which ends after that
            finally:
                clear_stop()


@pytest.mark.parametrize("left", [b"", b"{}", b'{"holders": [{}]}', b"\xff"])
def test_a_damaged_lease_is_named(files: Storage, root: str, left: bytes) -> None:
    with files.writing(lease_uri(root)) as sink:
        sink.write(left)
    with pytest.raises(StorageError, match=r"lease\.json.*Delete it"), holding(files, root, "mine"):
        pass


def test_a_root_that_cannot_be_written_shows_itself_here(files: Storage, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file")
    with (
        pytest.raises(StorageError, match=r"cannot read .*lease\.json"),
        holding(files, str(tmp_path / "out"), "mine"),
    ):
        pass
