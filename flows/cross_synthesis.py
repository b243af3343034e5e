"""The corpus flow: plan, synthesise, measure and commit shard by shard, summarise."""

from __future__ import annotations

import secrets
from asyncio import CancelledError
from collections.abc import Callable

from prefect import flow, get_run_logger
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.backend_choice import execution_backend
from flows.bounded_submission import work_through
from flows.export_stage import exported_results
from flows.prefect_view import name_run, publish
from flows.progress_display import shown_progress
from flows.ray_cluster import refuse_runner
from flows.report_stage import ReportedRun, reported_results
from flows.snapshot_refresher import refreshing_snapshot
from manifests.files import absolute
from manifests.reading.reader import notes, read_whole
from manifests.results.history import known_names
from stylecore.settings import PRESETS, Settings
from tasks.clock import clock
from tasks.exporting.folder import refuse_export
from tasks.interruption import clear_stop, raise_if_stopping, request_stop, within
from tasks.ledger.close import Run, RunSummary, close_run, write_run_snapshot
from tasks.ledger.folding import fold
from tasks.ledger.lease import Lease, LeaseLost, holding
from tasks.options import RunOptions
from tasks.pipeline.shards import MAX_GROUPS
from tasks.planning.plan import Plan, plan
from tasks.progress import PROGRESS
from tasks.storage.preflight import refuse_links
from tasks.storage.storage import Storage, StorageUnreachable

DEFAULT_SETTINGS = PRESETS["default"]
DEFAULT_OPTIONS = RunOptions()

CLOSING_S = 10.0
"""What a run that is asked to stop has for its last table: with a million pairs it takes minutes."""


class NothingComputed(Exception):
    """Every pair of the run failed: most likely one cause, which the first message names."""


@flow(name="cross-synthesis", task_runner=ThreadPoolTaskRunner(max_workers=MAX_GROUPS))  # type: ignore[arg-type]
def cross_synthesis(
    manifest: str, output: str, settings: Settings = DEFAULT_SETTINGS, options: RunOptions = DEFAULT_OPTIONS
) -> State[RunSummary]:
    """Synthesise every pair of a manifest that is new, changed, or failed transiently.

    Parameters
    ----------
    manifest : str
        Parquet file, or folder of them, of content x style pairs; local path or s3:// URI.
    output : str
        Output root; local path or s3:// URI.
    settings : Settings
        What changes the sound; a row of the manifest may put its own over them.
    options : RunOptions
        What does not: device, batch size, how many shards at a time.

    Returns
    -------
    State of RunSummary
        Completed, also if some pairs failed: its message says so.

    Raises
    ------
    NothingComputed
        If pairs were tried and all of them failed.
    LeaseTaken
        If another run works on the same output root and shards.
    LeaseLost
        If this run was paused for so long that another one has taken over.
    ManifestError, StorageError, DeviceError, RunnerError
        If the run cannot start, or the storage went away.
    ExportError
        If the results cannot be exported as the options say: before anything is computed, as far as that can be known.
    """
    refuse_runner(manifest, output, options)
    if options.export is not None:
        refuse_export(manifest, output, options.export, options.name)
    run, files = begin_run(manifest, output, settings, options), Storage()
    pairs = read_whole(run.manifest, files, settings.resolve)  # before anything is written
    for note in notes(run.manifest, files):
        get_run_logger().warning(note)
    refuse_links(run.output)
    with holding(files, run.output, run.run_id, options.slice) as lease:
        fold(files, run.output, run.run_id, raise_if_stopping)
        planned = plan(pairs, run.output, settings, options, run.run_id)
        del pairs  # large, and written down in the plan
        name_run(run, planned.counts)
        lease.agree_on(planned.shard_layout)
        summary = _held_run(run, planned, lease)
    summary = reported_results(run, summary)  # also where every pair has failed: it says why
    publish(run, summary, summary.report if isinstance(summary, ReportedRun) else "")
    _refuse_nothing(summary)
    return _ended(exported_results(run, summary))


def _held_run(run: Run, planned: Plan, lease: Lease) -> RunSummary:
    """Compute and close a run; whatever ends it early, it is closed as well as it can be."""
    try:
        _compute(run, planned, lease)
        return close_run(run, planned, "completed", last=lease.begin_closing(), check=lease.check)
    except (KeyboardInterrupt, TerminationSignal, CancelledError):  # the last: Prefect took the deployment's slot away
        request_stop()  # whoever waits for something looks at it
        _close_early(run, planned, lease, "interrupted", go_on=within(CLOSING_S))
        raise
    except (StorageUnreachable, LeaseLost):
        raise  # nothing can be written, or may be
    except Exception as error:
        _close_early(run, planned, lease, "failed", str(error))
        raise


def _close_early(
    run: Run,
    planned: Plan,
    lease: Lease,
    state: str,
    error: str | None = None,
    go_on: Callable[[], None] = lambda: None,
) -> None:
    """Close a run whose end has its own cause: that is what is told, also if closing fails too."""
    try:
        publish(run, close_run(run, planned, state, error, lease.begin_closing(), lease.check, go_on))
    except Exception as problem:
        get_run_logger().warning("the run could not be closed, the next one makes up for it: %s", problem)


def begin_run(manifest: str, output: str, settings: Settings, options: RunOptions) -> Run:
    """Return a new run; its id sorts by time."""
    clear_stop()
    PROGRESS.reset()
    now = clock().now()
    run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    return Run(run_id, absolute(manifest), absolute(output), settings, options, now)


def _compute(run: Run, planned: Plan, lease: Lease) -> None:
    """Compute the pending shards, a window of them at a time, and renew the snapshot now and then."""
    if not planned.shards:
        return

    def renew() -> None:
        lease.check()
        write_run_snapshot(run, planned, lease.check, raise_if_stopping)
        display.at_least(committed_shards(run) / len(planned.shards))

    def tick() -> None:
        display.tick()
        lease.watch()
        renewal.tick()

    with (
        execution_backend(run, planned) as crew,
        shown_progress(planned.counts.pending) as display,
        refreshing_snapshot(renew, run.options.snapshot_every_s) as renewal,
    ):
        work_through(crew.submit, crew.groups, crew.width, tick, crew.on_done, crew.stop)


def committed_shards(run: Run) -> int:
    """Return how many shards the run has committed, wherever they were computed."""
    return sum(name.startswith(f"run_id={run.run_id}/") for name in known_names(Storage(), run.output))


def _refuse_nothing(summary: RunSummary) -> None:
    if summary.failed and not summary.computed and not summary.counts["up_to_date"]:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in summary.failures.items())
        raise NothingComputed(f"all {summary.failed} pairs failed ({kinds}); {summary.results} has a message for each")


def _ended(summary: RunSummary) -> State[RunSummary]:
    if summary.failed:
        get_run_logger().warning("%d pairs FAILED; see error_message in %s", summary.failed, summary.results)
        return Completed(message=f"{summary.computed} pairs computed, {summary.failed} FAILED", data=summary)
    if not summary.computed:
        before = summary.counts["failed_before"]
        message = f"nothing to compute, {before} pairs FAILED before" if before else "all pairs are up to date"
        return Completed(message=message, data=summary)
    return Completed(message=f"{summary.computed} pairs computed", data=summary)
