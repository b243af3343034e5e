"""Compare systems by how near they come to the right answer: `python -m benchmarks.sound.truth`.

`python -m benchmarks.sound.truth_set` makes the pairs: a phrase on instrument A, something else on B, and the phrase on
B, which no system sees. What is finished is kept, as by `python -m benchmarks.sound.quality`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.judged_pairs import JudgedPair, PairsError, read_pairs
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.sound.comparing import Judgement, Task, command_of, compare, parsed, parser_of, write_report
from benchmarks.sound.judging import judged_by
from benchmarks.sound.laid_out_style import mosaic_system
from benchmarks.sound.peer_random_cnn import peer_system
from benchmarks.sound.quality import pairs_and_systems
from benchmarks.sound.random_cnn import PeerSettings
from benchmarks.sound.significance import NOTE
from benchmarks.sound.systems import Samples, System, all_systems
from benchmarks.sound.truth_figures import TRUTH_FIGURES, towards_truth
from benchmarks.sound.truth_tables import truth_blocks, truth_means, truth_pair_table, truth_significance, truth_tables
from stylecore.settings import preset

OUT = Path("output/truth")
PAIRS = OUT / "sounds" / "pairs.csv"
MAKER = "`python -m benchmarks.sound.truth_set` makes the truth set"
PEER_PAIRS = 6
"""The peer takes minutes for each."""


def truth_systems(changed: Mapping[str, object], sounds: Sequence[Samples]) -> dict[str, System]:
    """Return the systems by name: those of the quality table without the choices, the mosaic and the peer.

    Raises
    ------
    SettingsError
        If a change is unknown or out of bounds.
    """
    listed = [system for system in all_systems(changed, sounds).values() if system.group == "system"]
    listed.append(mosaic_system(preset("default").resolve(changed)))
    return {system.name: system for system in [*listed, peer_system(PeerSettings())]}


def spread(pairs: Sequence[JudgedPair], count: int) -> list[JudgedPair]:
    """Return at most so many pairs at equal distances: of a list by kinds, every kind has its part.

    >>> spread(list(range(56)), 6)
    [0, 10, 20, 30, 40, 50]
    """
    return list(pairs[:: math.ceil(len(pairs) / count)])


def planned(pairs: Sequence[JudgedPair], systems: Mapping[str, System]) -> list[Task]:
    """Return what to compute, pair by pair; the peer comes last, on a few pairs."""
    ours = [system for system in systems.values() if system.group != "peer"]
    peers = [system for system in systems.values() if system.group == "peer"]
    return [
        *((pair, system) for pair in pairs for system in ours),
        *((pair, system) for pair in spread(pairs, PEER_PAIRS) for system in peers),
    ]


def measure_sounds(pair: JudgedPair) -> None:
    """Measure the sounds that the results of a pair are compared with; they keep it."""
    if pair.truth is not None:
        _ = pair.content.features, pair.truth.features


def read_true_pairs(path: Path) -> list[JudgedPair]:
    """Return the pairs of a CSV as `read_pairs` does.

    Raises
    ------
    PairsError
        Also if a pair has no truth.
    """
    pairs = read_pairs(path, MAKER)
    if untold := [pair.pair_id for pair in pairs if pair.truth is None]:
        raise PairsError(f"{path}: {untold[0]} has no truth; {MAKER}")
    return pairs


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = parser_of("truth", "Compare systems by the right answer.", PAIRS, OUT)
    parser.add_argument("--limit", type=int, help="at most so many pairs, spread over the list; default: all")
    parser.add_argument("--document", action="store_true", help="write the tables into docs/quality.md")
    return parsed(parser, argv, ("jobs", "threads", "limit"))


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    asked = _arguments(argv)
    command = command_of("truth", argv)
    # All sounds calibrate the random filters, however few pairs are compared: their results are the same then.
    known, systems = pairs_and_systems("truth", asked, read_true_pairs, truth_systems)
    pairs = known if asked.limit is None else spread(known, asked.limit)
    judgement = Judgement(partial(judged_by, towards_truth, TRUTH_FIGURES), measure_sounds, truth_pair_table)
    rows = compare(planned(pairs, systems), judgement, asked.out, asked.jobs, asked.threads)
    write_report(asked.out / "truth.json", rows, systems, truth_means, command)
    for title, table in truth_tables(rows, pairs, systems).items():
        print(f"{title}, means\n{table}\n", flush=True)
    if (differences := truth_significance(rows)) is not None:
        print(f"{NOTE}\n{differences}\n", flush=True)
    if asked.document:
        rewrite(DOCS / "quality.md", truth_blocks(rows, pairs, systems, command))


if __name__ == "__main__":
    main(sys.argv[1:])
