"""Links in the documents lead somewhere: to files that are there, and to headings in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("stylecore/weights/*.md")])


def links_of(document: Path) -> Iterator[str]:
    """Give the relative links of a document, code aside."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", link):
            yield link


def headings_of(document: Path) -> set[str]:
    """Return the names by which headings are linked to."""
    titles = re.findall(r"^#+ +(.+)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in links_of(document):
        path, _, heading = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"{link}: there is no {target}"
        if heading and target.suffix == ".md":
            assert heading in headings_of(target), f"{link}: no such heading"
