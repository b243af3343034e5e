"""A run on an existing cluster of Ray, by its `ray://` address: results on S3, a Prefect server others can reach."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from manifests.files import join
from tests.deployment import free_port, prefect_server
from tests.faults.trees import marked
from tests.flows.processes import end, environment, run, start, wait_for
from tests.flows.sounds import QUICK
from tests.seaweed import SeaweedServer
from tests.tasks.corpus import read_table, write_cut, write_manifest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")]


def own_address() -> str:
    """Return an address of this machine that is not loopback's; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback's")
        return str(probe.getsockname()[0])


@pytest.fixture
def cluster(seaweed: SeaweedServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a head of Ray on loopback, as a service; yield the environment of those who may use it."""
    port, mark = free_port(), secrets.token_hex(16)
    shared = {
        **seaweed.environment,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback alone
    }
    options = ("--num-cpus=2", "--object-store-memory=100000000", "--include-dashboard=false", "--block")
    head = start(
        *("ray", "start", "--head", f"--port={free_port()}", f"--ray-client-server-port={port}", *options),
        env=environment(tmp_path, TIMBREFLOW_TEST=mark, **shared),
        log=tmp_path / "head.log",
    )
    try:
        wait_for(lambda: _listens(port) or head.poll() is not None, "the head")
        assert head.poll() is None, (tmp_path / "head.log").read_text()
        yield {**shared, "RAY_ADDRESS": f"ray://127.0.0.1:{port}"}
    finally:
        end(head)
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_run_on_a_cluster(cluster: dict[str, str], s3: str, tmp_path: Path) -> None:
    from tasks.storage.storage import Storage

    rows = []
    for name in ("harp_phrase", "flute_phrase"):
        Storage().create(join(s3, f"{name}.wav"), Path(write_cut(tmp_path / f"{name}.wav", name)).read_bytes())
        rows.append({"content": f"{name}.wav", "style": "harp_phrase.wav", "pair_id": name})
    manifest, output = write_manifest(join(s3, "m.parquet"), rows), join(s3, "out")
    chosen = [part for name, value in QUICK.items() for part in ("--set", f"{name}={value}")]

    with prefect_server(tmp_path, host=own_address()) as server:
        code, said = run(
            "timbreflow", "run", manifest, output, *chosen, "--runner", "ray", env={**server.env, **cluster}
        )
    assert code == 0, said
    assert list(read_table(output)["status"]) == ["succeeded", "succeeded"]
