"""The corpus flow for a deployment whose runs are computed by Ray, whatever their options say."""

from __future__ import annotations

from prefect import flow
from prefect.states import State

from flows.cross_synthesis import DEFAULT_OPTIONS, DEFAULT_SETTINGS, cross_synthesis
from stylecore.settings import Settings
from tasks.ledger.close import RunSummary
from tasks.options import RunOptions


@flow(name="cross-synthesis")
def on_ray(
    manifest: str, output: str, settings: Settings = DEFAULT_SETTINGS, options: RunOptions = DEFAULT_OPTIONS
) -> State[RunSummary]:
    """Synthesise as `cross_synthesis` does, on the workers of Ray.

    Parameters
    ----------
    manifest, output, settings
        As there; s3:// if Ray's cluster is not of this run's own.
    options : RunOptions
        As there. `ray_address`, or RAY_ADDRESS, names a cluster; without, a Ray on this machine ends with the run.

    Returns
    -------
    State of RunSummary
        As there.
    """
    return cross_synthesis.fn(manifest, output, settings, options.model_copy(update={"runner": "ray"}))
