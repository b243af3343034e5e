"""Every figure is told in one place, and what it tells of itself is true."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from manifests.schema import RESULT_SCHEMA
from stylecore.figures import FIGURES, Figure
from stylecore.metrics import figures

ROOT = Path(__file__).parents[2]
TIME_S = np.arange(16_000) / 16_000
TONE = np.exp(-4 * TIME_S) * np.sin(2 * np.pi * 440 * TIME_S)
BUZZ = np.sign(np.sin(2 * np.pi * 311 * TIME_S)) * (1 + np.sin(2 * np.pi * 20 * TIME_S))


def test_the_result_table_has_a_column_for_each() -> None:
    names = [figure.name for figure in FIGURES]
    assert [name for name in RESULT_SCHEMA.names if name in names] == names


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_it_tells_what_it_is(figure: Figure) -> None:
    assert figure.least < figure.most
    assert math.isinf(figure.ideal) or figure.least <= figure.ideal <= figure.most
    assert 0 < len(figure.heading) <= 14
    assert not figure.description.endswith(".")


@pytest.mark.parametrize("output", [TONE, BUZZ, TONE[::-1], np.random.default_rng(0).standard_normal(16_000)])
def test_it_lies_where_it_says(output: np.ndarray) -> None:
    found = figures(output, TONE, BUZZ)
    assert found.keys() == {figure.name for figure in FIGURES if not figure.of_spectrograms}
    for figure in FIGURES:
        value = found.get(figure.name)
        assert value is None or figure.least <= value <= figure.most, figure.name


def test_knowing_them_loads_nothing_heavy() -> None:
    code = "import sys, manifests.schema; print(*{'torch', 'librosa', 'onnxruntime', 'scipy'} & sys.modules.keys())"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""


def test_no_other_module_lists_them() -> None:
    names = re.compile("|".join(f'"{figure.name}"' for figure in FIGURES))
    lists = {
        str(path.relative_to(ROOT))
        for package in ("flows", "tasks", "manifests", "stylecore")
        for path in (ROOT / package).rglob("*.py")
        if len(set(names.findall(path.read_text()))) > 2 and path.name not in ("figures.py", "transfers.py")
    }
    assert lists == set()
