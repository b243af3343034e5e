"""Every term is told in one place: settings, columns and the objective know it from there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from manifests.schema import RESULT_SCHEMA, ROW_SETTINGS
from stylecore.settings import PRESETS, Settings
from stylecore.terms import TERMS

ROOT = Path(__file__).parents[2]


def test_they_are_those_of_equation_1_in_its_order() -> None:
    assert [term.name for term in TERMS] == ["content", "style", "temporal", "spectral"]
    assert [term.place for term in TERMS] == [1, 2, 3, 4]


def test_each_has_a_setting_a_column_for_it_and_two_for_its_value() -> None:
    for term in TERMS:
        field = Settings.model_fields[term.weight.name]
        assert (field.default, field.description) == (term.weight.default, term.weight.description)
        assert getattr(PRESETS["paper"], term.weight.name) == term.weight.paper
        assert term.weight.name in ROW_SETTINGS
        assert {term.weight.name, f"loss_first_{term.name}", f"loss_last_{term.name}"} <= set(RESULT_SCHEMA.names)


def test_the_form_has_them_after_what_everybody_sets() -> None:
    names = list(Settings.model_fields)
    assert names[:7] == ["notes", "strength", *(term.weight.name for term in TERMS), "seed"]


def test_knowing_them_needs_no_torch() -> None:
    code = "import sys, stylecore.settings, stylecore.terms; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
