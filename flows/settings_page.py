"""docs/settings.md, from the models that the command line and Prefect's form are made of.

`python -m flows.settings_page docs/settings.md` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.model_options import EXPERT, as_typed, form_of
from stylecore.settings import PRESETS, Settings
from tasks.options import RunOptions

HEAD = """# Settings and options

Made by `python -m flows.settings_page docs/settings.md`. Each is an option of `timbreflow run` (`--sample-rate 48000`)
and a field of Prefect's form (`sample_rate`); settings are options of `timbreflow pair` and arguments of
`timbreflow.transfer` too, where `file_format` has no effect. Beside them `timbreflow run` takes `--preset`,
`--set NAME=VALUE`, `--dry-run` and `--json`. Settings change the sound, and with it the fingerprint; options do not,
but for `weights`. A row of a manifest may have settings of its own ([manifests](manifests.md#columns)). `paper` is what
the preset of that name has in the place of the default.
"""


def page() -> str:
    """Return the document."""
    parts = [HEAD]
    for title, model, expert in (
        ("Settings", Settings, False),
        ("Settings for experts", Settings, True),
        ("Options of a run", RunOptions, None),
    ):
        parts.append(f"## {title}\n\n" + "\n".join(_table(model, expert)) + "\n")
    return "\n".join(parts)


def _table(model: type[BaseModel], expert: bool | None) -> Iterator[str]:
    """Give the lines of a table of fields: those for experts, those that are not, or all."""
    paper = PRESETS["paper"].model_dump(mode="json") if model is Settings else {}
    yield "| name | values | default | `paper` | |" if paper else "| name | values | default | |"
    yield "| --- | --- | --- | --- | --- |" if paper else "| --- | --- | --- | --- |"
    for name, schema in model.model_json_schema()["properties"].items():
        if expert in (None, schema["description"].startswith(EXPERT)):
            other = [_cell(paper[name]) if paper[name] != schema["default"] else ""] if paper else []
            cells = [f"`{name}`", _values(schema), _cell(schema["default"]), *other, _text(schema)]
            yield f"| {' | '.join(cells)} |"


def _values(schema: Mapping[str, Any]) -> str:
    return "flag" if schema.get("type") == "boolean" else form_of(schema).replace("|", ", ")


def _cell(value: object) -> str:
    return as_typed(value) or "-"


def _text(schema: Mapping[str, Any]) -> str:
    return str(schema["description"]).removeprefix(EXPERT).replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
