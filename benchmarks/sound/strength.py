"""How far each strength goes from the content to the style: `python -m benchmarks.sound.strength`.

The default settings at four strengths on the evaluation set, judged as its other systems are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.markdown_tables import mean_table, means
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.sound.comparing import command_of, parsed, parser_of, write_report
from benchmarks.sound.quality import PAIRS, judged_systems
from benchmarks.sound.systems import Samples, System, all_systems

OUT = Path("output/strength")
STRENGTHS = (0.25, 0.5, 0.75, 1.0)


def strengths(changed: Mapping[str, object], sounds: Sequence[Samples]) -> dict[str, System]:
    """Return the default at each strength, by name; without strength it is the content."""
    listed = [replace(all_systems({}, sounds[:1])["content"], name="strength-0")]
    for strength in STRENGTHS:
        default = all_systems({**changed, "strength": strength}, sounds[:1])["default"]  # sounds are for random filters
        listed.append(replace(default, name=f"strength-{strength:g}"))
    return {system.name: system for system in listed}


def main(argv: Sequence[str]) -> None:
    """Run from the command line."""
    parser = parser_of("strength", "Judge the default settings at several strengths.", PAIRS, OUT)
    parser.add_argument("--document", action="store_true", help="write the table into docs/method.md")
    asked = parsed(parser, argv, ("jobs", "threads"))
    command = command_of("strength", argv)
    pairs, systems, rows = judged_systems("strength", asked, strengths)
    write_report(asked.out / "strength.json", rows, systems, means, command)
    table = mean_table(rows)
    print(f"means of {len(pairs)} pairs\n{table}")
    if asked.document:
        rewrite(DOCS / "method.md", {"strength": f"Made by `{command}`; means of {len(pairs)} pairs.\n\n{table}"})


if __name__ == "__main__":
    main(sys.argv[1:])
