"""Put the tables of a finished comparison into docs/quality.md, between its markers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.systems import System
from benchmarks.tables import Row, mean_table, pair_table

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "quality.md"


def write_document(path: Path, rows: Sequence[Row], systems: Mapping[str, System], command: str) -> None:
    """Rewrite the blocks `systems`, `means` and `pairs` of a document in place.

    Parameters
    ----------
    path : Path
        The document.
    rows : sequence of mapping
        Results, pair by pair.
    systems : mapping
        The systems of the rows.
    command : str
        What makes the rows again; it stands over each table.

    Raises
    ------
    ValueError
        If the document lacks a marker.
    """
    text = path.read_text(encoding="utf-8")
    for name, content in blocks(rows, systems, command).items():
        text = replaced(text, name, content)
    path.write_text(text, encoding="utf-8")


def blocks(rows: Sequence[Row], systems: Mapping[str, System], command: str) -> dict[str, str]:
    """Return what belongs between the markers."""
    made = f"Made by `{command}`."
    pairs = list(dict.fromkeys(str(row["pair_id"]) for row in rows))
    of_pairs = [
        f"### {pair}\n\nMade by `{command}`.\n\n{pair_table([row for row in rows if row['pair_id'] == pair])}"
        for pair in pairs
    ]
    return {
        "systems": "\n".join(f"- `{system.name}`: {system.what}" for system in systems.values()),
        "means": f"{made}\n\n{mean_table(rows)}",
        "pairs": "\n\n".join(of_pairs),
    }


def replaced(text: str, name: str, content: str) -> str:
    r"""Return a text with a block between its markers replaced.

    >>> replaced("<!-- a -->\nold\n<!-- end of a -->", "a", "new")
    '<!-- a -->\nnew\n<!-- end of a -->'
    """
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if not block.search(text):
        raise ValueError(f"no block from '<!-- {name} -->' to '<!-- end of {name} -->'")
    return block.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)
