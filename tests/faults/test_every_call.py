"""The storage fails at the n-th call, for every n: the same command again gives the table of a run without a fault."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pandas as pd
import pytest

from manifests.files import join
from tasks.ledger.gc import collect
from tasks.ledger.lease import holding, lease_uri
from tasks.storage.storage import Storage
from tests.faults.failing_storage import Failure
from tests.faults.report import recorded
from tests.faults.whole_runs import assert_no_row_without_audio, assert_whole, doubled, run_whole, write_corpus
from tests.tasks.corpus import read_table

MOMENTS = ("before", "after")

pytestmark = pytest.mark.timeout(1800)  # a test of every call is hundreds of runs


@dataclass(frozen=True)
class Corpus:
    """Manifests of all pairs and of half of them, the tables that they give, and an output root with garbage."""

    all: str
    half: str
    table: pd.DataFrame
    half_table: pd.DataFrame
    used: Path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    every, half = write_corpus(folder)
    run_whole(every, str(folder / "used"))
    table = read_table(folder / "used")
    assert table["status"].value_counts().to_dict() == {"succeeded": 4, "failed": 2}
    run_whole(half, str(folder / "used"))
    Storage().create(join(str(folder), "used/audio/ff", f"{'f' * 40}.flac"), b"written by a run that was killed")
    return Corpus(every, half, table, read_table(folder / "used"), folder / "used")


Course = Callable[[Corpus, str, Failure], None]
"""A command that a call fails in; it may raise."""


def one_run(corpus: Corpus, output: str, failure: Failure) -> None:
    run_whole(corpus.all, output, failure.during)


def silent_run(corpus: Corpus, output: str, failure: Failure) -> None:
    """Run so slowly that the lease must be renewed before each commit, and before the table is written."""

    @contextmanager
    def slowly(stage: str) -> Iterator[None]:
        if stage in ("commit", "snapshot", "close"):
            with failure.during("time that passes"):
                let_time_pass(output)
        with failure.during("silence"):
            yield

    run_whole(corpus.all, output, slowly)


def let_time_pass(output: str) -> None:
    """Put the last sign of life of every holder a minute back, but for a second."""
    then = (datetime.now(UTC) - timedelta(seconds=59)).isoformat()
    holders = json.loads(Storage().read(lease_uri(output)))["holders"]
    with Storage().writing(lease_uri(output)) as sink:
        sink.write(json.dumps({"holders": [{**one, "heartbeat": then} for one in holders]}).encode())


def one_of_two_slices(corpus: Corpus, output: str, failure: Failure) -> None:
    """Run a slice that meets the fault, and runs again, while the other one is at work, which closes last."""

    def other() -> None:
        with suppress(OSError), failure.during("slice"):
            run_whole(corpus.all, output, shards="0/2")
        run_whole(corpus.all, output, shards="0/2")

    run_whole(corpus.all, output, shards="1/2", before_closing=other)


def fail_at_every_call(
    course: Course, stage: str, moment: str, corpus: Corpus, ground: Ground, of: str = ""
) -> Iterator[str]:
    """Take a course in which the n-th call fails, for every n until it passes; give the output root after each."""
    for number in count(1, ground.step):
        output = ground.place()
        with Failure(stage, number, moment, of) as failure:
            try:
                course(corpus, output, failure)
            except OSError as error:
                assert "made to fail" in str(error), failure.call  # noqa: PT017 - a fault may also cost nothing
        if not failure.call:
            assert number > 1
            return
        yield output


@dataclass(frozen=True)
class Ground:
    """Where calls fail: what kind of storage, the first of how many calls, and what gives a new output root."""

    storage: str
    step: int
    place: Callable[[], str]


@pytest.fixture(
    params=[
        pytest.param(("local files", 29), id="some calls"),
        pytest.param(("local files", 1), id="every call", marks=pytest.mark.soak),
        pytest.param(("S3", 5), id="some calls on S3", marks=pytest.mark.soak),
    ]
)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    storage, step = request.param
    folder = str(tmp_path) if storage == "local files" else request.getfixturevalue("s3")
    numbers = count()
    return Ground(storage, step, lambda: join(folder, str(next(numbers))))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("course", "stage", "of", "closer"),
    [
        pytest.param(one_run, "lease", "", 4, id="lease"),
        pytest.param(one_run, "plan", "", 1, id="plan"),
        pytest.param(one_run, "commit", "", 1, id="commit"),
        pytest.param(one_run, "snapshot", "", 1, id="snapshot"),
        pytest.param(one_run, "close", "", 1, id="close"),
        pytest.param(silent_run, "silence", "lease.json", 1, id="lease renewal"),
        pytest.param(one_of_two_slices, "slice", "", 1, id="one of two slices"),
    ],
)
def test_a_run(
    course: Course,
    stage: str,
    of: str,
    closer: int,
    moment: str,
    corpus: Corpus,
    ground: Ground,
) -> None:
    """A stage of few calls has them fail closer to each other."""
    ground = replace(ground, step=max(1, ground.step // closer))
    named = f"a call of the storage fails {moment} its effect, {ground.storage}: {stage}"
    with recorded(named, times=0) as record:
        for output in fail_at_every_call(course, stage, moment, corpus, ground, of):
            record.times += 1
            assert_no_row_without_audio(output)
            run_whole(corpus.all, output)
            record.doubled += len(doubled(output))
            assert_whole(corpus.table, output)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_garbage_collection(moment: str, corpus: Corpus, ground: Ground) -> None:
    def used() -> str:
        output = ground.place()
        for path in corpus.used.rglob("*"):
            if path.is_file():
                Storage().create(join(output, str(path.relative_to(corpus.used))), path.read_bytes())
        return output

    def collection(_: Corpus, output: str, failure: Failure) -> None:
        with failure.during("collection"):
            collect(output, keep_days=0)

    with recorded(f"a call of the storage fails {moment} its effect, {ground.storage}: collection", times=0) as record:
        for output in fail_at_every_call(collection, "collection", moment, corpus, replace(ground, place=used)):
            record.times += 1
            assert_no_row_without_audio(output)
            collect(output, keep_days=0)
            assert_no_row_without_audio(output)
            assert len(Storage().find(join(output, "audio"))) == sum(corpus.half_table["status"] == "succeeded")
            assert run_whole(corpus.half, output).computed == 0
            assert_whole(corpus.half_table, output)
            run_whole(corpus.all, output)
            record.doubled += len(doubled(output))
            assert_whole(corpus.table, output)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", range(1, 5))
def test_a_heart_that_fails_once_beats_on(
    number: int, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBREFLOW_HEARTBEAT_S", "0.1")
    output = str(tmp_path)

    def beats() -> int:
        return int(json.loads(Storage().read(lease_uri(output)))["holders"][0]["beats"])

    with (
        Failure("beating", number, moment) as failure,
        holding(Storage(), output, "a run") as lease,
        failure.during("beating"),
    ):
        while not failure.call:
            time.sleep(0.01)
        since = beats()
        while beats() < since + 2:
            time.sleep(0.01)
        lease.check()
