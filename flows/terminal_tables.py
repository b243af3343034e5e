"""Words and tables for people: what a run would do, what it did, single pairs, collections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.results_view import number
from tasks.clock import duration
from tasks.ledger.query import SHOWN

if TYPE_CHECKING:
    from tasks.ledger.close import RunSummary
    from tasks.ledger.gc import Garbage
    from tasks.planning.preview import Preview


def run_report(summary: RunSummary) -> Text:
    """Return the last words of a run."""
    text = Text()
    if summary.computed or summary.failed:
        text.append(f"{summary.computed} pairs computed", style="green")
        if summary.failed:
            text.append(f", {summary.failed} FAILED", style="bold red")
        text.append(f" in {duration(summary.seconds)}. ")
        if summary.devices_waited is not None:
            text.append(f"The devices waited for {summary.devices_waited:.1%} of their time. ")
    else:
        left = any(summary.counts[name] for name in ("failed_before", "beyond_limit", "other_shards"))
        text.append("" if left else "All pairs are up to date; ", style="green")
        text.append("nothing was computed. ", style="green")
    if summary.counts["audio_missing"]:
        text.append(f"Of these, {summary.counts['audio_missing']} again, since the audio was gone. ", style="yellow")
    if summary.counts["failed_before"]:
        text.append(f"{summary.counts['failed_before']} failed before (--retry-failed tries them again). ", style="red")
    if summary.counts["beyond_limit"]:
        text.append(f"{summary.counts['beyond_limit']} left for the next run. ")
    if summary.without_result is None:
        others = summary.counts["other_shards"]
        text.append(f"Runs on other shards ({others} pairs) are at work still; the last of them writes it. ")
    elif summary.without_result > summary.counts["beyond_limit"]:
        text.append(f"{summary.without_result} pairs of the manifest have no result yet. ", style="yellow")
    text.append(f"Table: {summary.results}")
    return text


def plan_table(preview: Preview) -> Group:
    """Return what a run would do, and about how long it would take."""
    table = Table("What this run would do", "pairs")
    for name, count in preview.counts.items():
        if count or name == "new":
            table.add_row(name.replace("_", " "), str(count))
    if not preview.pending_audio_s:
        return Group(table)
    audio = f"{duration(preview.pending_audio_s)} of audio"
    return Group(table, Text(f"About {duration(preview.seconds)} for {audio} here ({preview.basis})"))


def garbage_table(garbage: Garbage, dry_run: bool) -> Table:
    """Return what a collection has removed, or would."""
    table = Table("would go" if dry_run else "removed", "", title_justify="left")
    table.add_row("audio files", f"{len(garbage.audio)}, {garbage.audio_bytes / 1e6:.1f} MB")
    table.add_row("pairs of the history", str(len(garbage.fingerprints)))
    table.add_row("files of the history, now one" if not dry_run else "files of the history", str(len(garbage.parts)))
    table.add_row("old snapshots", str(len(garbage.snapshots)))
    table.add_row("old plans", str(len(garbage.plans)))
    table.add_row("unfinished files", str(len(garbage.half_written)))
    table.add_row("segments of unfinished long pairs", str(len(garbage.segments)))
    return table


def pair_table(row: Mapping[str, object]) -> Table:
    """Return the figures of one pair."""
    table = Table("figure", "value")
    for name in SHOWN:
        table.add_row(name, number(row[name]))
    table.add_row("seconds", number(row["seconds_total"], 1))
    return table
