"""The deployment, really performed on loopback: server, work pool, deploy, worker, run, results in pandas."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import FlowRun
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError

from tests.deployment import ROOT, Server
from tests.flows.processes import run
from tests.flows.sounds import QUICK, pair, write_manifest


def run_deployment(worker: Server, manifest: str, output: Path) -> tuple[int, str]:
    """Run `cross-synthesis/local` as a user does, and watch it to its end."""
    return run(
        *("prefect", "deployment", "run", "cross-synthesis/local", "--watch", "--watch-interval", "1"),
        *("-p", f"manifest={manifest}", "-p", f"output={output}", "-p", f"settings={json.dumps(QUICK)}"),
        env=worker.env,
    )


@pytest.fixture
def manifest(sounds: Path) -> str:
    """Return a manifest of two pairs."""
    rows = [pair("harp_phrase", mood="calm"), pair("flute_phrase", mood="bright")]
    return write_manifest(sounds / "m.parquet", rows)


def test_a_deployed_run_makes_a_table_and_audio_and_shows_them_in_prefect(
    worker: Server, client: SyncPrefectClient, sounds: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    rows = [pair("harp_phrase", mood="calm"), pair("flute_phrase", mood="bright"), pair("gone", mood="none")]
    manifest = write_manifest(sounds / "three.parquet", rows)
    code, said = run_deployment(worker, manifest, output)
    assert code == 0, said
    table = pd.read_parquet(output / "results.parquet")
    assert list(table["status"]) == ["succeeded", "succeeded", "failed"]
    assert list(table["mood"]) == ["calm", "bright", "none"]
    assert all(Path(uri).stat().st_size > 0 for uri in table["output"].dropna())
    run_id = table["run_id"].iloc[0]
    summary = artifact_of(client, "cross-synthesis-summary", run_id)
    for text in ("2 pairs computed, **1 failed**", str(output), f"{table['rhythm_kept'].mean():.2f}", "does not exist"):
        assert text in summary
    (row,) = json.loads(artifact_of(client, "cross-synthesis-failed-pairs", run_id))
    assert (row["pair_id"], row["error_type"]) == (table["pair_id"].iloc[2], "missing")
    (shown,) = runs_into(output, client)
    assert shown.name.startswith("three.parquet: 3 of 3 pairs, ")
    assert {"timbreflow", "default"} <= set(shown.tags)


def artifact_of(client: SyncPrefectClient, key: str, run_id: str) -> str:
    """Return what an artifact of a run shows."""
    found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    (artifact,) = [artifact for artifact in found if str(artifact.description).startswith(run_id)]
    return str(artifact.data)


@pytest.mark.slow
def test_the_rerun_of_a_deployment_is_up_to_date(
    worker: Server, client: SyncPrefectClient, manifest: str, tmp_path: Path
) -> None:
    """As it is for the same flow in this process (test_cross_synthesis.py)."""
    output = tmp_path / "out"
    assert run_deployment(worker, manifest, output)[0] == 0
    table = pd.read_parquet(output / "results.parquet")
    code, said = run_deployment(worker, manifest, output)
    assert code == 0, said
    newest, first = runs_into(output, client)
    assert newest.state is not None
    assert newest.state.is_completed()
    assert newest.state.message == "all pairs are up to date"
    assert first.state is not None
    assert first.state.message == "2 pairs computed"
    pd.testing.assert_frame_equal(pd.read_parquet(output / "results.parquet"), table)


def runs_into(output: object, client: SyncPrefectClient) -> list[FlowRun]:
    """Return the flow runs with this output, newest first; others share the server."""
    runs = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC)
    return [run for run in runs if run.parameters.get("output") == str(output)]


def test_nightly_waits_for_the_user_and_never_overlaps(deployed: Server, client: SyncPrefectClient) -> None:
    nightly = client.read_deployment_by_name("cross-synthesis/nightly")
    (schedule,) = nightly.schedules
    assert schedule.active is False
    assert schedule.schedule.cron == "0 2 * * *"  # type: ignore[union-attr]
    assert nightly.global_concurrency_limit is not None
    assert nightly.global_concurrency_limit.limit == 1
    assert nightly.concurrency_options is not None
    assert nightly.concurrency_options.collision_strategy.value == "CANCEL_NEW"
    assert (ROOT / str(nightly.parameters["manifest"])).exists()
    assert nightly.parameters["output"]


def test_local_has_no_schedule_and_both_start_where_they_were_deployed(
    deployed: Server, client: SyncPrefectClient, clone: Path
) -> None:
    assert client.read_deployment_by_name("cross-synthesis/local").schedules == []
    for name in ("local", "nightly"):
        deployment = client.read_deployment_by_name(f"cross-synthesis/{name}")
        assert deployment.pull_steps == [
            {"prefect.deployments.steps.set_working_directory": {"directory": str(clone.resolve())}}
        ]


@pytest.mark.parametrize("settings", [{"iterations": 0}, {"iterationen": 5}])
def test_a_setting_out_of_bounds_is_refused_before_a_run_is_created(
    deployed: Server, client: SyncPrefectClient, tmp_path: Path, settings: dict[str, int]
) -> None:
    """By the server, whoever asks for the run."""
    deployment = client.read_deployment_by_name("cross-synthesis/local")
    parameters = {"manifest": "m.parquet", "output": str(tmp_path), "settings": settings}
    with pytest.raises(PrefectHTTPStatusError) as caught:
        client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    assert next(iter(settings)) in str(caught.value)
    assert runs_into(tmp_path, client) == []
