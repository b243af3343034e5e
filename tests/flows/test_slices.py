"""Two workers share one corpus by slices of its shards, as two hosts do; the union is what a single run makes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tasks.ledger.query import SHOWN
from tests.deployment import Server
from tests.flows.processes import TIMEOUT_S, end, start
from tests.flows.sounds import CONTENTS, QUICK, STYLES, pair, write_manifest

SAME = ["pair_id", "status", "error_type", "fingerprint", "seed", "samples_sha256", "file_sha256", *SHOWN]


@pytest.fixture
def two_workers(deployed: Server, tmp_path: Path) -> Iterator[Server]:
    """Start two workers on one pool, each for one run at a time."""
    command = ("prefect", "worker", "start", "--pool", "local", "--limit", "1")
    workers = [start(*command, env=deployed.env, log=tmp_path / f"worker-{number}.log") for number in range(2)]
    try:
        yield deployed
    finally:
        for worker in workers:
            end(worker)


def run_slices(server: Server, manifest: str, output: Path, slices: list[str]) -> pd.DataFrame:
    """Run the deployment on slices of the shards at the same time; return the table."""
    runs = [_deployment_run(server, manifest, output, name) for name in slices]
    try:
        for run in runs:
            said, _ = run.communicate(timeout=TIMEOUT_S)
            assert run.returncode == 0, said
    finally:
        for run in runs:
            end(run)
    return pd.read_parquet(output / "results.parquet")


def _deployment_run(server: Server, manifest: str, output: Path, slice_: str) -> subprocess.Popen[str]:
    options = {"shards": slice_, "device": "cpu", "shard_audio_s": 1.0, "workers": 1}
    parameters = {"settings": QUICK, "options": options}
    return start(
        *("prefect", "deployment", "run", "cross-synthesis/local", "--watch", "--watch-interval", "1"),
        *("-p", f"manifest={manifest}", "-p", f"output={output}"),
        *(part for name, value in parameters.items() for part in ("-p", f"{name}={json.dumps(value)}")),
        env=server.env,
    )


@pytest.mark.slow
def test_two_workers_on_a_slice_each_make_what_a_single_run_makes(two_workers: Server, sounds: Path) -> None:
    rows = [pair(content, style) for content in CONTENTS for style in STYLES]
    manifest = write_manifest(sounds / "m.parquet", [*rows, pair("not_audio.wav")])
    whole = run_slices(two_workers, manifest, sounds / "whole", ["0/1"])
    union = run_slices(two_workers, manifest, sounds / "sliced", ["0/2", "1/2"])

    pd.testing.assert_frame_equal(union[SAME], whole[SAME])
    assert whole["run_id"].nunique() == 1
    assert union["run_id"].nunique() == 2
    parts = [pd.read_parquet(path) for path in (sounds / "sliced").glob("results/*/part-*.parquet")]
    assert not pd.concat(parts)["pair_id"].duplicated().any()
    records = [json.loads(path.read_text()) for path in (sounds / "sliced" / "runs").iterdir()]
    assert [record["state"] for record in records] == ["completed", "completed"]
    assert 0 in [record["without_result"] for record in records]  # of the last to end
