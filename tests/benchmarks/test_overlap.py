"""The demo's pairs repeated, and the table of what a run over them cost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.speed.overlap import STAGES, text, write_manifest


def test_repeated_pairs_differ_in_name_and_seed(tmp_path: Path) -> None:
    table = pd.read_parquet(write_manifest(tmp_path, 30))
    assert len(table) == table["pair_id"].nunique() == table["seed"].nunique() == 30
    assert table.duplicated(["content", "style"]).any()
    assert all(Path(path).is_file() for path in {*table["content"], *table["style"]})


def test_the_table_tells_how_long_the_devices_waited() -> None:
    numbers = ("pairs", "audio_s", "shards", "wall_s", "run_s", "cpu_s", *STAGES)
    block = text({**dict.fromkeys(numbers, 7.0), "devices_waited": 0.0123}, "python -m benchmarks.speed.overlap")
    assert block.startswith("Made by `python -m benchmarks.speed.overlap`. Machine: ")
    assert "**1.2%**" in block
