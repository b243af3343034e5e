"""Compare the method with what is no method, and with other choices: `python -m benchmarks.sound.quality`.

Every result is written, decoded and measured by the project's own functions. What is finished is kept: the same command
goes on after a kill, and computes anew whatever a changed sound, setting, network or line of code decides.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.judged_pairs import JudgedPair, PairsError, all_sounds, read_pairs
from benchmarks.markdown_tables import mean_tables, means, pair_table
from benchmarks.marked_tables import DOCS, significance, write_documents
from benchmarks.sound.comparing import Judgement, chosen, command_of, compare, parsed, parser_of, write_report
from benchmarks.sound.finished_results import Row
from benchmarks.sound.judging import judged
from benchmarks.sound.pictures import draw_pair
from benchmarks.sound.significance import NOTE
from benchmarks.sound.systems import Samples, System, all_systems
from flows.command_options import chosen_settings
from stylecore.figures import FIGURES
from stylecore.settings import Settings, SettingsError
from tasks.audio.sound_files import AudioError

OUT = Path("output/quality")
PAIRS = OUT / "sounds" / "pairs.csv"

Pair = TypeVar("Pair", bound=JudgedPair)
Systems = dict[str, System]
SystemsOf = Callable[[Mapping[str, object], Sequence[Samples]], Systems]


def measure_sounds(pair: JudgedPair) -> None:
    """Measure the sounds of a pair; they keep it."""
    _ = pair.content.features, pair.style.features


def draw_pictures(pairs: Sequence[JudgedPair], rows: Sequence[Row], out: Path) -> None:
    """Draw each pair whose result of `default` there is."""
    results = {str(row["pair_id"]): row for row in rows if row["system"] == "default" and row["audio"] is not None}
    for pair in pairs:
        if (row := results.get(pair.pair_id)) is not None:
            shown = [f"{each.heading} {row[each.name]:.2f}" for each in FIGURES if row[each.name] is not None]
            draw_pair(pair, out / str(row["audio"]), ", ".join(shown), out / "log_spectrograms" / f"{pair.pair_id}.png")


def changes(texts: Sequence[str]) -> dict[str, object]:
    """Return what `--set` changes, parsed and checked as the command line of timbreflow does it."""
    named = {text.partition("=")[0] for text in texts}
    changed: Settings = chosen_settings("default", list(texts))
    return {name: value for name, value in changed if name in named}


def pairs_and_systems(
    name: str, asked: argparse.Namespace, read: Callable[[Path], list[Pair]], systems_of: SystemsOf
) -> tuple[list[Pair], Systems]:
    """Return the pairs and the systems that are asked for; a fault of either ends the program.

    Parameters
    ----------
    name : str
        Of the program.
    asked : Namespace
        What `parser_of` parses.
    read : callable
        Reads the pairs.
    systems_of : callable
        Gives systems by name, from what `--set` changes and the sounds of all pairs, which calibrate random filters.
    """
    torch.set_num_threads(asked.threads)
    try:
        pairs = read(asked.pairs)
        sounds = [sound.samples for sound in all_sounds(pairs)]
        return pairs, chosen(systems_of(changes(asked.changes), sounds), asked.systems)
    except (PairsError, AudioError, SettingsError) as error:
        sys.exit(f"{name}: {error}")


def judged_systems(
    name: str, asked: argparse.Namespace, systems_of: SystemsOf
) -> tuple[list[JudgedPair], Systems, list[Row]]:
    """Return `pairs_and_systems` of the evaluation set, and the result of each with each."""
    pairs, systems = pairs_and_systems(name, asked, read_pairs, systems_of)
    tasks = [(pair, system) for pair in pairs for system in systems.values()]
    judgement = Judgement(judged, measure_sounds, pair_table)
    return pairs, systems, compare(tasks, judgement, asked.out, asked.jobs, asked.threads)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = parser_of("quality", "Compare the method with what is none.", PAIRS, OUT)
    parser.add_argument("--document", action="store_true", help="write the tables into quality.md and method.md")
    return parsed(parser, argv, ("jobs", "threads"))


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    asked = _arguments(argv)
    command = command_of("quality", argv)
    pairs, systems, rows = judged_systems("quality", asked, all_systems)
    write_report(asked.out / "quality.json", rows, systems, means, command)
    for text, table in mean_tables(rows, systems).items():
        print(f"{text}, means of {len(pairs)} pairs\n{table}\n", flush=True)
    if (differences := significance(rows)) is not None:
        print(f"{NOTE}\n{differences}\n", flush=True)
    draw_pictures(pairs, rows, asked.out)
    if asked.document:
        write_documents(DOCS, rows, systems, command)


if __name__ == "__main__":
    main(sys.argv[1:])
