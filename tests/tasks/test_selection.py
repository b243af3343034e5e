"""Rows of results by SQL, and two tables of results beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from manifests.files import join
from manifests.results.layout import write_part
from manifests.schema import ManifestError
from tasks.ledger.comparison import compared
from tasks.ledger.query import ResultTable
from tasks.ledger.selection import Selection, selected
from tasks.storage.storage import Storage
from tests.manifests.result_rows import succeeded
from tests.tasks.test_overview import failed

FILES = Storage()
RHYTHM = [0.9, 0.5, 0.7, 0.6]


def table_of(root: str, rows: list[dict[str, Any]]) -> ResultTable:
    return ResultTable(write_part(FILES, root, "r1", 0, rows), root)


@pytest.fixture
def table(tmp_path: Path) -> ResultTable:
    """Return four pairs with figures, and one that failed."""
    rows = [
        succeeded(f"p{number}", rhythm_kept=value, melody_kept=None, loss_curve=[1.0, 0.5], seed=number)
        for number, value in enumerate(RHYTHM)
    ]
    return table_of(str(tmp_path), [*rows, failed("bad", "missing", "'/x.wav' does not exist")])


def rows_of(table: ResultTable, *, where: str | None = None, sort: str | None = None, **more: Any) -> pd.DataFrame:
    with selected(table, FILES, Selection(where, sort, **more)) as found:
        return found.read_all().to_pandas()


class TestSelection:
    def test_without_a_condition_it_is_the_table_in_its_order(self, table: ResultTable) -> None:
        assert rows_of(table)["pair_id"].tolist() == ["p0", "p1", "p2", "p3", "bad"]

    def test_rows_by_a_condition_sorted_and_limited(self, table: ResultTable) -> None:
        found = rows_of(table, where="rhythm_kept < 0.8", sort="rhythm_kept desc", columns=("pair_id",), limit=2)
        assert found["pair_id"].tolist() == ["p2", "p3"]
        assert rows_of(table, where="status = 'failed' and error_type like 'm%'")["pair_id"].tolist() == ["bad"]

    def test_a_column_of_a_condition_need_not_be_shown(self, table: ResultTable) -> None:
        found = rows_of(table, where='"SEED" > 1', sort="length(error_message), seed desc", columns=("pair_id", "seed"))
        assert found.values.tolist() == [["p3", 3], ["p2", 2]]

    def test_lists_are_text(self, table: ResultTable) -> None:
        assert rows_of(table, columns=("loss_curve",), limit=1)["loss_curve"].tolist() == ["[1.0, 0.5]"]

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            (Selection(columns=("rythm_kept",)), "column 'rythm_kept': not in the table; did you mean rhythm_kept"),
            (Selection("rythm_kept < 1"), '"rythm_kept" not found'),
            (Selection("rhythm_kept <"), "syntax error"),
            (Selection(sort="pair_id upwards"), "syntax error"),
            (Selection("pair_id in (select * from read_csv('/etc/hostname'))"), "disabled by configuration"),
        ],
    )
    def test_what_is_wrong_is_said(self, table: ResultTable, wanted: Selection, message: str) -> None:
        with pytest.raises(ManifestError, match=message), selected(table, FILES, wanted) as found:
            found.read_all()

    def test_a_table_on_s3(self, s3: str, table: ResultTable) -> None:
        uri = join(s3, "results.parquet")
        with FILES.writing(uri) as sink:
            sink.write(FILES.read(table.uri))
        assert rows_of(ResultTable(uri, s3), where="rhythm_kept > 0.8")["pair_id"].tolist() == ["p0"]


class TestComparison:
    def test_the_differences_of_the_same_pairs_and_their_t(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        one, other = rng.uniform(0, 1, (2, 12))
        tables = [
            table_of(str(tmp_path / name), [succeeded(f"p{k}", rhythm_kept=float(values[k])) for k in order])
            for name, values, order in (("a", one, range(12)), ("b", other, reversed(range(2, 12))))
        ]
        found = compared(tables[0], tables[1], FILES)
        assert (found.matched_by, found.succeeded, found.pairs) == ("pair_id", (12, 10), 10)
        (rhythm,) = found.figures
        wanted = stats.ttest_rel(other[2:], one[2:])
        bounds = wanted.confidence_interval(0.95)
        assert rhythm[:3] == ("rhythm_kept", *(pytest.approx(values[2:].mean()) for values in (one, other)))
        assert rhythm.difference == (
            pytest.approx((other - one)[2:].mean()),
            *(pytest.approx(value) for value in (bounds.low, bounds.high, wanted.statistic, wanted.pvalue)),
            10,
        )

    def test_by_their_sounds_where_no_name_is_in_both(self, tmp_path: Path) -> None:
        tables = [
            table_of(
                str(tmp_path / name),
                [
                    succeeded(f"{name}0", content="/x.wav", rhythm_kept=0.5),
                    succeeded(f"{name}1", content="/y.wav", rhythm_kept=0.5),
                    succeeded(f"{name}2", content="/y.wav", rhythm_kept=0.7),
                ],
            )
            for name in "ab"
        ]
        found = compared(tables[0], tables[1], FILES)
        assert (found.matched_by, found.pairs) == ("content and style", 1)
        assert found.figures[0].difference.t is None

    def test_a_figure_that_only_some_have(self, tmp_path: Path) -> None:
        rows = [succeeded("a", rhythm_kept=0.5, melody_kept=None), succeeded("b", rhythm_kept=0.6, melody_kept=0.4)]
        table = table_of(str(tmp_path), rows)
        found = {one.name: one.difference for one in compared(table, table, FILES).figures}
        assert {name: one.pairs for name, one in found.items()} == {"rhythm_kept": 2, "melody_kept": 1}
        assert found["rhythm_kept"].mean == 0.0
