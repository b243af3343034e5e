"""The quality table: resumption, what makes a result another one, tables, report and document."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.judged_pairs import PairsError, all_sounds, read_pairs
from benchmarks.markdown_tables import mean_table, pair_table
from benchmarks.marked_tables import DOCS, blocks, rewrite, write_documents
from benchmarks.sound import judging as measuring
from benchmarks.sound import quality
from benchmarks.sound.finished_results import Ledger
from benchmarks.sound.judging import judged
from benchmarks.sound.systems import WEIGHTS, Diverged, System, all_systems
from stylecore.figures import FIGURES
from stylecore.settings import Settings, preset
from tests.benchmarks.conftest import QUICK

FIGURE_NAMES = [figure.name for figure in FIGURES]
SYSTEMS = [
    "content",
    "default",
    "equaliser",
    "mix",
    "paper",
    "style-notes",
    "style-notes-random",
    "style-notes-no-style",
    "random",
    "no-content",
    "no-style",
    "no-temporal",
    "no-spectral",
]
CHOICES = {
    "no-salience": {"salience": 0.0},
    "griffin-lim": {"iterations": 23, "sound_iterations": 0, "griffin_lim_iterations": 60},
    "no-consistency": {"consistency": 0.0},
    "no-temporal-bands": {"temporal_bands": 0},
    "no-spectral-bands": {"spectral_bands": 0},
    "one-gram": {"style_bands": 1},
    "content-4-5": {"content_layers": [4, 5]},
    "content-2-3": {"content_layers": [2, 3]},
    "style-3-4-5": {"style_layers": [3, 4, 5]},
    "adam": {"optimiser": "adam"},
    "coarse-to-fine": {"coarse_iterations": 20, "start": "noise"},
    "twice": {"coarse_iterations": 0, "iterations": 16, "sound_iterations": 30},
    "half": {"coarse_iterations": 0, "iterations": 4, "sound_iterations": 7},
}
NAMES = [*SYSTEMS, *CHOICES]
STARTING_POINT = {"coarse_iterations": 0, "iterations": 8, "sound_iterations": 15}


def run(pairs_csv: Path, *more: str) -> dict:
    """Run the command and return its report."""
    out = pairs_csv.parent / "out"
    quality.main(["--pairs", str(pairs_csv), "--out", str(out), *QUICK, *more])
    return json.loads((out / "quality.json").read_text())


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return the list of what is computed from here on."""
    seen: list[tuple[str, str]] = []

    def counted(pair, system, folder):  # type: ignore[no-untyped-def]
        seen.append((pair.pair_id, system.name))
        return measuring.judged(pair, system, folder)

    monkeypatch.setattr(quality, "judged", counted)
    return seen


@pytest.mark.slow
def test_every_system_judges_every_pair(pairs_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(pairs_csv)
    out = pairs_csv.parent / "out"
    assert [(row["pair_id"], row["system"]) for row in report["results"]] == [
        (pair, name) for pair in ("one", "violin-x-fork") for name in NAMES
    ]
    of = {(row["pair_id"], row["system"]): row for row in report["results"]}
    assert of["one", "content"]["timbre_transfer"] == pytest.approx(0, abs=1e-4)
    assert of["one", "content"]["pitch_kept"] == pytest.approx(1, abs=1e-4)
    assert of["one", "content"]["spectral_convergence_db"] is None
    assert of["one", "equaliser"]["timbre_transfer"] > 0.2
    assert of["one", "default"]["spectral_convergence_db"] < 0
    assert of["one", "default"]["evaluations"] == 6
    assert of["one", "default"]["cpu_seconds_per_second"] > of["one", "content"]["cpu_seconds_per_second"]
    assert report["means"]["mix"]["rhythm_kept"] == pytest.approx(
        np.mean([of[pair, "mix"]["rhythm_kept"] for pair in ("one", "violin-x-fork")])
    )
    for pair in ("one", "violin-x-fork"):
        assert soundfile.info(out / "audio" / "default" / f"{pair}.flac").frames == 6_400
        assert (out / "log_spectrograms" / f"{pair}.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert f"[{2 * len(NAMES)}/{2 * len(NAMES)}] violin-x-fork: half" in printed
    assert "systems, means of 2 pairs" in printed
    assert "what each choice does, means of 2 pairs" in printed


def test_a_second_run_computes_nothing_and_says_the_same(pairs_csv: Path, computed: list) -> None:
    first = run(pairs_csv, "--systems", "mix,content")
    assert len(computed) == 4
    second = run(pairs_csv, "--systems", "content,mix")
    assert len(computed) == 4
    assert second["results"] == first["results"]


@pytest.mark.slow
def test_two_processes_find_what_one_finds_and_share_its_ledger(
    pairs_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("--systems", "content,mix,default,no-consistency")
    parallel = run(pairs_csv, *chosen, "--jobs", "2")
    ledger = pairs_csv.parent / "out" / "finished.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert sorted(line["key"] for line in lines) == sorted(row["key"] for row in parallel["results"])
    capsys.readouterr()
    assert run(pairs_csv, *chosen)["results"] == parallel["results"]
    assert "8 finished, 0 to compute" in capsys.readouterr().out
    ledger.unlink()
    alone = run(pairs_csv, *chosen)
    assert "0 finished, 8 to compute" in capsys.readouterr().out
    for row, other in zip(alone["results"], parallel["results"], strict=True):
        assert row.pop("cpu_seconds_per_second") >= 0
        assert other.pop("cpu_seconds_per_second") >= 0
        assert row == other


def test_a_kill_in_the_middle_of_a_line_costs_one_result(pairs_csv: Path, computed: list) -> None:
    run(pairs_csv, "--systems", "content,mix")
    ledger = pairs_csv.parent / "out" / "finished.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-40])
    computed.clear()
    run(pairs_csv, "--systems", "content,mix")
    assert computed == [("violin-x-fork", "mix")]
    run(pairs_csv, "--systems", "content,mix")
    assert len(computed) == 1
    assert len([line for line in ledger.read_text().splitlines() if line.endswith("}")]) == 4


def test_changed_sounds_settings_and_audio_are_computed_anew(
    pairs_csv: Path, computed: list, capsys: pytest.CaptureFixture[str]
) -> None:
    run(pairs_csv, "--systems", "content,default")
    computed.clear()
    run(pairs_csv, "--systems", "content,default", "--set", "alpha=3")
    assert computed == [("one", "default"), ("violin-x-fork", "default")]
    assert "2 to compute, 2 of them anew" in capsys.readouterr().out
    computed.clear()
    (pairs_csv.parent / "out" / "audio" / "content" / "one.flac").unlink()
    run(pairs_csv, "--systems", "content")
    assert computed == [("one", "content")]
    computed.clear()
    samples, rate = soundfile.read(pairs_csv.parent / "fork.wav")
    soundfile.write(pairs_csv.parent / "fork.wav", samples * 0.5, rate)
    run(pairs_csv, "--systems", "content")
    assert computed == [("violin-x-fork", "content")]


def test_changed_code_is_computed_anew(pairs_csv: Path, computed: list, monkeypatch: pytest.MonkeyPatch) -> None:
    run(pairs_csv, "--systems", "mix")
    monkeypatch.setattr("benchmarks.sound.finished_results.code_digest", lambda: "other code")
    computed.clear()
    run(pairs_csv, "--systems", "mix")
    assert len(computed) == 2


def test_systems_differ_in_what_their_names_say(pairs_csv: Path) -> None:
    sounds = [sound.samples for sound in all_sounds(read_pairs(pairs_csv))]
    systems = all_systems({}, sounds)
    assert list(systems) == NAMES
    identities = {name: dict(system.identity) for name, system in systems.items()}
    default = Settings().model_dump(mode="json")
    assert identities["default"]["settings"] == default
    assert identities["paper"]["settings"] == preset("paper").model_dump(mode="json")
    for term, weight in WEIGHTS.items():
        assert identities[f"no-{term}"] == {**identities["default"], "settings": {**default, weight: 0.0}}
    started = {**default, **STARTING_POINT}
    of_started = all_systems(STARTING_POINT, sounds)
    for choice, undone in CHOICES.items():
        assert dict(of_started[choice].identity)["settings"] == {**started, **undone}
        assert identities[choice] != identities["default"], f"{choice} is what the default does anyway"
    assert [name for name, system in systems.items() if system.group == "choice"] == list(CHOICES)
    assert identities["random"]["settings"] == default
    assert identities["random"]["weights"] != identities["default"]["weights"]


def test_a_diverged_pair_is_a_row_without_figures(pairs_csv: Path, tmp_path: Path) -> None:
    def diverge(content: np.ndarray, style: np.ndarray) -> None:
        raise Diverged("the optimisation diverged")

    pair = read_pairs(pairs_csv)[0]
    row = judged(pair, System("default", "", {}, diverge), tmp_path)  # type: ignore[arg-type]
    assert row["error"] == "the optimisation diverged"
    assert all(row[name] is None for name in FIGURE_NAMES)
    ledger = Ledger(tmp_path / "out")
    ledger.add({"key": "k", **row})
    assert Ledger(tmp_path / "out").finished("k") == {"key": "k", **row}
    assert mean_table([row]).splitlines()[-1].split("|")[-2].strip() == "0"


def test_tables_show_what_is_unknown_and_what_arrived() -> None:
    figures = dict.fromkeys([*FIGURE_NAMES, "cpu_seconds_per_second"], 0.25)
    rows = [
        {"pair_id": "a", "system": "default", "error": None, **figures, "bandwidth_shift": 0.5},
        {"pair_id": "b", "system": "default", "error": None, **figures, "bandwidth_shift": 1.6},
        {"pair_id": "c", "system": "default", "error": None, **figures, "bandwidth_shift": None},
    ]
    header, _, line = (row.split("|") for row in pair_table(rows[2:]).splitlines())
    shown = {name.strip(): value.strip() for name, value in zip(header, line, strict=True)}
    assert (shown["timbre"], shown["melody"], shown["bandwidth"]) == ("0.25", "0.25", "-")
    header, _, line = (row.split("|") for row in mean_table(rows).splitlines())
    shown = {name.strip(): value.strip() for name, value in zip(header, line, strict=True)}
    assert shown["bandwidth arrived"] == "0.50"
    assert shown["timbre"] == "0.25"
    assert shown["pairs"] == "3"


def test_the_document_takes_the_tables_and_their_command(tmp_path: Path) -> None:
    figures = dict.fromkeys([*FIGURE_NAMES, "cpu_seconds_per_second"], 0.25)
    rows = [{"pair_id": pair, "system": "mix", "error": None, **figures} for pair in ("a", "b")]
    systems = {"mix": System("mix", "both", {}, lambda content, style: None)}  # type: ignore[arg-type, return-value]
    path = tmp_path / "quality.md"
    for name in ("quality.md", "method.md"):
        (tmp_path / name).write_text((DOCS / name).read_text())
    for _ in range(2):
        write_documents(tmp_path, rows, systems, "python -m benchmarks.sound.quality --document")
    text = path.read_text()
    assert text.count("Made by `python -m benchmarks.sound.quality --document`.") == 3
    assert "- `mix`: both" in text
    assert "choices" not in blocks(rows, systems, "")
    systems["half"] = System("half", "less", {}, systems["mix"].render, "choice")
    rows += [{**row, "system": "half"} for row in rows]
    found = blocks(rows, systems, "")
    assert [name for name, block in found.items() if "| half" in block] == ["choices"]
    assert "- `half`: less" in found["choices"]
    assert found["pairs"].count("### ") == 2
    write_documents(tmp_path, rows, systems, "")
    assert "- `half`: less" in (tmp_path / "method.md").read_text()
    path.write_text("no markers")
    with pytest.raises(ValueError, match="no block"):
        write_documents(tmp_path, rows, systems, "")


def test_the_document_says_which_differences_are_more_than_chance(tmp_path: Path) -> None:
    figures = dict.fromkeys([*FIGURE_NAMES, "cpu_seconds_per_second"], 0.25)
    rows = [
        {"pair_id": pair, "system": name, "error": None, **figures, "rhythm_kept": value}
        for name, values in (("default", (0.5, 0.7)), ("random", (0.2, 0.3)))
        for pair, value in zip("ab", values, strict=True)
    ]
    systems = {name: System(name, "", {}, lambda c, s: None) for name in ("default", "random")}  # type: ignore[arg-type, return-value]
    block = blocks(rows, systems, "python -m benchmarks.sound.quality")["significance"]
    assert block.startswith("Made by `python -m benchmarks.sound.quality`.")
    cells = [cell.strip() for line in block.splitlines() if line.startswith("| rhythm") for cell in line.split("|")]
    assert cells[1:-1] == ["rhythm", "+0.350", "7.0", "2"]
    assert "significance" not in blocks(rows[:2], systems, "")
    (tmp_path / "quality.md").write_text((DOCS / "quality.md").read_text())
    rewrite(tmp_path / "quality.md", {"significance": block})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("content,style\n", "at least one pair"),
        ("content,other\na.wav,b.wav\n", "columns content and style"),
        ("content,style,pair_id\na.wav,b.wav,x\nb.wav,a.wav,x\n", "more than one pair is named x"),
        ("content,style,pair_id\na.wav,b.wav,x/y\n", "leave out the slashes"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(PairsError, match=message):
        read_pairs(tmp_path / "pairs.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--systems", "magic"], "systems=magic: unknown; known are content, default"),
        (["--set", "alpah=1"], "alpah='1': unknown setting"),
        (["--jobs", "0"], "2"),
        (["--pairs", "nowhere.csv"], "makes the evaluation set"),
    ],
)
def test_a_mistaken_command_says_what_to_write(pairs_csv: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        quality.main(["--pairs", str(pairs_csv), *arguments])
