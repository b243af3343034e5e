"""Runs whose process died in silence: the automation on Prefect's server that marks them Crashed.

A worker that outlives its run reports the death itself. When both are killed, or the host is lost, nobody does: the run
stays Running and keeps its deployment's slot. A live run emits a heartbeat every `HEARTBEAT_S` (prefect.yaml sets it);
the automation acts when none follows another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture

FLOW = "cross-synthesis"
NAME = f"{FLOW}: mark silent runs as Crashed"
HEARTBEAT_S = 30
"""Prefect sends none more often."""

SILENCE_S = 300
"""After it a run counts as dead. A server that was away for as long takes every run for dead when it is back: so it is
longer than a restart takes. A dead run's slot, Prefect itself frees no sooner (300 s after it was last renewed)."""

BEAT = "prefect.flow-run.heartbeat"
ENDS = tuple(f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed"))
_COMPARED = {"name", "description", "enabled", "trigger", "actions"}


def crash_silent_runs(silence_s: float = SILENCE_S) -> AutomationCore:
    """Return the automation: `silence_s` after a heartbeat without another one, or an end, the run is Crashed.

    It watches this flow alone: others on the same server may beat more slowly.
    """
    return AutomationCore(
        name=NAME,
        description="A run that sends no heartbeat any more is dead; its deployment's slot is freed.",
        enabled=True,
        trigger=EventTrigger(
            after={BEAT},
            expect={BEAT, *ENDS},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": FLOW},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=silence_s),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {silence_s:.0f} s: the process is dead, or cut off from this server.",
            )
        ],
    )


def installed(client: SyncPrefectClient) -> list[Automation]:
    """Return the automations of our name on the server: one, or none yet."""
    return client.read_automations_by_name(NAME)


def same(found: AutomationCore, wanted: AutomationCore) -> bool:
    """Say whether two automations do the same."""
    return found.model_dump(include=_COMPARED) == wanted.model_dump(include=_COMPARED)


def install(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    """Put the automation on the server, or bring the one that is there up to date; there is never a second one."""
    found: Sequence[Automation] = installed(client)
    if not found:
        client.create_automation(wanted)
        return
    first, *others = found
    for other in others:
        client.delete_automation(other.id)
    if not same(first, wanted):
        client.update_automation(first.id, wanted)
