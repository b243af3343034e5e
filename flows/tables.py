"""Tables for people: plans, results and single pairs in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tasks.collection import Garbage
from tasks.preview import Preview
from tasks.report import FIGURES, Results, RunSummary

HEADINGS = {
    "timbre_transfer": "timbre",
    "texture_transfer": "texture",
    "rhythm_kept": "rhythm",
    "dynamics_kept": "dynam.",
    "melody_kept": "melody",
    "style_leak": "leak",
    "bandwidth_shift": "bandw.",
}


def results_table(results: Results) -> Table:
    """Return pairs with their status, figures and seconds, and the means of all; it fits 80 columns."""
    left = results.total - len(results.rows)
    table = Table(
        title="Transferred: 0 is the content, 1 the style. Kept: 1 is the content's.",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,  # the box draws a space between columns
        pad_edge=False,
        caption=f"... and {left} more pairs" if left else None,
    )
    table.add_column("pair", no_wrap=True, min_width=16)
    table.add_column("status", no_wrap=True)
    for name in (*HEADINGS.values(), "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in results.rows:
        figures = (_number(row[name]) for name in FIGURES)
        table.add_row(Text(str(row["pair_id"])), _status(row), *figures, _number(row["seconds_total"], 1))
    table.add_section()
    table.add_row("mean", "", *(_number(results.means[name]) for name in FIGURES), "")
    return table


def results_notes(rows: Sequence[Mapping[str, object]]) -> Text:
    """Return where to listen, and why pairs failed, a line each; to be printed without wrapping."""
    text = Text()
    heard = [row for row in rows if row["output"]]
    if heard:
        text.append("Listen:\n")
    for row in heard:
        text.append(f"  {row['pair_id']}: {row['output']}\n")
    for row in rows:
        if row["status"] == "failed":
            text.append(f"  {row['pair_id']} failed: {row['error_message']}\n", style="red")
    return text


def run_report(summary: RunSummary) -> Text:
    """Return the last words of a run."""
    text = Text()
    if summary.computed or summary.failed:
        text.append(f"{summary.computed} pairs computed", style="green")
        if summary.failed:
            text.append(f", {summary.failed} FAILED", style="bold red")
        text.append(f" in {summary.seconds:.0f} s. ")
        if summary.devices_waited is not None:
            text.append(f"The devices waited for {summary.devices_waited:.1%} of their time. ")
    else:
        left = any(summary.counts[name] for name in ("failed_before", "beyond_limit", "other_shards"))
        text.append("" if left else "All pairs are up to date; ", style="green")
        text.append("nothing was computed. ", style="green")
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
    table = Table("pairs", "", title="What this run would do", title_justify="left")
    for name, count in preview.counts.items():
        table.add_row(name.replace("_", " "), str(count))
    minutes = preview.seconds / 60.0
    return Group(
        table, Text(f"About {minutes:.1f} min for {preview.pending_audio_s:.0f} s of audio here ({preview.basis})")
    )


def garbage_table(garbage: Garbage, dry_run: bool) -> Table:
    """Return what a collection has removed, or would."""
    table = Table("would go" if dry_run else "removed", "", title_justify="left")
    table.add_row("audio files", f"{len(garbage.audio)}, {garbage.audio_bytes / 1e6:.1f} MB")
    table.add_row("pairs of the history", str(len(garbage.fingerprints)))
    table.add_row("files of the history, now one" if not dry_run else "files of the history", str(len(garbage.parts)))
    table.add_row("old snapshots", str(len(garbage.snapshots)))
    table.add_row("old plans", str(len(garbage.plans)))
    table.add_row("unfinished files", str(len(garbage.half_written)))
    return table


def pair_table(row: Mapping[str, object]) -> Group:
    """Return the figures of one pair."""
    table = Table("figure", "value")
    for name in FIGURES:
        table.add_row(name, _number(row[name]))
    table.add_row("seconds", _number(row["seconds_total"], 1))
    return Group(table, Text(f"Listen: {row['output']}"))


def _status(row: Mapping[str, object]) -> Text:
    if row["status"] == "succeeded":
        return Text("ok", style="green")
    return Text(str(row["error_type"]), style="bold red")


def _number(value: object, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else "-"
