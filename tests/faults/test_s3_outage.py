"""The S3 server is killed while a run reads, writes, and closes; it comes back later, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from manifests.files import join
from tests.conftest import use_bucket
from tests.deployment import Server
from tests.faults.conftest import Reference
from tests.faults.corpus import FAST, assert_refused, assert_went_through, damage, run_command, write_corpus
from tests.faults.report import recorded
from tests.flows.processes import end, start
from tests.seaweed import OutageRelay, SeaweedServer

REQUESTS = {
    "reads": rb"GET /\S+/in/long/",
    "writes": rb"PUT /\S+/out/audio/",
    "the last snapshot": rb"PUT /\S+/out/snapshots/",
}
"""What the server is killed in; in the order in which a run comes to them."""

SHORT_S, LONG_S = 5.0, 60.0
RUN_AND_OUTAGES_S = 540.0
"""A broken connection that nobody tells of costs up to `tasks.storage.s3_files.READ_TIMEOUT_S`, at each outage."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """Start an S3 server that may be killed: no other test needs it."""
    with SeaweedServer(tmp_path_factory.mktemp("own-seaweed")) as server:
        yield server


@pytest.fixture
def folder(own_server: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URI of an empty folder on that server."""
    return use_bucket(own_server, monkeypatch)


def run_with_outages(
    server: SeaweedServer, folder: str, env: dict[str, str], during: Sequence[str], down_s: float | None
) -> tuple[int, str]:
    """Run while the server goes away during some requests; return exit code and what the run said."""
    with OutageRelay(server, [REQUESTS[name] for name in during], down_s) as relay:
        reached = {**env, **server.environment, "AWS_ENDPOINT_URL": relay.endpoint}
        process = start("timbreflow", "run", join(folder, "in/pairs.parquet"), join(folder, "out"), *FAST, env=reached)
        try:
            said, _ = process.communicate(timeout=RUN_AND_OUTAGES_S)
        finally:
            end(process)
    assert relay.outages == len(during), said
    return process.returncode, said


@pytest.mark.parametrize(
    ("during", "down_s"),
    [
        pytest.param(tuple(REQUESTS), SHORT_S, id="three times for 5 s"),
        *(pytest.param((name,), SHORT_S, id=f"{name}-5 s", marks=pytest.mark.soak) for name in REQUESTS),
        *(pytest.param((name,), LONG_S, id=f"{name}-60 s", marks=pytest.mark.soak) for name in REQUESTS),
    ],
)
@pytest.mark.slow
def test_a_server_that_comes_back_costs_nothing(
    during: tuple[str, ...],
    down_s: float,
    reference: Reference,
    prefect: Server,
    own_server: SeaweedServer,
    folder: str,
) -> None:
    write_corpus(join(folder, "in"))
    with recorded(f"S3 killed in {' and '.join(during)}, back after {down_s:.0f} s", times=len(during)) as record:
        assert_went_through(run_with_outages(own_server, folder, prefect.env, during, down_s))
        found = damage(reference.table, join(folder, "out"))
        record.lost, record.doubled = len(found.lost), len(found.doubled)
        assert (found.lost, found.doubled) == ([], [])


@pytest.mark.parametrize(
    "during", ["writes", *(pytest.param(name, marks=pytest.mark.soak) for name in ("reads", "the last snapshot"))]
)
@pytest.mark.slow
def test_a_server_that_stays_away_stops_the_run_and_the_same_command_completes_it(
    during: str, reference: Reference, prefect: Server, own_server: SeaweedServer, folder: str
) -> None:
    write_corpus(join(folder, "in"))
    with recorded(f"S3 killed in {during}, stays away; then the same command again") as record:
        env = {**prefect.env, "TIMBREFLOW_STORAGE_RETRY_TIMEOUT_S": "5"}
        result = run_with_outages(own_server, folder, env, [during], None)
        assert_refused(result, folder, "has not answered for", "same command again")

        own_server.start()
        env = {**prefect.env, **own_server.environment}
        assert_went_through(run_command(join(folder, "in/pairs.parquet"), join(folder, "out"), env))
        found = damage(reference.table, join(folder, "out"))
        record.lost, record.doubled = len(found.lost), len(found.doubled)
        assert (found.lost, found.doubled) == ([], [])
