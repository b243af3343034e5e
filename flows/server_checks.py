"""What a Prefect server must hold for runs that nobody watches: a pool with a worker, deployments, the automation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


def _repaired_by(change: Callable[[SyncPrefectClient], None]) -> Callable[[], None]:
    """Return what changes something on the server, and raises an OSError that says why it would not be changed."""

    def repair() -> None:
        try:
            with get_client(sync_client=True) as client:
                change(client)
        except HTTPError as error:
            raise OSError(f"Prefect's server refuses: {error}") from error

    return repair


def _create_pool(client: SyncPrefectClient) -> None:
    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template))


NO_SERVER = Check(
    "server",
    "attention",
    "none named: each run starts its own; schedules and automations need one that stays",
    f"prefect server start (leave it running), and export {ADDRESS}={DEFAULT_URL}",
)
SILENT_SERVER = Check(
    "server",
    "problem",
    "{url} does not answer as Prefect's server does: {why} ({source})",
    "prefect server start; or {remedy}",
)
SAME_VERSION = Check("server", "ok", "{url}, Prefect {theirs} as here")
OTHER_VERSION = Check(
    "server", "attention", "{url}, Prefect {theirs}, but {ours} here", "pip install prefect=={theirs}"
)
SLOTS_IN_MEMORY = Check(
    "slots",
    "attention",
    "kept in the server's memory: a restart of the server ends runs of deployments with a limit",
    f"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={LEASES}.filesystem prefect server start",
)
SLOTS_KEPT = Check("slots", "ok", "kept by {storage}")
NO_POOL = Check(
    "work pool",
    "problem",
    "there is none named {pool}",
    "prefect work-pool create {pool} --type process",
    _repaired_by(_create_pool),
)
PAUSED_POOL = Check("work pool", "problem", "{pool} is paused", "prefect work-pool resume {pool}")
POOL_READY = Check("work pool", "ok", "{pool}, of type {type}")
NO_WORKER = Check("worker", "attention", "none is at work for {pool}", "prefect worker start --pool {pool}")
WORKERS = Check("worker", "ok", "{names}")
NO_DEPLOYMENTS = Check("deployments", "problem", "there are none", DEPLOY)
LOST_DEPLOYMENTS = Check("deployments", "problem", "without a work pool: {names}", DEPLOY)
DEPLOYED = Check("deployments", "ok", "{described}")
SLOW_HEARTBEATS = Check(
    "heartbeats",
    "problem",
    f"fewer than two in {SILENCE_S} s, or none: {{names}}",
    f"put {HEARTBEAT}={HEARTBEAT_S} into the job variables in prefect.yaml; {DEPLOY}",
)
HEARTBEATS = Check("heartbeats", "ok", "{pace}")
WRONG_AUTOMATION = Check("automation", "problem", "{what}", "timbreflow doctor --fix", _repaired_by(install))
AUTOMATION_ON = Check("automation", "ok", f"a run without a heartbeat for {SILENCE_S} s is marked Crashed")


def server_checks() -> Iterator[Check]:
    """Look at the server that PREFECT_API_URL, or Prefect's profile, names; do not start one."""
    url = get_current_settings().api.url
    if url is None:
        yield NO_SERVER.filled()
        return
    try:
        with get_client(sync_client=True) as client:
            yield from _checks_of(client, without_user(url))
    except (HTTPError, InvalidURL, PrefectException, ValueError) as error:  # ValueError: what answers is not Prefect
        source, remedy = address_source()
        why = str(error) or type(error).__name__
        yield SILENT_SERVER.filled(url=without_user(url), why=why, source=source, remedy=remedy)


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
    return (SAME_VERSION if theirs == ours else OTHER_VERSION).filled(url=url, theirs=theirs, ours=ours)


def _leases(client: SyncPrefectClient) -> Iterator[Check]:
    """Slots kept in the server's memory alone are lost with it: its restart ends the runs that hold one."""
    answer = client.request("GET", "/admin/settings")
    if answer.status_code == NOT_FOUND:  # not a server of one's own
        return
    storage = str(answer.raise_for_status().json()["server"]["concurrency"]["lease_storage"])
    if storage == f"{LEASES}.memory":
        yield SLOTS_IN_MEMORY.filled()
    else:
        yield SLOTS_KEPT.filled(storage=storage.removeprefix(f"{LEASES}."))


def _pool(client: SyncPrefectClient, name: str) -> Iterator[Check]:
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        yield NO_POOL.filled(pool=name)
        return
    yield (PAUSED_POOL if pool.is_paused else POOL_READY).filled(pool=name, type=pool.type)
    online = [worker.name for worker in client.read_workers_for_work_pool(name) if worker.status == WorkerStatus.ONLINE]
    yield (WORKERS if online else NO_WORKER).filled(pool=name, names=", ".join(online))


def _deployments(deployments: Sequence[DeploymentResponse]) -> Check:
    if not deployments:
        return NO_DEPLOYMENTS.filled()
    lost = [one.name for one in deployments if not one.work_pool_name]
    if lost:
        return LOST_DEPLOYMENTS.filled(names=", ".join(lost))
    return DEPLOYED.filled(described="; ".join(_described(one) for one in deployments))


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
        return SLOW_HEARTBEATS.filled(names=", ".join(slow))
    pace = ", ".join(f"{name} every {seconds} s" for name, seconds in every.items())
    return HEARTBEATS.filled(pace=pace or f"every {here} s")


def _automation(client: SyncPrefectClient) -> Check:
    found = installed(client)
    if len(found) == 1 and same(found[0], AUTOMATION):
        return AUTOMATION_ON.filled()
    if not found:
        what = "missing: a run whose process and worker die stays Running, and may keep its slot"
    elif len(found) > 1:
        what = f"there {len(found)} times"
    elif not found[0].enabled:
        what = "switched off"
    else:
        what = "not as this version defines it"
    return WRONG_AUTOMATION.filled(what=what)
