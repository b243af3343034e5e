"""The costs of the core: counted work against arithmetic, whose stage a cost is, and the whole command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.marked_tables import DOCS
from benchmarks.sound.systems import encoded
from benchmarks.speed import core
from benchmarks.speed.clips import demo_pairs, write_corpus
from benchmarks.speed.counting import Counter, work_of
from benchmarks.speed.machine import machine, processor_seconds
from benchmarks.speed.stages import STAGES, Clock, Cost
from manifests.reading.reader import read_whole
from stylecore.folded_alexnet import load_encoder
from stylecore.settings import Settings
from tasks.storage.storage import Storage

QUICK = Settings(coarse_iterations=0, iterations=3, sound_iterations=2, griffin_lim_iterations=2)
COMMAND = [
    *("--pairs=3", "--seconds=0.4", "--batches=1,2", "--threads=1"),
    *(f"--set={name}=2" for name in ("coarse_iterations", "iterations", "sound_iterations", "griffin_lim_iterations")),
]


def test_counted_are_products_forward_and_backward() -> None:
    filters = torch.rand(6, 4, 3, 3)
    log_spectrogram = torch.rand(2, 4, 10, 12, requires_grad=True)
    matrix = torch.rand(5, 7)

    def work() -> None:
        found = torch.nn.functional.conv2d(log_spectrogram, filters, padding=1)
        torch.autograd.grad(found.sum(), log_spectrogram)
        matrix @ matrix.T

    with Counter() as counter:
        work()
    convolution = 2 * (2 * 10 * 12) * (6 * 4 * 9)
    assert counter.flops == 2 * convolution + 2 * 5 * 7 * 5
    with FlopCounterMode(display=False) as theirs:
        work()
    assert counter.flops == theirs.get_total_flops()


def test_views_move_nothing_and_what_is_expanded_is_read_once() -> None:
    vector = torch.rand(1000)
    with Counter() as counter:
        vector.reshape(10, 100).T[2:]
    assert (counter.operations, counter.n_bytes) == (0, 0)
    with Counter() as counter:
        torch.add(vector.expand(8, 1000), 1.0)
    assert (counter.operations, counter.n_bytes) == (1, 4 * (1000 + 8 * 1000))


def test_work_grows_with_evaluations_and_is_shared_by_a_batch() -> None:
    encoder = load_encoder()
    sounds = [(pair.content.samples, pair.style.samples) for pair in demo_pairs(2, 0.4)]

    def work(settings: Settings, batch: int):  # type: ignore[no-untyped-def]
        return work_of([encoded(settings, encoder, *own) for own in sounds[:batch]], encoder)

    few, more = (work(QUICK.resolve({"iterations": count}), 1) for count in (3, 6))
    assert (few.evaluations, more.evaluations) == (5, 8)
    assert more.flops_per_evaluation == pytest.approx(few.flops_per_evaluation, rel=0.25)
    together = work(QUICK, 2)
    assert together.flops == pytest.approx(few.flops, rel=0.01)
    assert together.operations < few.operations


def test_a_cost_is_shared_as_the_weights_are_and_children_count() -> None:
    clock = Clock()
    with clock.timing({"read": 1.0, "write": 3.0}):
        torch.rand(400, 400) @ torch.rand(400, 400)
    read, write = clock.spent["read"], clock.spent["write"]
    assert write == pytest.approx(read.times(3.0))
    assert read.plus(write).wall_s > 0
    assert clock.spent["phase"] == Cost()
    before = processor_seconds()
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert processor_seconds() > before


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells of processes that still run")
def test_a_child_that_still_runs_counts() -> None:
    before = processor_seconds()
    program = "sum(range(20_000_000)); print('done', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert processor_seconds() > before + 0.05
        child.communicate(b"\n")


def test_a_corpus_repeats_its_pairs_with_seeds_of_their_own(tmp_path: Path) -> None:
    pairs = read_whole(str(write_corpus(tmp_path, 58, 0.3)), Storage(), Settings().resolve).pairs
    assert pairs.num_rows == len(set(pairs["pair_id"].to_pylist())) == 58
    assert pairs["seed"].to_pylist() == [0] * 56 + [1] * 2
    assert len(list(tmp_path.glob("*.flac"))) == 8


@pytest.mark.slow
def test_the_bench_reports_every_stage_of_every_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    core.main([*COMMAND, "--out", str(tmp_path / "core.json")])
    report = json.loads((tmp_path / "core.json").read_text())
    assert report["machine"] == machine()
    assert [(found["batch"], found["threads"]) for found in report["measurements"]] == [(1, 1), (2, 1)]
    for found in report["measurements"]:
        assert list(found["per_second"]) == [*STAGES, "total"]
        assert all(cost["wall_s"] > 0 and cost["cpu_s"] >= 0 for cost in found["per_second"].values())
        assert found["evaluations"] == 6
        assert found["core_rate"] > 0
    assert report["work_of_a_pair"]["flops"] > 1e9
    assert "| 2, 1" in capsys.readouterr().out


@pytest.mark.slow  # of the other benchmarks the same is shown sooner
def test_the_document_names_command_and_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "performance.md").write_text((DOCS / "performance.md").read_text())
    monkeypatch.setattr(core, "DOCS", tmp_path)
    core.main([*COMMAND, "--batches=1", "--out", str(tmp_path / "core.json"), "--document"])
    text = (tmp_path / "performance.md").read_text().partition("<!-- core -->\n")[2]
    assert text.startswith("Made by `python -m benchmarks.speed.core ")
    assert machine() in text.partition("<!-- end of core -->")[0]


@pytest.mark.parametrize("arguments", [["--set", "alpah=1"], ["--batches", "0"], ["--threads", "1,x"]])
def test_a_mistaken_command_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        core.main(arguments)
