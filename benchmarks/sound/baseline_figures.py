"""What the figures say of results that need no network: `python -m benchmarks.sound.baseline_figures [--document]`.

Of the demo's pairs: the content, the style, a matched equaliser and a plain mix as the output, and the ceiling that one
half of the style reaches against its other half. And what the measuring costs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.judged_pairs import JudgedPair
from benchmarks.markdown_tables import markdown, shown
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.sound.baselines import Samples, matched_equaliser, plain_mix
from benchmarks.speed.clips import demo_pairs
from stylecore import metrics
from stylecore.figures import FIGURES
from stylecore.transfers import ceilings

COMMAND = "python -m benchmarks.sound.baseline_figures --document"
N_PAIRS, LONGEST_S = 8, 30.0
MEASURED = [figure.name for figure in FIGURES if not figure.of_spectrograms]
OUTPUTS: Mapping[str, Callable[[Samples, Samples], Samples]] = {
    "content": lambda content, style: content,
    "equaliser": matched_equaliser,
    "mix": plain_mix,
    "style": lambda content, style: np.resize(style, len(content)),
}

Row = Mapping[str, float | None]


def measured(pairs: Sequence[JudgedPair]) -> dict[str, list[Row]]:
    """Return the figures of each output, and the ceilings, pair by pair."""
    found: dict[str, list[Row]] = {
        name: [
            metrics.compare(
                metrics.features(render(pair.content.samples, pair.style.samples)),
                pair.content.features,
                pair.style.features,
            )
            for pair in pairs
        ]
        for name, render in OUTPUTS.items()
    }
    found["ceiling"] = [
        ceilings(pair.style.samples.astype(np.float64), pair.content.samples.astype(np.float64)) for pair in pairs
    ]
    return found


def table(found: Mapping[str, Sequence[Row]]) -> str:
    """Return the means over pairs as a Markdown table: a line per figure, a column per output."""
    lines = [[f"`{name}`", *(shown(_mean(rows, name)) for rows in found.values())] for name in MEASURED]
    return markdown(["figure", *found], lines)


def seconds_per_second(pairs: Sequence[JudgedPair]) -> float:
    """Return the processor seconds that measuring takes per second of output, all three sounds measured anew."""
    began = time.process_time()
    for pair in pairs:
        content, style = pair.content.samples, pair.style.samples
        metrics.figures(plain_mix(content, style), content, style)
    return (time.process_time() - began) / sum(pair.content.seconds for pair in pairs)


def _mean(rows: Sequence[Row], name: str) -> float | None:
    known = [value for row in rows if (value := row.get(name)) is not None]
    return float(np.mean(known)) if known else None


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sound.baseline_figures", description="What the figures say."
    )
    parser.add_argument("--document", action="store_true", help="write the table into docs/figures.md")
    asked = parser.parse_args()
    pairs = demo_pairs(N_PAIRS, LONGEST_S)
    means = table(measured(pairs))
    cost = f"Measuring takes {seconds_per_second(pairs):.3f} CPU s per second of output, all three sounds included."
    print(f"{means}\n\n{cost}")
    if asked.document:
        rewrite(DOCS / "figures.md", {"means": f"Made by `{COMMAND}`.\n\n{means}\n\n{cost}"})


if __name__ == "__main__":
    main()
