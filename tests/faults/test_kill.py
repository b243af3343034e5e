"""kill -9 of a run with all its processes, at any moment; the same command, at once, makes up for it."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

from manifests.files import join
from tasks.storage.storage import Storage
from tests.deployment import Server
from tests.faults.conftest import Command, Pace, Reference
from tests.faults.corpus import (
    FAST,
    assert_went_through,
    committed,
    damage,
    fingerprints,
    run_command,
    stray_audio,
    write_corpus,
)
from tests.faults.report import recorded
from tests.faults.trees import freeze, kill_frozen, kill_tree, send
from tests.flows.processes import TIMEOUT_S, environment, start
from tests.seaweed import InterceptingRelay, SeaweedServer
from tests.tasks.corpus import read_table

Look = Callable[[str], bool]


def is_begun(output: str) -> bool:
    return Storage().exists(join(output, "lease.json"))


def is_planned(output: str) -> bool:
    return bool(Storage().find(join(output, "plans")))


def has_audio_without_rows(output: str) -> bool:
    """Say whether a shard is just being committed: some of its audio is there, and none of its rows."""
    files = Storage()
    if not files.exists(join(output, "audio")):  # asked hundreds of times until then
        return False
    names = files.find(output)
    audio = {Path(name).stem for name in names if name.endswith(".flac")}
    return bool(audio.difference(*(_fingerprints(name) for name in names if "/part-" in name)))


@lru_cache(maxsize=1024)
def _fingerprints(part: str) -> frozenset[str]:
    return frozenset(pd.read_parquet(BytesIO(Storage().read(part)))["fingerprint"])


def is_closing(output: str) -> bool:
    """Say whether the last snapshot is being written: it is there, and the record that follows it is not."""
    files = Storage()
    return bool(files.find(join(output, "snapshots"))) and not files.find(join(output, "runs"))


def is_half_published(output: str) -> bool:
    """Say whether the last snapshot has appeared under the name that users read, and not under the run's own yet."""
    files = Storage()
    return files.exists(join(output, "results.parquet")) and not files.find(join(output, "snapshots"))


MOMENTS: dict[str, Look] = {
    "planning": is_begun,
    "optimising": is_planned,
    "between audio and rows": has_audio_without_rows,
    "in the snapshot": is_closing,
}
REQUESTS: dict[str, tuple[bytes, Look]] = {
    "between audio and rows": (rb"PUT /\S+/out/results/run_id", has_audio_without_rows),
    "in the snapshot": (rb"PUT /\S+/out/snapshots/", is_half_published),
}
"""What a run asks of S3 at the moments that are too short to be seen from outside, and what is there then."""

MOST_TRIES = 5

ORDER = (*MOMENTS, "optimising")
"""Every fifth kill is one more of those while optimising, and takes a Prefect server of the run's own with it."""


def cases(count: int, in_short: tuple[int, ...]) -> list[object]:
    """Return numbered kills; some belong to the short selection.

    A kill between audio and rows is the one whose damage no later step would mend. The moments of the others are
    tried call by call in test_every_call.py, and in any order in test_simulation.py.
    """
    soak = pytest.mark.soak
    return [
        pytest.param(
            number, ORDER[number % 5], id=f"{number}-{ORDER[number % 5]}", marks=() if number in in_short else soak
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Prefect home for runs with a server of their own."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize(("number", "moment"), cases(20, (2,)))
def test_killed_with_local_files(
    number: int,
    moment: str,
    reference: Reference,
    pace: Callable[[], Pace],
    prefect: Server,
    home: Path,
    command: Command,
    tmp_path: Path,
) -> None:
    env = environment(home) if number % 5 == 4 else prefect.env
    again = partial(run_command, env=env) if number % 5 == 4 else command
    output = str(tmp_path / "out")
    kill = partial(kill_at, look=partial(MOMENTS[moment], output), delay_s=delay_s(f"local {number}", moment, pace))
    kill_and_complete(f"kill -9 {moment}, local files", reference.manifest, output, reference, env, kill, again)


@pytest.mark.parametrize(("number", "moment"), cases(10, (2,)))
@pytest.mark.slow
def test_killed_with_everything_on_s3(
    number: int,
    moment: str,
    reference: Reference,
    pace: Callable[[], Pace],
    prefect: Server,
    home: Path,
    seaweed: SeaweedServer,
    s3: str,
) -> None:
    env = {**(environment(home) if number % 5 == 4 else prefect.env), **seaweed.environment}
    again = partial(run_command, env=env)
    manifest, output = write_corpus(join(s3, "in")), join(s3, "out")
    fault = f"kill -9 {moment}, S3"
    if moment not in REQUESTS:
        kill = partial(kill_at, look=partial(MOMENTS[moment], output), delay_s=delay_s(f"s3 {number}", moment, pace))
        kill_and_complete(fault, manifest, output, reference, env, kill, again)
        return

    victim: list[subprocess.Popen[str]] = []
    request, is_there = REQUESTS[moment]
    with InterceptingRelay(seaweed.address, request, lambda: kill_tree(victim[0])) as relay:

        def wait(process: subprocess.Popen[str]) -> bool:
            victim.append(process)
            process.communicate(timeout=TIMEOUT_S)
            assert process.returncode == -signal.SIGKILL
            assert is_there(output)
            return True

        first = {**env, "AWS_ENDPOINT_URL": relay.endpoint}
        kill_and_complete(fault, manifest, output, reference, first, wait, again)


def kill_and_complete(
    fault: str,
    manifest: str,
    output: str,
    reference: Reference,
    env: dict[str, str],
    kill: Callable[[subprocess.Popen[str]], bool],
    again: Command,
) -> None:
    """Start a run and kill it, give the same command again at once, and compare with the uninterrupted run.

    A run that was through before it could be caught, on a busy machine, has had no fault: another one is started.
    """
    with recorded(fault) as record:
        for _ in range(MOST_TRIES):
            if kill(start("timbreflow", "run", manifest, output, *FAST, env=env)):
                break
            remove(output)
        else:
            pytest.fail(f"{MOST_TRIES} runs ended before they were killed")
        before = committed(output)

        assert_went_through(again(manifest, output))

        found = damage(reference.table, output)
        record.lost, record.doubled = len(found.lost), len(found.doubled)
        assert (found.lost, found.doubled) == ([], [])
        after = committed(output)
        assert {uri: after[uri] for uri in before} == before
        assert fingerprints([*before]).isdisjoint(fingerprints([uri for uri in after if uri not in before]))
        table = read_table(output)
        assert table["pair_id"].tolist() == reference.table["pair_id"].tolist()
        assert stray_audio(output, table) == set()


def remove(output: str) -> None:
    """Remove every file of an output root."""
    for uri in Storage().find(output):
        Storage().delete(uri)


def delay_s(seed: str, moment: str, pace: Callable[[], Pace]) -> float:
    """Return how long after its beginning a long moment is interrupted; short ones at once."""
    if moment not in ("planning", "optimising"):
        return 0.0
    span_s = pace().planning_s if moment == "planning" else 0.7 * pace().computing_s
    return random.Random(seed).uniform(0, span_s)


def kill_at(process: subprocess.Popen[str], look: Callable[[], bool], delay_s: float) -> bool:
    """Kill a whole tree of processes some time after a look finds something; without a delay, while it does.

    Returns
    -------
    bool
        Whether it was killed; a run may have ended before, as it should.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while process.poll() is None:
        assert time.monotonic() < deadline
        if not look():
            time.sleep(0.002)
            continue
        time.sleep(delay_s)
        tree = freeze(process.pid)
        if process.pid in tree and (delay_s or look()):
            kill_frozen(tree, process)
            return True
        send(tree, signal.SIGCONT)
    assert_went_through((process.returncode, process.communicate()[0]))
    return False
