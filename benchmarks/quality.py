"""Compare the method with what is no method, and with other choices, pair by pair: `python -m benchmarks.quality`.

Every result is written, decoded and measured by the project's own functions. What is finished is kept: the same command
goes on after a kill, and computes anew whatever a changed sound, setting, network or line of code decides.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.computing import computed
from benchmarks.document import DOCS, write_documents
from benchmarks.ledger import Ledger, Row, key_of
from benchmarks.measuring import FIGURES, judged
from benchmarks.pairs import JudgedPair, PairsError, all_sounds, read_pairs
from benchmarks.pictures import draw_pair
from benchmarks.systems import System, all_systems, warm_up
from benchmarks.tables import COLUMNS, mean_tables, means, pair_table
from flows.cli import chosen_settings
from stylecore.settings import Settings, SettingsError
from tasks.audio import AudioError

OUT = Path("output/quality")
PAIRS = OUT / "sounds" / "pairs.csv"


def compare(
    pairs: Sequence[JudgedPair], systems: Mapping[str, System], out: Path, jobs: int = 1, threads: int = 1
) -> list[Row]:
    """Return the results of every pair and system, pair by pair; compute those that are not finished.

    Lines of progress, and each pair's table when it is complete, are printed. This process alone writes the ledger,
    however many compute.
    """
    ledger = Ledger(out)
    keys = {(pair.pair_id, name): key_of(pair, system) for pair in pairs for name, system in systems.items()}
    rows = {place: row for place, key in keys.items() if (row := ledger.finished(key)) is not None}
    _say_what_is_left(keys, rows, ledger)
    left = [place for place in keys if place not in rows]
    by_name = {pair.pair_id: pair for pair in pairs}
    for pair in {pair_id: by_name[pair_id] for pair_id, _ in left}.values():
        _measure(pair)
    prepare = partial(warm_up, [systems[name] for name in dict.fromkeys(name for _, name in left)])
    calls = [(by_name[pair_id], systems[name], out) for pair_id, name in left]
    progress = _Progress(len(left))
    for index, figures in computed(judged, calls, jobs, threads, prepare):
        place = left[index]
        rows[place] = {"key": keys[place], **figures}
        ledger.add(rows[place])
        progress.count(rows[place])
        own = [rows.get((place[0], name)) for name in systems]
        if None not in own:
            print(f"\n{place[0]}\n{pair_table([row for row in own if row is not None])}\n", flush=True)
    return [rows[place] for place in keys]


def _measure(pair: JudgedPair) -> None:
    """Measure the sounds of a pair here and once: the processes that compute are sent the measures with the sounds."""
    _ = pair.content.features, pair.style.features


def draw_pictures(pairs: Sequence[JudgedPair], rows: Sequence[Row], out: Path) -> None:
    """Draw each pair whose result of `default` there is."""
    results = {str(row["pair_id"]): row for row in rows if row["system"] == "default" and row["audio"] is not None}
    for pair in pairs:
        if (row := results.get(pair.pair_id)) is not None:
            shown = [f"{COLUMNS[name]} {row[name]:.2f}" for name in FIGURES if row[name] is not None]
            draw_pair(pair, out / str(row["audio"]), ", ".join(shown), out / "pictures" / f"{pair.pair_id}.png")


def write_report(path: Path, rows: Sequence[Row], systems: Mapping[str, System], command: str) -> None:
    """Write all figures, their means and how they came about as JSON, replacing an older report whole."""
    report = {
        "command": command,
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "threads": torch.get_num_threads(),
        "systems": {
            name: {"group": system.group, "what": system.what, **system.identity} for name, system in systems.items()
        },
        "means": {name: means([row for row in rows if row["system"] == name]) for name in systems},
        "results": list(rows),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


class _Progress:
    """Counts results and estimates, from those of this process, how long the rest takes."""

    def __init__(self, total: int) -> None:
        self.done, self.total, self.began = 0, total, time.monotonic()

    def count(self, row: Row) -> None:
        self.done += 1
        left_s = (time.monotonic() - self.began) / self.done * (self.total - self.done)
        print(
            f"[{self.done}/{self.total}] {row['pair_id']}: {row['system']} (about {left_s / 60:.0f} min left)",
            flush=True,
        )


def _say_what_is_left(keys: Mapping[tuple[str, str], str], kept: Mapping[tuple[str, str], Row], ledger: Ledger) -> None:
    anew = sum(ledger.knows({"pair_id": pair, "system": name}) for pair, name in keys.keys() - kept.keys())
    text = f"{len(keys)} results: {len(kept)} finished, {len(keys) - len(kept)} to compute"
    print(text + (f", {anew} of them anew because sounds, settings, network or code changed" if anew else ""))


def _chosen(systems: Mapping[str, System], names: str | None) -> dict[str, System]:
    if names is None:
        return dict(systems)
    wanted = names.split(",")
    if unknown := [name for name in wanted if name not in systems]:
        raise SettingsError(f"systems={','.join(unknown)}: unknown; known are {', '.join(systems)}")
    return {name: systems[name] for name in systems if name in wanted}


def changes(texts: Sequence[str]) -> dict[str, object]:
    """Return what `--set` changes, parsed and checked as the command line of timbreflow does it."""
    named = {text.partition("=")[0] for text in texts}
    changed: Settings = chosen_settings("default", list(texts))
    return {name: value for name, value in changed if name in named}


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description="Compare the method with what is none."
    )
    add = parser.add_argument
    add("--pairs", type=Path, default=PAIRS, help="CSV of content, style and pair_id; default: %(default)s")
    add("--out", type=Path, default=OUT, help="folder for everything made; default: %(default)s")
    add("--systems", help="systems and choices, comma-separated; default: all")
    add("--jobs", type=int, default=1, help="processes that compute; default: %(default)s")
    add("--threads", type=int, default=1, help="threads of PyTorch in each process; default: %(default)s")
    add("--set", action="append", default=[], dest="changes", help="change a setting, for trying: --set iterations=5")
    add("--document", action="store_true", help="write the tables into docs/quality.md and docs/method.md")
    asked = parser.parse_args(argv)
    for name in ("jobs", "threads"):
        if (value := getattr(asked, name)) < 1:
            parser.error(f"{name}={value} < 1")
    return asked


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    asked = _arguments(argv)
    command = shlex.join(["python", "-m", "benchmarks.quality", *argv])
    torch.set_num_threads(asked.threads)
    try:
        pairs = read_pairs(asked.pairs)
        sounds = [sound.samples for sound in all_sounds(pairs)]
        systems = _chosen(all_systems(changes(asked.changes), sounds), asked.systems)
    except (PairsError, AudioError, SettingsError) as error:
        sys.exit(f"quality: {error}")
    rows = compare(pairs, systems, asked.out, asked.jobs, asked.threads)
    write_report(asked.out / "quality.json", rows, systems, command)
    for text, table in mean_tables(rows, systems).items():
        print(f"{text}, means of {len(pairs)} pairs\n{table}\n", flush=True)
    draw_pictures(pairs, rows, asked.out)
    if asked.document:
        write_documents(DOCS, rows, systems, command)


if __name__ == "__main__":
    main(sys.argv[1:])
