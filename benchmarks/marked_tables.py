"""Put the tables of a finished comparison into docs/quality.md and docs/method.md, between their markers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.markdown_tables import CHOICES, SYSTEMS, Row, mean_tables, pair_table
from benchmarks.sound.significance import NOTE, significance_table
from benchmarks.sound.systems import System
from stylecore.figures import FIGURES

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOCUMENT = DOCS / "quality.md"


def write_documents(folder: Path, rows: Sequence[Row], systems: Mapping[str, System], command: str) -> None:
    """Rewrite the blocks of quality.md and `choices` of method.md in place.

    Parameters
    ----------
    folder : Path
        Of both documents.
    rows : sequence of mapping
        Results, pair by pair.
    systems : mapping
        The systems of the rows.
    command : str
        What makes the rows again; it stands over each table.

    Raises
    ------
    ValueError
        If a document lacks a marker.
    """
    found = blocks(rows, systems, command)
    choices = {name: found.pop(name) for name in ("choices",) if name in found}
    rewrite(folder / "quality.md", found)
    rewrite(folder / "method.md", choices)


def rewrite(path: Path, content: Mapping[str, str]) -> None:
    """Put text between the markers of these names; what stands between others stays.

    Raises
    ------
    ValueError
        If the document lacks a marker.
    """
    text = path.read_text(encoding="utf-8")
    for name, block in content.items():
        text = replaced(text, name, block)
    path.write_text(text, encoding="utf-8")


def blocks(rows: Sequence[Row], systems: Mapping[str, System], command: str) -> dict[str, str]:
    """Return what belongs between the markers; none of choices and of significance where not measured."""
    made = f"Made by `{command}`.\n\n"
    tables = mean_tables(rows, systems)
    found = {
        "systems": _described(systems, "system"),
        "means": made + tables[SYSTEMS],
        "pairs": _pairs(rows, systems, made),
    }
    if (table := significance(rows)) is not None:
        found["significance"] = f"{made}{NOTE}\n\n{table}"
    if CHOICES in tables:
        found["choices"] = f"{_described(systems, 'choice')}\n\n{made}{tables[CHOICES]}"
    return found


def significance(rows: Sequence[Row]) -> str | None:
    """Return the table of paired differences; None where none of its systems was measured."""
    return significance_table(rows, {figure.name: figure.heading for figure in FIGURES})


def _described(systems: Mapping[str, System], group: str) -> str:
    return "\n".join(f"- `{system.name}`: {system.what}" for system in systems.values() if system.group == group)


def _pairs(rows: Sequence[Row], systems: Mapping[str, System], made: str) -> str:
    """Return a heading and a table per pair, without the choices and the content, whose figures are what they mean."""
    shown = [row for row in rows if systems[str(row["system"])].group == "system" and row["system"] != "content"]
    pairs = dict.fromkeys(str(row["pair_id"]) for row in shown)
    return "\n\n".join(
        f"### {pair}\n\n{made}{pair_table([row for row in shown if row['pair_id'] == pair])}" for pair in pairs
    )


def replaced(text: str, name: str, content: str) -> str:
    r"""Return a text with a block between its markers replaced.

    >>> replaced("<!-- a -->\nold\n<!-- end of a -->", "a", "new")
    '<!-- a -->\nnew\n<!-- end of a -->'
    """
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if not block.search(text):
        raise ValueError(f"no block from '<!-- {name} -->' to '<!-- end of {name} -->'")
    return block.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)
