"""What Prefect's pages show of a run: a name and tags that people read, a summary with figures, the pairs that failed.

A run does not fail with its server: what cannot be shown is said in the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run

from stylecore.figures import FIGURES
from stylecore.settings import PRESETS, Settings
from tasks.ledger.close import Run, RunSummary, summary_markdown, verbatim
from tasks.ledger.query import Overview, ResultTable, find_table, read_overview
from tasks.planning.actions import PlanCounts
from tasks.storage.storage import Storage

SUMMARY_KEY = "cross-synthesis-summary"
FAILED_KEY = "cross-synthesis-failed-pairs"

MOST_FAILED = 200
"""Failed pairs in the table; all are in the results."""

MOST_LOGGED = 10
_MOST_CHANGES = 3


def name_run(run: Run, counts: PlanCounts) -> None:
    """Give this flow's run its name and tags: manifest, pairs, preset and slice."""
    total = sum(vars(counts).values())
    manifest = PurePosixPath(run.manifest).name
    sliced = f", shards {run.options.slice}" if run.options.slice.of > 1 else ""
    name = f"{manifest}: {counts.pending} of {total} pairs, {settings_in_words(run.settings)}{sliced}"
    with _tried("name"), get_client(sync_client=True) as client:
        tags = {*flow_run.get_tags(), "timbreflow", _nearest(run.settings)[0]}
        client.update_flow_run(UUID(str(flow_run.get_id())), name=name, tags=sorted(tags))


def settings_in_words(settings: Settings) -> str:
    """Return the preset that settings are, and what differs from it.

    >>> settings_in_words(PRESETS["default"])
    'default'
    >>> settings_in_words(PRESETS["paper"].model_copy(update={"alpha": 2.0}))
    'paper, alpha=2.0'
    """
    preset, changes = _nearest(settings)
    shown = [f"{name}={value}" for name, value in list(changes.items())[:_MOST_CHANGES]]
    more = len(changes) - len(shown)
    return ", ".join([preset, *shown, *([f"{more} more"] if more else [])])


def publish(run: Run, summary: RunSummary, report: str = "") -> None:
    """Show the summary in Prefect, with the figures of the table if there is one, and the pairs that failed.

    Parameters
    ----------
    run, summary
        A run that is closed already.
    report : str
        Where its listening report lies, if there is one.
    """
    with _tried("summary"):
        files, table = Storage(), None
        with suppress(FileNotFoundError):  # other slices are at work, the last of which writes it
            table = find_table(run.output, files)
        overview = None if table is None else read_overview(table, files, 0)
        parts = [summary_markdown(summary), *_figures(overview), *_reasons(overview)]
        if report:
            parts.append(f"Listen: {verbatim(report)}")
        create_markdown_artifact("\n\n".join(parts), key=SUMMARY_KEY, description=run.run_id)
        if table is not None and overview is not None and overview.failed:
            _publish_failed(run, failed_pairs(table, files))


def failed_pairs(table: ResultTable, files: Storage) -> list[dict[str, Any]]:
    """Return the failed pairs of a table, by their cause, no more than are shown."""
    from tasks.ledger.selection import Selection, selected

    columns = ("pair_id", "error_type", "error_message", "content", "style", "run_id")
    with selected(table, files, Selection("status = 'failed'", "error_type, pair_id", columns, MOST_FAILED)) as rows:
        found: list[dict[str, Any]] = rows.read_all().to_pylist()
    return found


def _publish_failed(run: Run, pairs: list[dict[str, Any]]) -> None:
    ours = [pair for pair in pairs if pair["run_id"] == run.run_id]
    for pair in ours[:MOST_LOGGED]:
        get_run_logger().warning("pair %(pair_id)s: %(error_type)s: %(error_message)s", pair)
    create_table_artifact(pairs, key=FAILED_KEY, description=f"{run.run_id}: failed pairs, {MOST_FAILED} at most")


def _figures(overview: Overview | None) -> Iterator[str]:
    """Give the mean figures as a table of Markdown, if any pair has succeeded."""
    if overview is None or not overview.succeeded:
        return
    shown = [(figure, overview.means[figure.name]) for figure in FIGURES if figure.shown]
    rows = [
        f"| {figure.name} | {mean:.2f} {figure.unit} | {figure.description} |"
        for figure, mean in shown
        if mean is not None
    ]
    heading = f"| figure | mean of {overview.succeeded} pairs | |"
    yield "\n".join([heading, "| --- | ---: | --- |", *rows])


def _reasons(overview: Overview | None) -> Iterator[str]:
    """Give the messages that most pairs failed with, as a list."""
    if overview is None:
        return
    told = [(reason, kind, text) for kind, texts in overview.reasons.items() for text, reason in texts.items()]
    worst = sorted(told, key=lambda one: (-one[0].pairs, one[1:]))[:MOST_LOGGED]
    if worst:
        yield "\n".join(f"- **{kind}**, {reason.pairs} pairs: {verbatim(text)}" for reason, kind, text in worst)


def _nearest(settings: Settings) -> tuple[str, dict[str, object]]:
    """Return the preset from which settings differ least, and what they have in its place."""
    own = settings.model_dump(mode="json")
    changes = {
        name: {key: value for key, value in own.items() if preset.model_dump(mode="json")[key] != value}
        for name, preset in PRESETS.items()
    }
    return min(changes.items(), key=lambda one: len(one[1]))


@contextmanager
def _tried(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        get_run_logger().warning("the %s is not in Prefect: %s", what, error)
