"""The search for a phase: which steps are measured, and that each is what it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.judged_pairs import read_pairs
from benchmarks.marked_tables import DOCUMENT
from benchmarks.sound import phase_search as phase
from benchmarks.sound.systems import encoded
from stylecore.folded_alexnet import load_encoder
from stylecore.settings import Settings
from stylecore.synthesis import losses_of, synthesise
from tests.benchmarks.conftest import QUICK


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a few steps of each kind."""
    monkeypatch.setattr(phase, "GRIFFIN_LIM_ITERATIONS", (1, 2, 20))
    monkeypatch.setattr(phase, "SOUND_ITERATIONS", (1, 2, 6))
    monkeypatch.setattr(phase, "EVALUATIONS_BETWEEN", 2)


@pytest.mark.usefixtures("short")
def test_every_step_is_measured_and_does_what_its_name_says(pairs_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "phase.json"
    phase.main(["--pairs", str(pairs_csv), "--limit", "1", "--out", str(out), *QUICK])
    report = json.loads(out.read_text())
    means = report["means"]
    assert {row["pair_id"] for row in report["results"]} == {"one"}
    assert len(means) == len(report["results"]) == 1 + 3 * 2 * 3 + 3 * 3 + 1
    for name, row in means.items():
        known = {"loss"} if name.startswith("none") else set(row)
        assert {figure for figure, value in row.items() if value is not None} == known

    def of(figure: str, *names: str) -> list[float]:
        return [means[name][figure] for name in names]

    by_start = [
        of("spectral_convergence_db", *(f"Griffin-Lim, {start}, momentum 0, {n} iterations" for n in (1, 20)))
        for start in ("random phase", "content's phase")
    ]
    assert all(after < before for before, after in by_start)
    together = "log-spectrogram and phase, consistency"
    first, last = of("loss", f"{together} 50, 1 evaluations", f"{together} 50, 6 evaluations")
    assert last < first
    # Nothing has moved after the first evaluation: it is the log-spectrogram of Griffin-Lim's own sound.
    assert first == pytest.approx(means["Griffin-Lim, spliced phase, momentum 0, 2 iterations"]["loss"], rel=1e-3)
    free, held = of("spectral_convergence_db", *(f"{together} {kappa}, 6 evaluations" for kappa in (0, 500)))
    assert held < free


@pytest.mark.usefixtures("short")
def test_the_stage_on_the_sound_is_the_synthesis_own(pairs_csv: Path) -> None:
    pair = read_pairs(pairs_csv)[0]
    encoder = load_encoder()
    settings = Settings(coarse_iterations=2, iterations=2, griffin_lim_iterations=2, sound_iterations=0)
    rows = {str(row["step"]): row for row in phase.measured(pair, settings, encoder)}
    whole = settings.resolve({"sound_iterations": 6, "consistency": 500.0})
    own = encoded(whole, encoder, pair.content.samples, pair.style.samples)
    (result,) = synthesise([own], encoder)
    terms = losses_of(own, encoder, result.waveform)
    loss = sum(weight * value for weight, value in zip(whole.weights, terms.values(), strict=True))
    assert rows["log-spectrogram and phase, consistency 500, 6 evaluations"]["loss"] == pytest.approx(loss, rel=1e-4)


def test_the_document_has_a_place_for_the_table(
    pairs_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "quality.md"
    document.write_text(DOCUMENT.read_text())
    monkeypatch.setattr(phase, "DOCUMENT", document)
    row = {"pair_id": "a", "step": "none", "loss": 1.0, "spectral_convergence_db": None, "cpu_seconds_per_second": None}
    monkeypatch.setattr(phase, "measured", lambda *_: [{**row, **dict.fromkeys(phase.FIGURES, 0.5)}])
    phase.main(["--pairs", str(pairs_csv), "--out", str(tmp_path / "phase.json"), "--document"])
    text = document.read_text()
    assert "--document`; means of 2 pairs." in text
    assert "| none |              - | 1.00 |   0.50 |" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--set", "alpah=1"], "alpah='1': unknown setting"), (["--pairs", "nowhere.csv"], "makes the evaluation set")],
)
def test_a_mistaken_command_says_what_to_write(pairs_csv: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        phase.main(["--pairs", str(pairs_csv), *arguments])
