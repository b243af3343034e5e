"""Pages of the site that lie outside of this folder, for `make docs`: README, changes, the network's model card."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

PAGES = {
    "index.md": "README.md",
    "changes.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "model_card.md": "stylecore/weights/MODEL_CARD.md",
    "attribution.md": "assets/demo/ATTRIBUTION.md",
    "SOURCES.csv": "assets/demo/SOURCES.csv",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for name, path in PAGES.items():
        files.append(File.generated(config, name, content=moved((ROOT / path).read_text())))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links lead to where those pages are now."""
    return moved(markdown)


def moved(markdown: str) -> str:
    """Return a page whose links to files of the repository are links within the site."""
    for name, path in PAGES.items():
        markdown = re.sub(rf"\]\((\.\./)*{re.escape(path)}", f"]({name}", markdown)
    return re.sub(r"\]\(docs/", "](", markdown)
