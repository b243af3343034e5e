"""Whole runs on S3 as AWS answers it: conflicts, busy servers, lost answers, credentials that end in the middle."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pandas as pd
import pytest

from manifests.files import join
from tasks.ledger.gc import collect
from tasks.ledger.lease import lease_uri
from tasks.storage import retry
from tasks.storage.retry import RETRY_TIMEOUT_VARIABLE
from tasks.storage.storage import CredentialsExpired, Storage
from tests.deployment import Server
from tests.faults import corpus as real_corpus
from tests.faults.conftest import Reference
from tests.faults.report import Record, recorded
from tests.faults.whole_runs import assert_no_row_without_audio, assert_whole, doubled, run_whole, write_corpus
from tests.s3_relay import (
    CONFLICT,
    DROPPED,
    EXPIRED,
    INTERNAL,
    SLOW_DOWN,
    Choice,
    Fault,
    Request,
    S3Relay,
    each_once,
    numbered,
)
from tests.seaweed import SeaweedServer
from tests.tasks.corpus import read_table

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
ANY_CHANGE = "(PUT|POST|DELETE) "
MOMENTS = [40, *(pytest.param(number, marks=pytest.mark.soak) for number in (1, 5, 20, 60, 80, 100))]
"""Requests of a run with which its credentials expire."""

LATE_CONFLICT = Fault(409, "ConditionalRequestConflict", delivered=True)
LATE_ERROR = Fault(500, "InternalError", delivered=True)

pytestmark = pytest.mark.timeout(1800)

Through = Callable[..., S3Relay]
Corpus = tuple[str, str, pd.DataFrame, pd.DataFrame]


def each_conditional(fault: Fault) -> Choice:
    """Return a choice that faults every conditional PUT, but not its repetition."""
    choose = each_once("PUT ", fault)
    return lambda request: choose(request) if {"if-match", "if-none-match"} & set(request.headers) else None


CONFLICTS, LOSSES = partial(each_conditional, CONFLICT), partial(each_once, ANY_CHANGE, DROPPED)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Return manifests of all pairs and of half of them, and the tables that they give."""
    folder = tmp_path_factory.mktemp("corpus")
    every, half = write_corpus(folder)
    for manifest in (every, half):
        run_whole(manifest, str(folder / Path(manifest).stem))
    return every, half, read_table(folder / "all"), read_table(folder / "half")


@pytest.fixture
def through(s3: str, seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> Through:
    """Return what does something whose requests pass a relay, and returns that relay."""

    def do(act: Callable[[], object], *choices: Choice) -> S3Relay:
        with S3Relay(seaweed.address, *choices) as relay, monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", relay.endpoint)
            act()
        return relay

    return do


def use(corpus: Corpus, output: str) -> None:
    """Change an output root in every way there is: two slices at a time, another manifest, a collection."""
    every, half, table, _ = corpus
    run_whole(every, output, shards="1/2", before_closing=lambda: run_slice(every, output))
    assert_whole(table, output)
    run_whole(half, output)
    collect(output, keep_days=0)


def run_slice(manifest: str, output: str) -> None:
    run_whole(manifest, output, shards="0/2")


def assert_used(corpus: Corpus, output: str) -> int:
    """Assert that all is as it is without faults; return the number of pairs that were computed twice."""
    assert_whole(corpus[3], output)
    assert len(Storage().find(join(output, "audio"))) == sum(corpus[3]["status"] == "succeeded")
    return len(doubled(output))


@pytest.mark.parametrize(
    ("named", "choices"),
    [
        ("409 for every conditional PUT, then every answer to PUT, POST and DELETE lost", (CONFLICTS, LOSSES)),
        *(
            pytest.param(name, (choice,), marks=pytest.mark.soak)
            for name, choice in (
                ("409 for every conditional PUT", partial(each_conditional, CONFLICT)),
                ("409 for every conditional PUT, which was delivered", partial(each_conditional, LATE_CONFLICT)),
                ("the answer to every PUT, POST and DELETE lost", LOSSES),
                ("503 for every request", partial(each_once, "", SLOW_DOWN)),
                ("500 for every request", partial(each_once, "", INTERNAL)),
                ("500 for every request, which was delivered", partial(each_once, "", LATE_ERROR)),
                ("every request lost", partial(each_once, "", Fault())),
            )
        ),
    ],
)
def test_every_first_answer(
    named: str,
    choices: tuple[Callable[[], Choice], ...],
    corpus: Corpus,
    s3: str,
    through: Through,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "LONGEST_PAUSE_S", 0.05)  # the repetition is answered
    with recorded(f"S3: {named}, then repeated") as record:
        output = join(s3, "out")
        relay = through(lambda: use(corpus, output), *(make() for make in choices))
        record.times = len(relay.faults)
        record.doubled = assert_used(corpus, output)
        assert record.times > 20


@pytest.mark.soak
def test_each_answer_lost_by_itself(corpus: Corpus, s3: str, through: Through) -> None:
    with recorded("S3: the answer to one PUT, POST or DELETE lost", times=0) as record:
        for number in count(1):
            output = join(s3, str(number))
            relay = through(partial(use, corpus, output), numbered(ANY_CHANGE, DROPPED, (number,)))
            if not relay.faults:
                break
            record.times += 1
            record.doubled += assert_used(corpus, output)
        assert record.times > 20


@pytest.mark.soak
def test_a_real_run_whose_first_answers_are_all_lost(
    reference: Reference, prefect: Server, seaweed: SeaweedServer, s3: str
) -> None:
    manifest, output = real_corpus.write_corpus(join(s3, "in")), join(s3, "out")
    with recorded("S3: conflicts and lost answers, the whole command") as record:
        with S3Relay(seaweed.address, CONFLICTS(), LOSSES()) as relay:
            env = {**prefect.env, **seaweed.environment, "AWS_ENDPOINT_URL": relay.endpoint}
            real_corpus.assert_went_through(real_corpus.run_command(manifest, output, env))
        record.times = len(relay.faults)
        keep_damage(record, reference, output)


@pytest.mark.soak
def test_a_real_run_whose_token_expires(
    reference: Reference, prefect: Server, seaweed: SeaweedServer, s3: str, tmp_path: Path
) -> None:
    manifest, output = real_corpus.write_corpus(join(s3, "in")), join(s3, "out")
    file = tmp_path / "credentials"
    env = {name: value for name, value in {**prefect.env, **seaweed.environment}.items() if name not in KEYS}
    env |= {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_EC2_METADATA_DISABLED": "true", RETRY_TIMEOUT_VARIABLE: "5"}
    with recorded("S3: a token expires, the whole command, twice", times=2) as record:
        write_credentials(file, seaweed.environment)
        with S3Relay(seaweed.address, expiring_at(r"PUT \S+/out/results/run_id")) as relay:
            env["AWS_ENDPOINT_URL"] = relay.endpoint
            refused = real_corpus.run_command(manifest, output, env)
            real_corpus.assert_refused(refused, output, "credentials have expired", "same command again")

            renewal = threading.Timer(3, write_credentials, (file, seaweed.renewed_environment))
            renewal.start()  # planning still meets the old ones
            real_corpus.assert_went_through(
                real_corpus.run_command(manifest, output, {**env, RETRY_TIMEOUT_VARIABLE: "60"})
            )
            renewal.join()
        keep_damage(record, reference, output)


def keep_damage(record: Record, reference: Reference, output: str) -> None:
    found = real_corpus.damage(reference.table, output)
    record.lost, record.doubled = len(found.lost), len(found.doubled)
    assert (found.lost, found.doubled) == ([], [])


def expiring_at(pattern: str) -> Choice:
    """Return a choice for which the first credentials expire with the first request that matches."""
    begun = threading.Event()

    def choose(request: Request) -> Fault | None:
        if re.match(pattern, request.line):
            begun.set()
        return EXPIRED if begun.is_set() and request.access_key == "timbreflow" else None

    return choose


class TestCredentials:
    """A token that expires at the n-th request of a run."""

    @pytest.fixture(autouse=True)
    def file(self, tmp_path: Path, seaweed: SeaweedServer, s3: str, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Put the first credentials into a file, where another program may replace them."""
        for name in KEYS:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        write_credentials(tmp_path / "credentials", seaweed.environment)
        return tmp_path / "credentials"

    @pytest.mark.soak  # test_s3_answers.py has it for single files
    @pytest.mark.parametrize("number", MOMENTS)
    def test_new_ones_are_taken_up_in_the_middle(
        self, number: int, file: Path, seaweed: SeaweedServer, corpus: Corpus, s3: str, through: Through
    ) -> None:
        with recorded("S3: a token expires in a run, and is renewed a second later") as record:
            renewal = threading.Timer(1, write_credentials, (file, seaweed.renewed_environment))
            relay = through(lambda: run_whole(corpus[0], join(s3, "out")), expiring(number, renewal.start))
            renewal.join()
            assert relay.faults
            assert_whole(corpus[2], join(s3, "out"))
            record.doubled = len(doubled(join(s3, "out")))

    @pytest.mark.parametrize("number", MOMENTS)
    def test_without_new_ones_the_run_ends_and_the_same_command_goes_on(
        self,
        number: int,
        file: Path,
        seaweed: SeaweedServer,
        corpus: Corpus,
        s3: str,
        through: Through,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        output = join(s3, "out")

        def run() -> None:
            with pytest.raises(CredentialsExpired, match="same command again"):
                run_whole(corpus[0], output)

        with recorded("S3: a token expires in a run; the same command again with a new one") as record:
            monkeypatch.setenv(RETRY_TIMEOUT_VARIABLE, "0.2")
            through(run, expiring(number, lambda: None))
            write_credentials(file, seaweed.renewed_environment)
            assert_no_row_without_audio(output)
            release_lease(output)
            run_whole(corpus[0], output)
            assert_whole(corpus[2], output)
            record.doubled = len(doubled(output))


def write_credentials(file: Path, found: dict[str, str]) -> None:
    file.write_text("\n".join(["[default]", *(f"{name.lower()} = {found[name]}" for name in KEYS)]))


def expiring(number: int, act: Callable[[], object]) -> Choice:
    """Return a choice for which the first credentials expire with the n-th request; `act` is called once then."""
    numbers = count(1)

    def choose(request: Request) -> Fault | None:
        if request.access_key != "timbreflow":
            return None
        present = next(numbers)
        if present == number:
            act()
        return EXPIRED if present >= number else None

    return choose


def release_lease(output: str) -> None:
    """Let go of what the run could not give back, as the end of its process does."""
    if Storage().exists(lease_uri(output)):
        Storage().delete(lease_uri(output))
