"""What a Prefect server must hold for runs that nobody watches: a pool with a worker, deployments, the automation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import prefect
from httpx import HTTPError, InvalidURL
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import WorkerStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from flows.checks import Check
from flows.environment import ADDRESS, address_source, without_user
from flows.zombies import AUTOMATION, FLOW, HEARTBEAT_S, SILENCE_S, install, installed, same

POOL = "local"
HEARTBEAT = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
DEFAULT_URL = "http://127.0.0.1:4200/api"
DEPLOY = "prefect --no-prompt deploy --all"
NOT_FOUND = 404
LEASES = "prefect.server.concurrency.lease_storage"


def server_checks() -> Iterator[Check]:
    """Look at the server that PREFECT_API_URL, or Prefect's profile, names; do not start one."""
    url = get_current_settings().api.url
    if url is None:
        found = "none named: each run starts its own; schedules and automations need one that stays"
        remedy = f"prefect server start (leave it running), and export {ADDRESS}={DEFAULT_URL}"
        yield Check("server", "attention", found, remedy)
        return
    try:
        with get_client(sync_client=True) as client:
            yield from _checks_of(client, without_user(url))
    except (HTTPError, InvalidURL, PrefectException, ValueError) as error:  # ValueError: what answers is not Prefect
        found = f"{without_user(url)} does not answer as Prefect's server does: {error or type(error).__name__}"
        source, remedy = address_source()
        yield Check("server", "problem", f"{found} ({source})", f"prefect server start; or {remedy}")


def _checks_of(client: SyncPrefectClient, url: str) -> Iterator[Check]:
    yield _version(client, url)
    yield from _leases(client)
    deployments = client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])))
    for pool in sorted({one.work_pool_name for one in deployments if one.work_pool_name}) or [POOL]:
        yield from _pool(client, pool)
    yield _deployments(deployments)
    yield _heartbeats(deployments)
    yield _automation(client)


def _version(client: SyncPrefectClient, url: str) -> Check:
    theirs, ours = client.api_version(), prefect.__version__
    if theirs == ours:
        return Check("server", "ok", f"{url}, Prefect {theirs} as here")
    return Check("server", "attention", f"{url}, Prefect {theirs}, but {ours} here", f"pip install prefect=={theirs}")


def _leases(client: SyncPrefectClient) -> Iterator[Check]:
    """Slots kept in the server's memory alone are lost with it: its restart ends the runs that hold one."""
    answer = client.request("GET", "/admin/settings")
    if answer.status_code == NOT_FOUND:  # not a server of one's own
        return
    storage = str(answer.raise_for_status().json()["server"]["concurrency"]["lease_storage"])
    if storage == f"{LEASES}.memory":
        found = "kept in the server's memory: a restart of the server ends runs of deployments with a limit"
        remedy = f"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={LEASES}.filesystem prefect server start"
        yield Check("slots", "attention", found, remedy)
    else:
        yield Check("slots", "ok", f"kept by {storage.removeprefix(f'{LEASES}.')}")


def _pool(client: SyncPrefectClient, name: str) -> Iterator[Check]:
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        remedy = f"prefect work-pool create {name} --type process"
        yield Check("work pool", "problem", f"there is none named {name}", remedy, partial(_mend, _create_pool))
        return
    if pool.is_paused:
        yield Check("work pool", "problem", f"{name} is paused", f"prefect work-pool resume {name}")
    else:
        yield Check("work pool", "ok", f"{name}, of type {pool.type}")
    online = [worker.name for worker in client.read_workers_for_work_pool(name) if worker.status == WorkerStatus.ONLINE]
    if online:
        yield Check("worker", "ok", ", ".join(online))
    else:
        yield Check("worker", "attention", f"none is at work for {name}", f"prefect worker start --pool {name}")


def _create_pool(client: SyncPrefectClient) -> None:
    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template))


def _deployments(deployments: Sequence[DeploymentResponse]) -> Check:
    if not deployments:
        return Check("deployments", "problem", "there are none", DEPLOY)
    lost = [one.name for one in deployments if not one.work_pool_name]
    if lost:
        return Check("deployments", "problem", f"without a work pool: {', '.join(lost)}", DEPLOY)
    return Check("deployments", "ok", "; ".join(_described(one) for one in deployments))


def _described(deployment: DeploymentResponse) -> str:
    if not deployment.schedules:
        return f"{deployment.name}, without a schedule"
    on = any(schedule.active for schedule in deployment.schedules) and not deployment.paused
    return f"{deployment.name}, its schedule {'on' if on else 'off'}"


def _heartbeats(deployments: Sequence[DeploymentResponse]) -> Check:
    """Two must fall into the silence, or one that is lost ends a live run.

    Each run gets the deployment's environment over the worker's; this machine's stands for the worker's.
    """
    here = get_current_settings().flows.heartbeat_frequency
    every = {one.name: str((one.job_variables.get("env") or {}).get(HEARTBEAT, here)) for one in deployments}
    slow = [name for name, seconds in every.items() if not seconds.isdigit() or 2 * int(seconds) > SILENCE_S]
    if slow:
        found = f"fewer than two in {SILENCE_S} s, or none: {', '.join(slow)}"
        remedy = f"put {HEARTBEAT}={HEARTBEAT_S} into the job variables in prefect.yaml; {DEPLOY}"
        return Check("heartbeats", "problem", found, remedy)
    pace = ", ".join(f"{name} every {seconds} s" for name, seconds in every.items())
    return Check("heartbeats", "ok", pace or f"every {here} s")


def _automation(client: SyncPrefectClient) -> Check:
    found = installed(client)
    if len(found) == 1 and same(found[0], AUTOMATION):
        return Check("automation", "ok", f"a run without a heartbeat for {SILENCE_S} s is marked Crashed")
    if not found:
        what = "missing: a run whose process and worker die stays Running, and may keep its slot"
    elif len(found) > 1:
        what = f"there {len(found)} times"
    elif not found[0].enabled:
        what = "switched off"
    else:
        what = "not as this version defines it"
    return Check("automation", "problem", what, "timbreflow doctor --fix", partial(_mend, install))


def _mend(change: Callable[[SyncPrefectClient], None]) -> None:
    """Change something on the server; raise an OSError that says why it would not be changed."""
    try:
        with get_client(sync_client=True) as client:
            change(client)
    except HTTPError as error:
        raise OSError(f"Prefect's server refuses: {error}") from error
