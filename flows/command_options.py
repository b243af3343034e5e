"""What several commands take: a preset with changes, and the fields of the two models as options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from flows.model_options import fields_of
from stylecore.settings import PRESETS, Settings, SettingsError, preset
from tasks.options import RunOptions

PresetName = Annotated[
    str, typer.Option("--preset", help=f"Settings to start from: {', '.join(PRESETS)}; shown below is default.")
]
Changes = Annotated[
    list[str], typer.Option("--set", help="Change a setting by its name in manifests: `--set style_layers=1,2`.")
]
SETTINGS, OPTIONS = fields_of(Settings, "Sound"), fields_of(RunOptions, "Where and how")


def chosen_settings(name: str, changes: list[str], given: Mapping[str, str] | None = None) -> Settings:
    """Return a preset with `key=value` changes, and those that have an option of their own, put over it.

    Raises
    ------
    SettingsError
        If the preset or a setting is unknown, a value is out of bounds, there is none, or there are two.
    """
    chosen, given = preset(name), given or {}
    values = dict(given)
    for change in changes:
        key, equals, value = (part.strip() for part in change.partition("="))
        if not equals or not key:
            example = f"{key}={getattr(chosen, key)}" if key in Settings.model_fields else "strength=0.8"
            raise SettingsError(f"--set '{change}': a setting and its value, for example `--set {example}`")
        if key in given:
            raise SettingsError(f"--set '{change}': --{key.replace('_', '-')} says {given[key]}; give one of the two")
        values[key] = value
    layers = {key: value.split(",") for key, value in values.items() if key.endswith("_layers")}
    return chosen.resolve({**values, **layers})
