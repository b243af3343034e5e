"""The notebook in docs/examples, on a root of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from tests.tasks.conftest import Corpus

NOTEBOOK = Path(__file__).parents[2] / "docs" / "examples" / "query_results.ipynb"


def test_every_cell_runs(finished: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TIMBREFLOW_RESULTS", str(finished.root))
    mpl.use("Agg")
    names: dict[str, Any] = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert len(names["done"]) == len(finished.first.table)
    assert names["fig"].axes[0].texts[0].get_text() in set(names["done"]["pair_id"])
    assert capsys.readouterr().out.count("IPython.lib.display.Audio") == 9
