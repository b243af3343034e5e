"""Ray, really started: the same table as with threads, what is refused, and what a stop leaves behind."""

from __future__ import annotations

import _thread
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling
from typer.testing import CliRunner

from flows import cli
from flows.cross_synthesis import cross_synthesis
from flows.ray_cluster import RunnerError, refuse_runner
from stylecore.settings import Settings
from tasks.interruption import STOP_REQUESTED
from tasks.ledger.query import SHOWN
from tasks.options import RunOptions
from tasks.pipeline.ray_worker import stoppable
from tests.deployment import Server
from tests.faults.trees import marked
from tests.flows.processes import end, environment, start, wait_for
from tests.flows.sounds import CONTENTS, QUICK, STYLES, pair, write_manifest, write_quick_and_slow

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
SETTINGS = Settings(**QUICK)  # type: ignore[arg-type]
GONE_WITHIN_S = 30.0
SHARD_AUDIO_S = 1.0


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)])
def workers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start a Ray of so many workers, which the flows of this process then use.

    One shows what a worker does. That shards computed at the same time are the same, tests/tasks/test_run.py shows;
    that several processes may commit into one output root, tests/faults/test_simulation.py.
    """
    from flows.ray_backend import connected

    with connected(None, workers=request.param):
        import ray

        assert ray.cluster_resources()["CPU"] == request.param
        yield


def run_flow(manifest: str, output: Path, runner: str) -> pd.DataFrame:
    """Run on a processor, in several shards; return the table."""
    options = RunOptions(device="cpu", shard_audio_s=SHARD_AUDIO_S, runner=runner)  # type: ignore[arg-type]
    state = cross_synthesis(manifest, str(output), SETTINGS, options, return_state=True)
    assert state.is_completed(), state  # type: ignore[attr-defined]
    return pd.read_parquet(output / "results.parquet")


@pytest.mark.usefixtures("harness", "workers")
def test_the_same_table_as_with_threads_and_a_failing_pair_is_a_row(sounds: Path) -> None:
    rows = [pair(content, style) for content in CONTENTS for style in STYLES]
    manifest = write_manifest(sounds / "m.parquet", [*rows, pair("not_audio.wav")])
    threads, by_ray = (run_flow(manifest, sounds / runner, runner) for runner in ("threads", "ray"))

    assert len(list((sounds / "ray").glob("results/*/part-*.parquet"))) > 1
    same = ["pair_id", "fingerprint", "status", "error_type", "error_message"]
    pd.testing.assert_frame_equal(by_ray[same], threads[same])
    assert list(by_ray["status"]) == ["succeeded"] * 4 + ["failed"]
    for name in SHOWN:
        assert by_ray[name].to_numpy() == pytest.approx(threads[name].to_numpy(), abs=0.02, nan_ok=True), name
    assert all(Path(uri).stat().st_size > 0 for uri in by_ray["output"].dropna())
    record = json.loads(next((sounds / "ray" / "runs").iterdir()).read_text())
    assert (record["computed"], record["failed"]) == (4, 1)


@pytest.mark.slow
def test_a_lost_worker_costs_nothing_that_is_committed(sounds: Path, embedded: Path) -> None:
    """Ray starts the task anew on another worker."""
    killed: list[int] = []

    def kill(process: subprocess.Popen[str], mark: str) -> None:
        found = [pid for pid, name in marked(mark).items() if name.startswith("ray::synthesise")]
        killed.extend(found)
        for pid in found:
            os.kill(pid, signal.SIGKILL)

    code, said = disturbed_run(kill, write_quick_and_slow(sounds), sounds / "out", embedded)
    assert code == 0, said
    assert killed
    table = pd.read_parquet(sounds / "out" / "results.parquet")
    assert list(table["status"]) == ["succeeded", "succeeded"]
    assert len(list((sounds / "out").glob("results/*/part-*.parquet"))) == 2


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(lambda process, _: os.killpg(process.pid, signal.SIGINT), id="Ctrl-C"),
        pytest.param(lambda process, _: process.terminate(), id="SIGTERM"),
    ],
)
@pytest.mark.slow
def test_a_stop_closes_the_run_and_leaves_no_process_behind(
    stop: Callable[[subprocess.Popen[str], str], None], sounds: Path, embedded: Path
) -> None:
    code, said = disturbed_run(stop, write_quick_and_slow(sounds), sounds / "out", embedded)
    assert code == 130, said
    assert "What is committed stays" in said
    assert "Traceback" not in said
    assert_interrupted(sounds / "out")


def assert_interrupted(output: Path) -> None:
    """Assert that the run was closed after its first shard, whose pair is in the table."""
    (record,) = [json.loads(path.read_text()) for path in (output / "runs").iterdir()]
    assert (record["state"], record["computed"]) == ("interrupted", 1)
    assert list(pd.read_parquet(output / "results.parquet")["pair_id"]) == ["quick"]


def disturbed_run(
    disturb: Callable[[subprocess.Popen[str], str], None], manifest: str, output: Path, home: Path
) -> tuple[int, str]:
    """Run on a Ray of the run's own, disturb it in its second shard, assert that all that it started ends with it."""
    mark = uuid4().hex
    settings = {"griffin_lim_iterations": 5, "sound_iterations": 2, "tolerance": 0.0}
    chosen = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    log = output.with_suffix(".log")
    process = start(
        *("timbreflow", "run", manifest, str(output), *chosen, "--runner", "ray", "--device", "cpu"),
        *("--shard-audio-s", str(SHARD_AUDIO_S)),
        env=environment(home, TIMBREFLOW_TEST=mark),
        log=log,
    )
    try:
        wait_for(lambda: list(output.glob("results/*/part-*")) or process.poll() is not None, "the first shard")
        disturb(process, mark)
        code = process.wait(120)
        wait_for(lambda: not marked(mark), "all processes to go", GONE_WITHIN_S)
        return code, log.read_text()
    finally:
        end(process)
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_cancel_of_the_deployment_closes_the_run_and_ends_its_ray(
    worker: Server, client: SyncPrefectClient, sounds: Path
) -> None:
    output = sounds / "out"
    parameters = {
        "manifest": write_quick_and_slow(sounds, iterations=2000),
        "output": str(output),
        "settings": {"griffin_lim_iterations": 5, "sound_iterations": 2, "tolerance": 0.0},
        "options": {"device": "cpu", "shard_audio_s": SHARD_AUDIO_S},
    }
    deployment = client.read_deployment_by_name("cross-synthesis/ray")
    flow_run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    wait_for(lambda: list(output.glob("results/*/part-*")), "the first shard")
    assert _of_ray(worker)

    client.set_flow_run_state(flow_run.id, Cancelling())
    wait_for(lambda: client.read_flow_run(flow_run.id).state.is_cancelled(), "the cancelled run", GONE_WITHIN_S)
    wait_for(lambda: not _of_ray(worker), "Ray to go", GONE_WITHIN_S)
    assert_interrupted(output)


def _of_ray(worker: Server) -> list[str]:
    """Return the programs of Ray that a worker's runs have started."""
    return [
        name for name in marked(worker.env["PREFECT_HOME"]).values() if "raylet" in name or name.startswith("ray::")
    ]


@pytest.mark.parametrize(
    ("manifest", "output", "url", "named"),
    [
        ("s3://bucket/m.parquet", "out", "http://10.0.0.7:4200/api", "output='out'"),
        ("m.parquet", "s3://bucket/out", "http://10.0.0.7:4200/api", "manifest='m.parquet'"),
        ("s3://bucket/m.parquet", "s3://bucket/out", "http://127.0.0.1:4200/api", "PREFECT_API_URL is http://127"),
        ("s3://bucket/m.parquet", "s3://bucket/out", "", "PREFECT_API_URL is not set"),
    ],
)
def test_what_a_cluster_cannot_reach_is_refused_before_anything_happens(
    manifest: str, output: str, url: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "set_defaults", lambda: None)  # they are for a process of its own
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.7:10001")
    monkeypatch.chdir(tmp_path)
    with temporary_settings({PREFECT_API_URL: url} if url else {}, restore_defaults={PREFECT_API_URL}):
        result = CliRunner().invoke(cli.app, ["run", manifest, output, "--runner", "ray"])
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert named in result.output
    assert "ray://10.0.0.7:10001" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_device_that_ray_does_not_deal_out_is_refused(device: str) -> None:
    with pytest.raises(RunnerError, match=device):
        refuse_runner("m.parquet", "out", RunOptions(runner="ray", device=device))


def test_without_the_extra_ray_is_refused_and_threads_work(tmp_path: Path) -> None:
    code = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "prefect_ray"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import flows.cross_synthesis, flows.on_ray
from flows.ray_cluster import refuse_runner
from flows.cli import app
app(["run", "m.parquet", "out", "--runner", "ray"])
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 2, found.stderr
    assert "pip install 'timbreflow[ray]'" in found.stderr
    assert "Traceback" not in found.stderr


def test_an_interrupt_of_the_waiting_thread_stops_the_work() -> None:
    """As Ray cancels a task; what the work has to say of its end is returned."""

    def work() -> str:
        _thread.interrupt_main()
        assert STOP_REQUESTED.wait(30)
        return "stopped"

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert stoppable(work) == "stopped"
    finally:
        signal.signal(signal.SIGINT, before)
        STOP_REQUESTED.clear()
