"""Close a run: the snapshot that users read, the run record, and a summary for people."""

from __future__ import annotations

import json
import platform
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version

import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from manifests.results.history import is_compacted, stream_rows, with_parts
from manifests.results.layout import latest_uri, record_uri
from manifests.results.planned_history import HISTORY_ROWS
from manifests.results.snapshots import write_snapshot
from stylecore.errors import Interrupted
from stylecore.settings import CORE_VERSION, Settings
from tasks.clock import clock
from tasks.ledger.folding import fold
from tasks.logs import get_logger
from tasks.options import RunOptions
from tasks.planning.plan import Plan
from tasks.planning.plan_table import lost_audio, user_columns_uri
from tasks.progress import PROGRESS
from tasks.storage.storage import Storage, StorageConflict

_PLAN_COLUMNS = ["row", "pair_id", "content", "style", "fingerprint", "audio_lost_us"]


@dataclass(frozen=True)
class Run:
    """One run: what was asked for, where, and since when."""

    run_id: str
    manifest: str
    output: str
    settings: Settings
    options: RunOptions
    started_at: datetime


@dataclass(frozen=True)
class RunSummary:
    """How a run ended: `state` is completed, interrupted or failed; counts of pairs; where the table lies.

    `devices_waited` is the share of their time in which the devices had nothing to do, from the first request to the
    last answer of each; None where none was used. `without_result` counts the pairs of the manifest that are not in the
    table; None where other slices are at work, the last of which writes it.
    """

    run_id: str
    state: str
    computed: int
    failed: int
    counts: dict[str, int]
    failures: dict[str, int]
    seconds: float
    results: str
    devices_waited: float | None = None
    without_result: int | None = None


def write_run_snapshot(
    run: Run, plan: Plan, check: Callable[[], None] = lambda: None, go_on: Callable[[], None] = lambda: None
) -> int:
    """Write the snapshot of what is committed so far in the place of `results.parquet`; return its number of rows.

    `check` is called before it appears, which may be a while after it was begun, `go_on` every few thousand rows
    meanwhile; what they raise leaves all as it was.
    Before it, the parts of the history are folded, if they have become many.
    """
    files = Storage()
    fold(files, run.output, run.run_id, go_on)
    with files.open(plan.uri) as source:
        planned = pq.read_table(source, columns=_PLAN_COLUMNS, read_dictionary=["content", "style"])
    own, user = user_columns_uri(run.output, run.run_id), None
    if files.exists(own):
        with files.open(own) as source:
            user = pq.read_table(source)
    while True:
        try:
            return write_snapshot(files, run.output, run.run_id, planned, user, check, go_on, lost_audio(planned))
        except StorageConflict:
            check()  # by another slice; or by who has taken over, and this says so


def close_run(
    run: Run,
    plan: Plan,
    state: str,
    error: str | None = None,
    last: bool = True,
    check: Callable[[], None] = lambda: None,
    go_on: Callable[[], None] = lambda: None,
) -> RunSummary:
    """Write the snapshot and the run record, and return the summary.

    What was computed is counted in the results themselves: they know of every shard that committed itself, whatever
    became of the task that did it.

    Parameters
    ----------
    run, plan
        As they were begun.
    state : str
        `completed`, `interrupted` or `failed`.
    error : str, optional
        Why the run failed.
    last : bool
        Whether no other slice is at work: the last one writes the snapshot.
    check, go_on : callable, optional
        As for `write_run_snapshot`. If `go_on` ends it, the record is written all the same.

    Raises
    ------
    Interrupted
        By `go_on`, if even the rows of the run were too many to be counted.
    """
    counts, without_result = asdict(plan.counts), None
    if last:
        try:
            without_result = sum(counts.values()) - write_run_snapshot(run, plan, check, go_on)
        except Interrupted as reason:
            get_logger("timbreflow.report").warning("results.parquet was not renewed: %s", reason)
    computed, failures = _committed(run, go_on)
    finished_at = clock().now()
    summary = RunSummary(
        run_id=run.run_id,
        state=state,
        computed=computed,
        failed=sum(failures.values()),
        counts=counts,
        failures=failures,
        seconds=(finished_at - run.started_at).total_seconds(),
        results=latest_uri(run.output),
        devices_waited=PROGRESS.devices.waited,
        without_result=without_result,
    )
    _write_record(run, summary, finished_at, error)
    return summary


def _committed(run: Run, go_on: Callable[[], None]) -> tuple[int, dict[str, int]]:
    """Return how many pairs the run has committed as succeeded, and the others by why they failed."""
    files = Storage()

    def count(parts: list[str]) -> Counter[str | None]:
        counts: Counter[str | None] = Counter()
        maybe_ours = [uri for uri in parts if is_compacted(uri) or f"/run_id={run.run_id}/" in uri]
        for rows in stream_rows(files, maybe_ours, ["run_id", "error_type"], HISTORY_ROWS):
            kinds = rows.filter(pc.equal(rows.column("run_id"), run.run_id)).column("error_type")
            counts.update({each["values"]: each["counts"] for each in kinds.value_counts().to_pylist()})
            go_on()
        return counts

    counts = with_parts(files, run.output, count)
    computed = counts.pop(None, 0)
    return computed, {str(kind): count for kind, count in counts.items()}


def _write_record(run: Run, summary: RunSummary, finished_at: datetime, error: str | None) -> None:
    record = {
        **asdict(summary),
        "error": error,
        "manifest": run.manifest,
        "output": run.output,
        "started_at": run.started_at.isoformat(),
        "finished_at": finished_at.isoformat(),
        "settings": run.settings.model_dump(mode="json"),
        "options": run.options.model_dump(mode="json"),
        "versions": {
            "core": CORE_VERSION,
            "python": platform.python_version(),
            **{name: version(name) for name in ("timbreflow", "torch", "prefect", "librosa", "pyarrow")},
        },
    }
    with Storage().writing(record_uri(run.output, run.run_id)) as sink:
        sink.write(json.dumps(record, indent=2).encode())


def summary_markdown(summary: RunSummary) -> str:
    """Return the summary as the Markdown that Prefect shows as an artifact."""
    lines = [
        f"# Run {summary.run_id}: {summary.state}",
        "",
        f"{summary.computed} pairs computed, **{summary.failed} failed**, in {summary.seconds:.0f} s.",
        "",
        "| pairs of the manifest | |",
        "| --- | ---: |",
        *(f"| {name.replace('_', ' ')} | {count} |" for name, count in summary.counts.items() if count),
    ]
    if summary.failures:
        lines += ["", "| failed because | pairs |", "| --- | ---: |"]
        lines += [f"| {kind} | {count} |" for kind, count in sorted(summary.failures.items())]
    if summary.without_result:
        lines += ["", f"{summary.without_result} pairs of the manifest have no result yet."]
    return "\n".join([*lines, "", f"Results: {verbatim(summary.results)}"])


def verbatim(text: str) -> str:
    """Return text as a code span, in which Markdown shows tags as they are; a name may hold both tags and backticks."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {' '.join(text.split())} {fence}"


renew_snapshot = task(name="renew snapshot", cache_policy=NO_CACHE)(write_run_snapshot)
