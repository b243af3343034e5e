"""Keep two runs off one accelerator: a limit of one at Prefect's server, by the names of host and device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tasks.devices.device_names import name_on_host

TRY_S = 5.0
"""Asked for in bits of this length, between which a run notices that it is to stop."""

AWAY_S = 2.0
"""Between two attempts to reach a server that is away."""


def limit_name(device: str) -> str:
    """Return the name of a device's limit, for all runs that share a Prefect server.

    >>> limit_name("cuda:1").endswith(":cuda:1")
    True
    """
    return f"timbreflow:{name_on_host(device)}"


@contextmanager
def alone_on(device: str) -> Iterator[None]:
    """Hold a device's limit, made if it is missing; outside of a Prefect run there is nobody to share with.

    Prefect ends the hold by itself five minutes after its holder died.

    Raises
    ------
    TimeoutError
        If another run holds it for longer than `TRY_S`, or the server is away: ask again.
    ConcurrencySlotAcquisitionError
        If somebody has removed the limit meanwhile: without one, `concurrency` would hold nothing, and say nothing.
    """
    from httpx import TransportError
    from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
    from prefect.concurrency.sync import concurrency
    from prefect.context import FlowRunContext, TaskRunContext

    if FlowRunContext.get() is None and TaskRunContext.get() is None:
        yield
        return
    with ExitStack() as held:
        try:
            ensure_limit(limit_name(device))
            # A server that goes away later ends no run: what is committed, and by whom, the lease decides.
            held.enter_context(
                concurrency(
                    limit_name(device), timeout_seconds=TRY_S, strict=True, raise_on_lease_renewal_failure=False
                )
            )
        except (TransportError, ConcurrencySlotAcquisitionError) as error:
            if not isinstance(error.__cause__ or error, TransportError):
                raise
            time.sleep(AWAY_S)
            raise TimeoutError(f"Prefect's server does not answer: nobody can have {device} alone") from error
        yield


def ensure_limit(name: str) -> None:
    """Create a limit of one, unless there is a limit of that name: what somebody has set stays."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # another run was faster
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
