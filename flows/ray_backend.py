"""Ray's workers as a backend: of a cluster, or of a Ray on this machine that ends with the run."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from flows.execution_backend import ExecutionBackend, Shards
from flows.ray_cluster import RunnerError, cluster_address
from tasks.host import cores
from tasks.interruption import request_stop
from tasks.ledger.close import Run
from tasks.options import RunOptions
from tasks.pipeline.ray_worker import synthesise_on_worker
from tasks.pipeline.shards import MAX_GROUPS, Committed
from tasks.planning.plan import Plan
from tasks.progress import PROGRESS

if TYPE_CHECKING:
    from prefect_ray.task_runners import PrefectRayFuture, RayTaskRunner

CONNECTING, CONNECTING_PAUSE_S = 3, 5.0
"""How often a cluster is asked for a connection, and the pause between."""

OBJECT_STORE_BYTES = 100 << 20
"""Between tasks travel URIs and numbers: Ray's own share of the memory would be a third of it."""

LOCAL_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Its name is about other systems; what it does is to listen on loopback alone.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


@contextmanager
def ray_backend(run: Run, planned: Plan) -> Iterator[ExecutionBackend]:
    """Yield Ray's workers as the backend of a run.

    Raises
    ------
    RunnerError
        If no worker of the cluster has what a shard needs.
    """
    with _known_server(), connected(cluster_address(run.options)) as runner:
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needs, width = share(run.options, nodes)
        # A worker computes one shard at a time, on what Ray gave it.
        device = "cuda" if "num_gpus" in needs else "cpu"
        options = run.options.model_copy(update={"device": device, "workers": 1})
        futures: list[PrefectRayFuture[Committed]] = []

        def submit(shards: Shards) -> PrefectRayFuture[Committed]:
            from prefect_ray.context import remote_options

            parameters = (planned.uri, tuple(shards), run.output, run.run_id, options)
            names = ("plan_uri", "shards", "root", "run_id", "options")
            with remote_options(**needs):
                future = runner.submit(synthesise_on_worker, dict(zip(names, parameters, strict=True)))
            futures.append(future)
            return future

        def stop() -> None:
            request_stop()
            for future in futures:
                ray.cancel(future.wrapped_future)

        yield ExecutionBackend(width, guided_groups(planned.shards, width), submit, _count, stop)


def share(options: RunOptions, nodes: Sequence[Mapping[str, float]]) -> tuple[dict[str, int], int]:
    """Return what a group of shards is to have of a node, and for how many at a time there is enough.

    Parameters
    ----------
    options : RunOptions
        `workers`, if given, stands above what is there now: a cluster may grow when it is asked for more.
    nodes : sequence of mappings
        What each node has, as Ray counts it.

    Raises
    ------
    RunnerError
        If there is enough for none.

    >>> share(RunOptions(threads=2), [{"CPU": 8}, {"CPU": 3}])
    ({'num_cpus': 2}, 5)
    >>> share(RunOptions(), [{"CPU": 8, "GPU": 4}, {"CPU": 8, "GPU": 4}])
    ({'num_cpus': 1, 'num_gpus': 1}, 8)
    """
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if options.device == "cuda" or (options.device == "auto" and gpus):
        needs, width, wanted = {"num_cpus": 1, "num_gpus": 1}, gpus, "a GPU"
    else:
        needs = {"num_cpus": options.threads}
        width = sum(int(node.get("CPU", 0)) // options.threads for node in nodes)
        wanted = f"threads={options.threads} processor cores"
    if not width and not (options.workers and cluster_address(options)):
        raise RunnerError(f"no node of Ray's has {wanted}; a cluster that grows is told how far by --workers")
    return needs, options.workers or width


def guided_groups(shards: Sequence[int], width: int) -> list[Shards]:
    """Return the shards in groups of neighbours that get smaller: at most `MAX_GROUPS`, few, and all end together.

    A worker with a GPU is a new process for each group, which takes a while to start.

    >>> guided_groups(range(12), width=2)
    [range(0, 3), range(3, 6), range(6, 8), range(8, 9), range(9, 10), range(10, 11), range(11, 12)]
    """
    least = -(-len(shards) // MAX_GROUPS)
    groups, start = [], 0
    while start < len(shards):
        size = max(least, -(-(len(shards) - start) // (2 * width)))
        groups.append(shards[start : start + size])
        start += size
    return groups


def _count(committed: Committed) -> None:
    """Count what a group committed: its worker's own counters are far away.

    Raises
    ------
    RunnerError
        If the worker was told to stop, and not by this run, which no longer listens once it has done so.
    """
    if committed.interrupted:
        raise RunnerError("a worker of Ray was told to stop, but not by this run: run it again to do the rest")
    for status, pairs in (("succeeded", committed.succeeded), ("failed", committed.failed)):
        for _ in range(pairs):
            PROGRESS.count_pair(status)
    PROGRESS.devices.add(committed.devices)


@contextmanager
def _known_server() -> Iterator[None]:
    """Name Prefect's server to the workers also if it is this run's own: each would start another one."""
    url = get_current_settings().api.url or str(get_client(sync_client=True).api_url)
    with temporary_settings({PREFECT_API_URL: url}):
        yield


@contextmanager
def connected(address: str | None, workers: int | None = None) -> Iterator[RayTaskRunner[Any]]:
    """Connect to a cluster, or start a Ray of this run's own; signals stay with whoever had them.

    A Ray that this process is connected to already is used, and left as it is. `workers` are those of this machine's
    own, by default one per core. A busy head may fail to start its side of a connection: it is asked again.
    """
    for name, value in LOCAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    unread = "ray" not in sys.modules  # Ray reads its environment once
    if address is None and unread and not any(name.startswith("RAY_AUTH_") for name in os.environ):
        # A key for this run; else Ray would leave one in the user's home.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    from prefect_ray import RayTaskRunner

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    own = {"num_cpus": workers or cores(), "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    handler = signal.getsignal(signal.SIGTERM)
    asking = Retrying(
        retry=retry_if_exception_type(ConnectionAbortedError),
        stop=stop_after_attempt(CONNECTING),
        wait=wait_fixed(CONNECTING_PAUSE_S),
        reraise=True,
    )
    with ExitStack() as entered:
        for attempt in asking:
            with attempt:
                runner: RayTaskRunner[Any] = RayTaskRunner(address or "local", quiet if address else quiet | own)
                entered.enter_context(runner)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's would end this process without closing the run
        yield runner
