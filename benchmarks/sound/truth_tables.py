"""The truth set's results as tables: over all pairs, by kind, by soundfont, and beside the peer on the peer's pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.judged_pairs import GROUPS, JudgedPair
from benchmarks.markdown_tables import Row, averages, markdown, shown
from benchmarks.sound.significance import NOTE, significance_table
from benchmarks.sound.systems import System
from benchmarks.sound.truth_figures import TRUTH_FIGURES
from stylecore import metrics

COLUMNS = {**{name: name for name in TRUTH_FIGURES}, "cpu_seconds_per_second": "CPU s/s"}

KEPT = {"rhythm_kept": "rhythm", "dynamics_kept": "dynamics", "pitch_kept": "pitch", "melody_kept": "melody"}


def truth_pair_table(rows: Sequence[Row]) -> str:
    """Return the table of one pair: a line per system."""
    return markdown(["system", *COLUMNS.values()], [[str(row["system"]), *_cells(row)] for row in rows])


def truth_means(rows: Sequence[Row]) -> dict[str, float | None]:
    """Return the mean of each figure over the rows where it is known."""
    return averages(rows, list(COLUMNS))


def truth_mean_table(rows: Sequence[Row]) -> str:
    """Return the means, a line per system in the order of their first rows; `pairs` counts those with a result."""
    lines = []
    for name in dict.fromkeys(str(row["system"]) for row in rows):
        own = [row for row in rows if row["system"] == name]
        lines.append([name, *_cells(truth_means(own)), str(sum(row["error"] is None for row in own))])
    return markdown(["system", *COLUMNS.values(), "pairs"], lines)


def truth_tables(rows: Sequence[Row], pairs: Sequence[JudgedPair], systems: Mapping[str, System]) -> dict[str, str]:
    """Return the tables of means by what they show.

    The peer is compared on its own few pairs, with the others' means over the same ones.
    """
    ours = [row for row in rows if systems[str(row["system"])].group != "peer"]
    groups = [group for position in range(len(GROUPS)) for pair in pairs for group in pair.groups[position:][:1]]
    titles = [f"all {len(pairs)} pairs", *dict.fromkeys(groups)]  # the kinds come before the soundfonts
    members = {pair.pair_id: {titles[0], *pair.groups} for pair in pairs}
    tables = {
        title: truth_mean_table(found)
        for title in titles
        if (found := [row for row in ours if title in members[str(row["pair_id"])]])
    }
    theirs = {row["pair_id"] for row in rows if systems[str(row["system"])].group == "peer"}
    if theirs:
        tables["beside the peer, on its pairs"] = truth_mean_table([row for row in rows if row["pair_id"] in theirs])
    return tables


def truth_significance(rows: Sequence[Row]) -> str | None:
    """Return the table of paired differences; None where none of its systems was measured."""
    return significance_table(rows, {name: name for name in TRUTH_FIGURES})


def truth_blocks(
    rows: Sequence[Row], pairs: Sequence[JudgedPair], systems: Mapping[str, System], command: str
) -> dict[str, str]:
    """Return what belongs between the markers `truth` and `truth-significance` of docs/quality.md.

    There is no block of significance where none of its systems was measured.
    """
    made = f"Made by `{command}`."
    described = "\n".join(f"- `{system.name}`: {system.what}" for system in systems.values())
    kept = kept_by_truths(pairs)
    tables = "\n\n".join(f"{title}:\n\n{table}" for title, table in truth_tables(rows, pairs, systems).items())
    found = {"truth": f"{made}\n\n{described}\n\n{kept}\n\n{tables}"}
    if (table := truth_significance(rows)) is not None:
        found["truth-significance"] = f"{made} {NOTE}\n\n{table}"
    return found


def kept_by_truths(pairs: Sequence[JudgedPair]) -> str:
    """Return a sentence on what the right answers, measured as results, keep of their contents."""
    known = [metrics.compare(p.truth.features, p.content.features, p.style.features) for p in pairs if p.truth]
    means = averages(known, list(KEPT))
    figures = ", ".join(f"{name} {shown(means[column])}" for column, name in KEPT.items())
    start = "Measured as results ([results.md](results.md)), the right answers themselves keep of their contents:"
    return f"{start} {figures}."


def _cells(figures: Mapping[str, object]) -> list[str]:
    return [shown(figures.get(column)) for column in COLUMNS]
