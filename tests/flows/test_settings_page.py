"""docs/settings.md says what the models say."""

from __future__ import annotations

from pathlib import Path

from flows.settings_page import page
from stylecore.settings import Settings
from tasks.options import RunOptions


def test_the_document_is_up_to_date() -> None:
    document = Path(__file__).parents[2] / "docs" / "settings.md"
    assert document.read_text() == page(), "run python -m flows.settings_page docs/settings.md"


def test_every_field_is_in_it_once() -> None:
    lines = page().splitlines()
    for name in (*Settings.model_fields, *RunOptions.model_fields):
        assert sum(line.startswith(f"| `{name}` |") for line in lines) == 1
