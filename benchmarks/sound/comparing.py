"""Computing and judging many pairs by many systems: what is finished is kept, and a kill costs one result.

The quality table and the truth table differ in their figures and tables; they share this.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks.computing import computed
from benchmarks.judged_pairs import JudgedPair
from benchmarks.sound.finished_results import Ledger, Row, key_of
from benchmarks.sound.systems import System, warm_up
from stylecore.settings import SettingsError

Task = tuple[JudgedPair, System]
Place = tuple[str, str]


@dataclass(frozen=True)
class Judgement:
    """How results are judged and shown.

    Attributes
    ----------
    judge : callable
        Computes and measures one result under a folder; it has to be picklable.
    measure : callable
        Measures the sounds of a pair, once: the processes that compute are sent the measures with the sounds.
    table : callable
        Shows the results of one pair.
    """

    judge: Callable[[JudgedPair, System, Path], Row]
    measure: Callable[[JudgedPair], object]
    table: Callable[[Sequence[Row]], str]


def compare(tasks: Sequence[Task], judgement: Judgement, out: Path, jobs: int = 1, threads: int = 1) -> list[Row]:
    """Return the result of every task in their order; compute those that are not finished.

    Lines of progress, and each pair's table when it is complete, are printed. This process alone writes the ledger,
    however many compute.
    """
    ledger = Ledger(out)
    keys = {_place(task): key_of(*task) for task in tasks}
    rows = {place: row for place, key in keys.items() if (row := ledger.finished(key)) is not None}
    _say_what_is_left(keys, rows, ledger)
    left = [task for task in tasks if _place(task) not in rows]
    for pair in {pair.pair_id: pair for pair, _ in left}.values():
        judgement.measure(pair)
    prepare = partial(warm_up, list({system.name: system for _, system in left}.values()))
    progress = _Progress(len(left))
    calls = [(pair, system, out) for pair, system in left]
    for index, figures in computed(judgement.judge, calls, jobs, threads, prepare):
        place = _place(left[index])
        rows[place] = {"key": keys[place], **figures}
        ledger.add(rows[place])
        progress.count(rows[place])
        own = [rows.get(other) for other in keys if other[0] == place[0]]
        if None not in own:
            print(f"\n{place[0]}\n{judgement.table([row for row in own if row is not None])}\n", flush=True)
    return [rows[place] for place in keys]


def chosen(systems: Mapping[str, System], names: str | None) -> dict[str, System]:
    """Return the systems that a comma-separated list names, or all; their order stays.

    Raises
    ------
    SettingsError
        If a name is unknown.
    """
    if names is None:
        return dict(systems)
    wanted = names.split(",")
    if unknown := [name for name in wanted if name not in systems]:
        raise SettingsError(f"systems={','.join(unknown)}: unknown; known are {', '.join(systems)}")
    return {name: systems[name] for name in systems if name in wanted}


def parser_of(name: str, description: str, pairs: Path, out: Path) -> argparse.ArgumentParser:
    """Return the parser of a comparison's command, with the options that all of them have."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.sound.{name}", description=description)
    add = parser.add_argument
    add("--pairs", type=Path, default=pairs, help="CSV of content, style and pair_id; default: %(default)s")
    add("--out", type=Path, default=out, help="folder for everything made; default: %(default)s")
    add("--systems", help="systems, comma-separated; default: all")
    add("--jobs", type=int, default=1, help="processes that compute; default: %(default)s")
    add("--threads", type=int, default=1, help="threads of PyTorch in each process; default: %(default)s")
    add("--set", action="append", default=[], dest="changes", help="change a setting, for trying: --set iterations=5")
    return parser


def parsed(parser: argparse.ArgumentParser, argv: Sequence[str], counts: Sequence[str]) -> argparse.Namespace:
    """Return what is asked for; a count below 1 ends the program with a message."""
    asked = parser.parse_args(argv)
    for name in counts:
        if (value := getattr(asked, name)) is not None and value < 1:
            parser.error(f"{name}={value} < 1")
    return asked


def command_of(name: str, argv: Sequence[str]) -> str:
    """Return the command as a reader types it.

    >>> command_of("quality", ["--jobs", "2"])
    'python -m benchmarks.sound.quality --jobs 2'
    """
    return shlex.join(["python", "-m", f"benchmarks.sound.{name}", *argv])


def write_report(
    path: Path,
    rows: Sequence[Row],
    systems: Mapping[str, System],
    means: Callable[[Sequence[Row]], object],
    command: str,
) -> None:
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
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


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


def _place(task: Task) -> Place:
    pair, system = task
    return pair.pair_id, system.name


def _say_what_is_left(keys: Mapping[Place, str], kept: Mapping[Place, Row], ledger: Ledger) -> None:
    anew = sum(ledger.knows({"pair_id": pair, "system": name}) for pair, name in keys.keys() - kept.keys())
    text = f"{len(keys)} results: {len(kept)} finished, {len(keys) - len(kept)} to compute"
    print(text + (f", {anew} of them anew because sounds, settings, network or code changed" if anew else ""))
