"""Two runs on one output root: the second refuses, a paused one finds itself replaced, slices share the work."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock, Timeout

from manifests.files import is_s3, join
from stylecore.compiling import lock_path
from tasks.storage.local_files import LOCK
from tasks.storage.storage import Storage
from tests.deployment import Server
from tests.faults.conftest import Command, Reference
from tests.faults.corpus import FAST, assert_refused, assert_went_through, damage, run_command, write_corpus
from tests.faults.report import recorded
from tests.faults.trees import freeze, send
from tests.flows.processes import TIMEOUT_S, end, start, wait_for
from tests.seaweed import SeaweedServer
from tests.tasks.corpus import parts

SLOW = ("--set", "iterations=1000", "--set", "tolerance=0")
FAST_HEART = {"TIMBREFLOW_HEARTBEAT_S": "0.5"}
EXPIRY_S = 2.5
"""Of silence, after which a lease with such a heart has ended for certain."""


@pytest.fixture(params=["local files", pytest.param("S3", marks=pytest.mark.soak)])
def storage(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def place(storage: str, request: pytest.FixtureRequest, reference: Reference, tmp_path: Path) -> tuple[str, str]:
    """Return a manifest and an output root, both local or both on S3."""
    if storage == "local files":
        return reference.manifest, str(tmp_path / "out")
    s3: str = request.getfixturevalue("s3")
    return write_corpus(join(s3, "in")), join(s3, "out")


@pytest.fixture
def env(storage: str, request: pytest.FixtureRequest, prefect: Server) -> dict[str, str]:
    """Return the environment of a user whose hearts beat fast: a lease ends after two seconds of silence."""
    seaweed: SeaweedServer | None = request.getfixturevalue("seaweed") if storage == "S3" else None
    return {**prefect.env, **(seaweed.environment if seaweed else {}), **FAST_HEART}


@pytest.fixture
def running(place: tuple[str, str], env: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run that takes long, and wait until it has the lease."""
    process = start("timbreflow", "run", *place, *FAST, *SLOW, env=env, log=tmp_path / "first.log")
    try:
        wait_for(lambda: holders(place[1]) or process.poll() is not None, "the lease")
        assert process.poll() is None, (tmp_path / "first.log").read_text()
        yield process
    finally:
        send({process.pid}, signal.SIGCONT)
        end(process)


def freeze_without_lock(pid: int, output: str) -> set[int]:
    """Stop a tree of processes, but not while it holds a lock: nobody could then take over, or measure, for minutes."""
    locks = [str(lock_path()), *([] if is_s3(output) else [join(output, LOCK)])]
    while True:
        frozen = freeze(pid)
        with suppress(Timeout), ExitStack() as held:
            for lock in locks:
                held.enter_context(FileLock(lock, timeout=0))
            return frozen
        send(frozen, signal.SIGCONT)
        time.sleep(0.1)


def holders(output: str) -> list[dict[str, object]]:
    found = Storage().load(join(output, "lease.json"))
    listed: list[dict[str, object]] = json.loads(found[0])["holders"] if found else []
    return listed


def test_a_second_run_is_refused_and_once_the_first_is_paused_takes_over_for_good(
    running: subprocess.Popen[str],
    place: tuple[str, str],
    env: dict[str, str],
    storage: str,
    reference: Reference,
    command: Command,
    tmp_path: Path,
) -> None:
    with recorded(f"a second run on the same root, {storage}"):
        (first,) = holders(place[1])
        result = command(*place, FAST_HEART)
        assert_refused(result, str(first["owner"]), socket.gethostname(), str(first["since"]), place[1])
        assert running.poll() is None
        assert [one["owner"] for one in holders(place[1])] == [first["owner"]]
    with recorded(f"paused beyond its lease, then woken, {storage}") as record:
        output = place[1]
        wait_for(lambda: len(Storage().find(join(output, "plans"))) == 2, "the plan and the user's columns")
        frozen = freeze_without_lock(running.pid, output)
        time.sleep(EXPIRY_S)
        assert_went_through(command(*place, FAST_HEART))
        before = {uri: Storage().read(uri) for uri in Storage().find(output) if not uri.endswith("lease.json")}
        send(frozen, signal.SIGCONT)
        assert running.wait(TIMEOUT_S) == 2
        said = (tmp_path / "first.log").read_text()
        assert "lost its lease" in said
        assert "Traceback" not in said
        assert {uri: Storage().read(uri) for uri in before} == before
        assert set(Storage().find(output)) - set(before) <= {join(output, "lease.json")}
        found = damage(reference.table, output)
        record.lost, record.doubled = len(found.lost), len(found.doubled)
        assert (found.lost, found.doubled) == ([], [])


@pytest.mark.slow
def test_two_slices_at_a_time_do_each_pair_once_and_the_last_writes_the_table(
    place: tuple[str, str], env: dict[str, str], storage: str, reference: Reference, tmp_path: Path
) -> None:
    with recorded(f"two slices at a time, {storage}") as record:
        slices = [
            start("timbreflow", "run", *place, *FAST, "--shards", name, env=env, log=tmp_path / f"{name[0]}.log")
            for name in ("0/2", "1/2")
        ]
        try:
            codes = [process.wait(TIMEOUT_S) for process in slices]
        finally:
            for process in slices:
                end(process)
        said = [(tmp_path / f"{number}.log").read_text() for number in range(2)]
        assert set(codes) <= {0, 1}, said
        found = damage(reference.table, place[1])
        record.lost, record.doubled = len(found.lost), len(found.doubled)
        assert (found.lost, found.doubled) == ([], [])
        history = pd.concat([pd.read_parquet(uri, storage_options=_options(uri, env)) for uri in parts(place[1])])
        assert history["run_id"].nunique() == 2
        assert holders(place[1]) == []


def _options(uri: str, env: dict[str, str]) -> dict[str, object] | None:
    return {"endpoint_url": env["AWS_ENDPOINT_URL"]} if uri.startswith("s3://") else None


@pytest.mark.soak  # the kills in test_kill.py show it too, with the usual heartbeat
@pytest.mark.parametrize("storage", ["local files"])
def test_a_second_run_starts_at_once_after_the_first_was_killed(
    running: subprocess.Popen[str], place: tuple[str, str], env: dict[str, str]
) -> None:
    """Whatever a heartbeat would have to say: the machine knows that the process is dead."""
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert len(holders(place[1])) == 1
    assert_went_through(run_command(*place, {**env, "TIMBREFLOW_HEARTBEAT_S": "3600"}))
