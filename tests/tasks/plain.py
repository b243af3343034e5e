"""A whole run in few words, for processes that are to import little."""

from __future__ import annotations

from datetime import UTC, datetime

from manifests.files import absolute
from manifests.reading.reader import read_whole
from stylecore.settings import Settings
from tasks.ledger.close import Run, close_run
from tasks.ledger.lease import holding
from tasks.options import RunOptions
from tasks.pipeline.shards import compute_shards
from tasks.planning.plan import plan_run
from tasks.storage.storage import Storage

BRIEF = Settings(coarse_iterations=2, iterations=3, sound_iterations=1, griffin_lim_iterations=2)


def run_apart(manifest: str, root: str) -> str:
    """Compute a manifest in processes of its own, without Prefect; return what has come of it."""
    options, files = RunOptions(device="cpu"), Storage()
    run = Run("plain", absolute(manifest), absolute(root), BRIEF, options, datetime.now(UTC))
    with holding(files, run.output, run.run_id):
        plan = plan_run(read_whole(run.manifest, files, BRIEF.resolve), run.output, BRIEF, options, run.run_id)
        compute_shards(plan.uri, plan.shards, run.output, run.run_id, options)
        summary = close_run(run, plan, "completed")
    return f"{summary.computed} succeeded" + (f", {summary.failed} failed" if summary.failed else "")
