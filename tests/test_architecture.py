"""docs/architecture.md shows the house as it is."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()


def test_its_pictures_are_those_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("house", ROOT / "docs" / "pictures" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    assert house.rendered(DOCUMENT) == DOCUMENT, "run `python docs/pictures/house.py`"


def test_every_file_that_a_document_names_is_there() -> None:
    named = re.compile(r"`((?:flows|tasks|stylecore|manifests|benchmarks|tests|docs)/[\w/.]+)`")
    missing = {
        f"{document.name}: {path}"
        for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        if document.name != "experiments.md"  # a diary: it names what there was
        for path in named.findall(document.read_text())
        if not (ROOT / path).exists()
    }
    assert missing == set()


def test_every_room_says_what_it_is_and_what_it_may_import() -> None:
    for package in ("tasks", "manifests"):
        for room in (path for path in (ROOT / package).iterdir() if (path / "__init__.py").exists()):
            text = (room / "__init__.py").read_text()
            assert "May import: " in text, room
            entry = re.search(r"Entry point: `(\w+)\.(\w+)`", text)
            assert entry is not None, room
            module = (room / f"{entry[1]}.py").read_text()
            assert re.search(rf"^(def|class) {entry[2]}\b", module, re.MULTILINE), entry[0]


def test_a_name_is_used_once() -> None:
    paths = [
        path
        for package in ("flows", "tasks", "stylecore", "manifests")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    ]
    modules = [path.stem for path in paths]
    classes = [name for path in paths for name in re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE)]
    for names in (modules, classes):
        assert sorted(name for name in set(names) if names.count(name) > 1) == []
