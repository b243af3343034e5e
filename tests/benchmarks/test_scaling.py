"""Scaling: processes that begin together, what two gain over one, and the arithmetic of a corpus on GPUs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.marked_tables import DOCS
from benchmarks.speed import scaling
from benchmarks.speed.counting import Work
from benchmarks.speed.projection import Assumptions, Gpu, Parts, arithmetic, hours_table, seconds_of_pair
from benchmarks.speed.scaling import gain, rate_table
from benchmarks.speed.two_processes import Job, have_core, rate
from stylecore.settings import Settings

PARTS = Parts(Work(100e12, 5e12, 3e3, 10), 1000.0, 50.0, 4.0, 2e6)
GPU = Gpu("some", 100e12, 10e12)
QUICK = [
    f"--set={name}=2" for name in ("coarse_iterations", "iterations", "sound_iterations", "griffin_lim_iterations")
]


def assumed(**changes: object) -> Assumptions:
    known: dict = {"sustained": (0.25, 0.5), "launch_s": 1e-5, "batch": 100, "price": 3.0}
    return Assumptions(**{**known, **changes})


def test_a_pair_takes_what_the_largest_of_its_bounds_takes() -> None:
    bounds = seconds_of_pair(PARTS, GPU, assumed(), 0.5)
    assert bounds == {"products": 2.0, "memory": 1.0, "launches": pytest.approx(6e-4)}
    assert seconds_of_pair(PARTS, GPU, assumed(batch=1), 0.5)["launches"] == pytest.approx(0.0105)
    table = arithmetic(PARTS, GPU, assumed())
    assert "100000 GFLOP / 100 TFLOP/s |    2000.00 |    4000.00 |" in table
    assert table.splitlines()[-1].split("|")[3].strip() == "2000.00"


def test_hours_fall_with_gpus_and_the_cost_does_not() -> None:
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in hours_table(PARTS, GPU, assumed(), 3600).splitlines()[2:]
    ]
    assert lines[0] == ["1", "2.00 to 4.00", "6 to 12", "2 to 1", "1.0 to 0.5"]
    assert lines[1] == ["8", "0.25 to 0.50", "6 to 12", "16 to 8", "8.0 to 4.0"]
    assert lines[2][:3] == ["64", "0.03 to 0.06", "6 to 12"]


def test_gains_are_relative_to_the_matrix_product_s() -> None:
    rates = {"pairs": [(0.1, 0.15), (0.1, 0.17)], "matrix": [(10.0, 18.0), (10.0, 18.0)]}
    assert gain(rates["pairs"]) == pytest.approx(1.6)
    ours, matrix = rate_table(rates).splitlines()[2:]  # type: ignore[arg-type]
    assert [cell.strip() for cell in ours.split("|")[2:-1]] == ["6.00", "9.60", "1.60", "0.89"]
    assert [cell.strip() for cell in matrix.split("|")[2:-1]] == ["10.00", "18.00", "1.80", "1.00"]


@pytest.mark.slow
def test_processes_do_the_same_amount_at_the_same_time(tmp_path: Path) -> None:
    assert rate(Job("memory", 1, tmp_path), 2) > 0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux keeps a process on a core")
def test_each_process_has_a_core_of_its_own() -> None:
    all_of_them, found = os.sched_getaffinity(0), []
    for number in range(2):
        try:
            have_core(number)
            found.append(os.sched_getaffinity(0))
        finally:
            os.sched_setaffinity(0, all_of_them)
    assert [len(cores) for cores in found] == [1, 1]
    assert found[0] != found[1] or len(all_of_them) == 1


@pytest.mark.slow  # that a failure in a process is raised: test_computing.py
def test_a_worker_that_fails_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="has failed"):
        rate(Job("pairs", 1, tmp_path, seconds=0.001), 1)


@pytest.mark.slow
def test_a_whole_worker_commits_its_pairs(tmp_path: Path) -> None:
    settings = Settings(coarse_iterations=2, iterations=2, sound_iterations=2, griffin_lim_iterations=2)
    assert rate(Job("pairs", 2, tmp_path, 0.4, settings), 1) > 0
    assert len(list(tmp_path.glob("*/run/out/audio/*/*.flac"))) == 2


@pytest.mark.slow
def test_the_command_counts_and_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "performance.md").write_text((DOCS / "performance.md").read_text())
    monkeypatch.setattr(scaling, "DOCS", tmp_path)
    rates = {job: [(1.0, 1.9)] for job in ("pairs", "matrix", "memory")}
    monkeypatch.setattr(scaling, "measured", lambda *_: rates)  # shown above, and slow
    report = tmp_path / "scaling.json"
    scaling.main(["--seconds=0.4", "--out", str(report), "--document", "--gpu-hour-price=7", *QUICK])
    found = json.loads(report.read_text())
    assert found["relative_gain"] == 1
    assert found["parts"]["host_cpu_s"] > 0
    assert found["parts"]["stored_bytes"] > 1_000
    assert found["parts"]["operations_per_batch"] > found["parts"]["operations_per_pair"] > 0
    assert found["assumed"]["price"] == 7
    text = (tmp_path / "performance.md").read_text().partition("<!-- scaling -->\n")[2]
    assert text.startswith("Made by `python -m benchmarks.speed.scaling ")
    assert "nothing was run on a GPU" in text
