"""`timbreflow doctor`: what it finds on real servers and output roots, what it repairs, and that it tells no secret."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.events.schemas.automations import Automation
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows import zombies
from flows.checks import Check
from flows.doctor import examine, repair, root_checks
from flows.server_checks import server_checks
from flows.terminal import console
from flows.zombies import AUTOMATION, install, installed
from manifests.results.layout import audio_uri, latest_uri, write_part
from tasks.storage.retry import RETRY_TIMEOUT_VARIABLE
from tasks.storage.storage import Storage
from tests.conftest import Typed
from tests.deployment import Server, deploy_all, impatient, prefect_server
from tests.flows.processes import run
from tests.manifests.result_rows import succeeded
from tests.s3_relay import EXPIRED, S3Relay
from tests.seaweed import SeaweedServer
from tests.shared_prefect import SharedPrefect

NOBODY = "127.0.0.1:9"
"""Nothing listens there."""


@pytest.fixture(scope="module")
def bare(shared: SharedPrefect) -> Iterator[Server]:
    """Start a server that holds nothing."""
    with prefect_server(shared.new_home()) as server:
        yield server


@pytest.fixture
def bare_client(bare: Server) -> Iterator[SyncPrefectClient]:
    """Return a client of that server, and make it the one that is looked at in this process."""
    with temporary_settings({PREFECT_API_URL: bare.url}), SyncPrefectClient(bare.url) as client:
        yield client


@pytest.fixture(scope="module")
def deployed_there(bare: Server, clone: Path) -> None:
    """Deploy all of prefect.yaml to that server."""
    with temporary_settings({PREFECT_API_URL: bare.url}):
        _ = list(repair(list(server_checks())))  # makes the work pool
    deploy_all(bare, clone)


def by_name(checks: Iterator[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.mark.usefixtures("bare_client")
def test_of_a_bare_server_all_that_is_missing_is_named(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "_width", 80)
    code, said = typed("doctor", "new/out")
    assert code == 1, said
    assert "work pool: prefect work-pool create local --type process" in said
    assert "deployments: prefect --no-prompt deploy --all" in said
    assert "automation: timbreflow doctor --fix" in said
    table, _, _ = said.partition("slots: ")
    assert {word for line in table.splitlines() for word in line.split()[:1]} >= {"ok", "attention", "problem"}
    assert max(map(len, table.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


def test_it_is_mended_and_after_a_deployment_nothing_is_left_to_do(
    bare_client: SyncPrefectClient, typed: Typed, request: pytest.FixtureRequest
) -> None:
    code, said = typed("doctor", "--fix")
    assert code == 1, said  # the deployments are left to the user
    assert "work pool: repaired" in said
    assert "automation: repaired" in said
    before = installed(bare_client)
    assert len(before) == 1

    request.getfixturevalue("deployed_there")
    code, said = typed("doctor", "--fix")
    assert code == 0, said
    assert "repaired" not in said
    assert "prefect worker start --pool local" in said
    assert installed(bare_client) == before


def switch_off(client: SyncPrefectClient, found: Automation) -> None:
    client.pause_automation(found.id)


def change(client: SyncPrefectClient, found: Automation) -> None:
    client.update_automation(found.id, impatient(77))


def double(client: SyncPrefectClient, found: Automation) -> None:
    client.create_automation(AUTOMATION)


def remove(client: SyncPrefectClient, found: Automation) -> None:
    client.delete_automation(found.id)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [(switch_off, "switched off"), (change, "not as this version"), (double, "2 times"), (remove, "missing")],
)
def test_the_automation_is_put_right_and_then_left_alone(
    bare_client: SyncPrefectClient, spoil: Callable[[SyncPrefectClient, Automation], None], what: str
) -> None:
    install(bare_client)
    spoil(bare_client, *installed(bare_client))
    found = by_name(server_checks())["automation"]
    assert found.state == "problem"
    assert what in found.found

    assert list(repair([found])) == [("automation", "repaired")]
    (repaired,) = installed(bare_client)
    assert by_name(server_checks())["automation"].state == "ok"
    install(bare_client)
    assert installed(bare_client) == [repaired]


def test_prefects_own_command_installs_the_same_automation(
    bare: Server, bare_client: SyncPrefectClient, tmp_path: Path
) -> None:
    for found in installed(bare_client):
        bare_client.delete_automation(found.id)
    definition = Path(zombies.__file__).with_name("silent_runs.yaml")
    code, said = run("prefect", "automation", "create", "--from-file", str(definition), env=bare.env, cwd=tmp_path)
    assert code == 0, said
    assert by_name(server_checks())["automation"].state == "ok"


@pytest.mark.usefixtures("deployed_there")
def test_a_paused_pool_and_heartbeats_too_slow_for_the_automation_are_problems(bare_client: SyncPrefectClient) -> None:
    assert by_name(server_checks())["heartbeats"].found == "local every 30 s, nightly every 30 s, ray every 30 s"
    nightly = bare_client.read_deployment_by_name("cross-synthesis/nightly")
    slow = {"job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "180"}}}
    _ = bare_client.request("PATCH", f"/deployments/{nightly.id}", json=slow)
    bare_client.update_work_pool("local", WorkPoolUpdate(is_paused=True))
    try:
        found = by_name(server_checks())
    finally:
        bare_client.update_work_pool("local", WorkPoolUpdate(is_paused=False))
    assert found["work pool"].state == "problem"
    assert "prefect work-pool resume local" in found["work pool"].remedy
    assert found["heartbeats"].state == "problem"
    assert found["heartbeats"].found.endswith(": nightly")


def test_a_server_that_does_not_answer_and_a_root_that_is_a_file_are_problems(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.chdir(tmp_path)
    with temporary_settings({PREFECT_API_URL: f"http://name:hidden@{NOBODY}/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        code, said = typed("doctor", "file/out", "--fix")
    assert code == 1, said
    assert f"http://{NOBODY}/api does not answer" in said
    assert "output root: ls -ld" in said
    assert "hidden" not in said


@pytest.mark.parametrize("url", [f"http://{NOBODY}", "nonsense", "http://host:port/api"])
def test_a_wrong_url_of_the_server_is_a_problem(url: str) -> None:
    with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}):
        (found,) = server_checks()
    assert found.state == "problem"
    assert "PREFECT_API_URL" in found.remedy


def test_an_answer_that_is_not_prefects_is_a_problem(seaweed: SeaweedServer) -> None:
    with temporary_settings({PREFECT_API_URL: seaweed.endpoint}):
        (found,) = server_checks()
    assert found.state == "problem"


def test_versions_that_do_not_suit_each_other_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = tmp_path / "fastapi-9.9.9.dist-info"
    claimed.mkdir()
    (claimed / "METADATA").write_text("Metadata-Version: 2.1\nName: fastapi\nVersion: 9.9.9\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = by_name(iter(examine(None)))["versions"]
    assert found.state == "problem"
    assert "needed: fastapi<0.151" in found.found


def test_a_local_root_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    found = by_name(root_checks(str(tmp_path / "new" / "out")))
    assert {name: check.state for name, check in found.items()} == {"output disk": "ok", "output root": "ok"}
    assert list(tmp_path.iterdir()) == []
    (refused,) = root_checks("ftp://host/folder")
    assert refused.state == "problem"


def test_results_without_their_audio_are_a_problem(anywhere: str) -> None:
    files, names = Storage(), ("a" * 40, "b" * 40)
    rows = [succeeded(name) for name in names]
    part = files.read(write_part(files, anywhere, "r1", 0, rows))
    for uri, data in ((latest_uri(anywhere), part), *((audio_uri(anywhere, name), b"fLaC") for name in names)):
        files.create(uri, data)
    assert by_name(root_checks(anywhere))["results"].state == "ok"
    files.delete(audio_uri(anywhere, names[0]))
    lost = by_name(root_checks(anywhere))["results"]
    assert (lost.state, lost.found) == ("problem", "1 of 2 succeeded pairs have no audio any more")
    assert "timbreflow run" in lost.remedy
    files.swap(latest_uri(anywhere), b"no table", files.load(latest_uri(anywhere))[1])  # type: ignore[index]
    damaged = by_name(root_checks(anywhere))["results"]
    assert damaged.state == "problem"
    assert latest_uri(anywhere) in damaged.remedy


def test_an_s3_root_is_tried_and_left_as_it_was(s3: str, seaweed: SeaweedServer) -> None:
    found = by_name(root_checks(s3))
    assert {name: check.state for name, check in found.items()} == {"S3": "ok", "output root": "ok"}
    assert seaweed.endpoint in found["S3"].found
    assert "AWS_ACCESS_KEY_ID in the environment" in found["S3"].found
    assert Storage().find(s3) == []
    assert_tells_no_secret(found, seaweed)


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "AWS_PROFILE"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "AWS_PROFILE"),
        ({"AWS_ENDPOINT_URL": f"http://{NOBODY}"}, "AWS_ENDPOINT_URL"),
    ],
)
def test_an_s3_root_that_may_not_be_written_is_a_problem(
    s3: str, seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], remedy: str
) -> None:
    monkeypatch.setenv(RETRY_TIMEOUT_VARIABLE, "1")
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    found = by_name(root_checks(s3))
    assert found["output root"].state == "problem"
    assert remedy in found["output root"].remedy
    assert_tells_no_secret(found, seaweed)


def test_expired_credentials_are_to_be_renewed(
    s3: str, seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RETRY_TIMEOUT_VARIABLE, "1")
    with S3Relay(seaweed.address, lambda _: EXPIRED) as relay:
        monkeypatch.setenv("AWS_ENDPOINT_URL", relay.endpoint)
        found = by_name(root_checks(s3))["output root"]
    assert found.state == "problem"
    assert "have expired" in found.found
    assert "renews the credentials" in found.remedy


def test_a_bucket_that_is_missing_is_to_be_made(s3: str) -> None:
    found = by_name(root_checks("s3://no-such-bucket/out"))
    assert found["output root"].state == "problem"
    assert found["output root"].remedy == "aws s3 mb s3://no-such-bucket"


def test_s3_without_credentials_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (found,) = root_checks("s3://a/b")
    assert found.state == "problem"
    assert "no credentials" in found.found


def assert_tells_no_secret(found: dict[str, Check], seaweed: SeaweedServer) -> None:
    for check in found.values():
        assert seaweed.environment["AWS_SECRET_ACCESS_KEY"] not in f"{check.found} {check.remedy}"
