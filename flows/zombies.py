"""Runs whose process died in silence: the automation on Prefect's server that marks them Crashed.

A worker that outlives its run reports the death itself. When both are killed, or the host is lost, nobody does: the run
stays Running and keeps its deployment's slot. A live run emits a heartbeat every `HEARTBEAT_S` (prefect.yaml sets it);
the automation, which `silent_runs.yaml` defines, acts when none follows another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore

_DEFINITION = yaml.safe_load(Path(__file__).with_name("silent_runs.yaml").read_text())
AUTOMATION = AutomationCore.model_validate(_DEFINITION)
FLOW: str = _DEFINITION["trigger"]["match_related"]["prefect.resource.name"]
SILENCE_S: int = _DEFINITION["trigger"]["within"]
"""After it a run counts as dead."""

HEARTBEAT_S = 30
"""Prefect sends none more often."""

_COMPARED = {"name", "description", "enabled", "trigger", "actions"}


def installed(client: SyncPrefectClient) -> list[Automation]:
    """Return the automations of our name on the server: one, or none yet."""
    return client.read_automations_by_name(AUTOMATION.name)


def same(found: AutomationCore, wanted: AutomationCore) -> bool:
    """Say whether two automations do the same."""
    return found.model_dump(include=_COMPARED) == wanted.model_dump(include=_COMPARED)


def install(client: SyncPrefectClient, wanted: AutomationCore = AUTOMATION) -> None:
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
