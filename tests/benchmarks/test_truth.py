"""Towards the truth: what the figures mean, which systems meet which pairs, resumption, tables and document."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.judged_pairs import PairsError, read_pairs
from benchmarks.marked_tables import DOCS, rewrite
from benchmarks.sound import truth
from benchmarks.sound.baselines import matched_equaliser, plain_mix
from benchmarks.sound.finished_results import key_of
from benchmarks.sound.laid_out_style import mosaic_system
from benchmarks.sound.random_cnn import PeerSettings
from benchmarks.sound.systems import System
from benchmarks.sound.truth_figures import FRAMES, TRANSFERS, TRUTH_FIGURES, over_time, pitch_kept, towards_truth
from benchmarks.sound.truth_tables import truth_blocks, truth_mean_table, truth_tables
from stylecore.melody import Melody, melody
from stylecore.settings import preset
from tests.benchmarks.conftest import QUICK

RATE = 16_000
MELODY_HZ = (262.0, 330.0, 392.0, 294.0)


def played(harmonics: dict[int, float], notes_hz: tuple[float, ...] = MELODY_HZ, note_s: float = 0.3) -> np.ndarray:
    """Return notes, one after the other, of an instrument that is its harmonics' amplitudes."""
    time_s = np.arange(round(note_s * RATE)) / RATE
    fade = np.minimum(1.0, 40.0 * np.minimum(time_s, note_s - time_s))
    tones = [
        sum(level * np.sin(2 * np.pi * number * hz * time_s) for number, level in harmonics.items()) * fade
        for hz in notes_hz
    ]
    return 0.2 * np.concatenate(tones)


DULL = {1: 1.0, 2: 0.2}
BRIGHT = {1: 0.6, 2: 0.4, 3: 0.6, 4: 0.5, 5: 0.6, 6: 0.4, 7: 0.4, 8: 0.3, 9: 0.3}
CONTENT, TRUTH = played(DULL), played(BRIGHT)
STYLE = played(BRIGHT, (220.0,), 1.2)


@pytest.fixture
def pairs_csv(tmp_path: Path) -> Path:
    """Return a list of two pairs with their truth."""
    for name, sound in (
        ("content", CONTENT),
        ("style", STYLE),
        ("truth", TRUTH),
        ("other", played(BRIGHT, (247.0, 294.0))),
    ):
        soundfile.write(tmp_path / f"{name}.flac", sound, RATE, subtype="PCM_24")
    path = tmp_path / "pairs.csv"
    rows = ["one,held,A,content.flac,style.flac,truth.flac", "two,phrase,B,content.flac,other.flac,truth.flac"]
    path.write_text("\n".join(["pair_id,kind,soundfont,content,style,truth", *rows]))
    return path


def run(pairs_csv: Path, *more: str) -> dict:
    """Run the command and return its report."""
    out = pairs_csv.parent / "out"
    truth.main(["--pairs", str(pairs_csv), "--out", str(out), *QUICK, *more])
    return json.loads((out / "truth.json").read_text())


def test_the_truth_is_one_and_the_content_zero_at_any_level() -> None:
    of_truth, of_content = over_time(0.3 * TRUTH, CONTENT, 2.0 * TRUTH), over_time(0.3 * CONTENT, 5.0 * CONTENT, TRUTH)
    for name in FRAMES:
        assert of_truth[name] == pytest.approx(1, abs=1e-6), name
        assert of_content[name] == pytest.approx(0, abs=1e-6), name
    assert of_truth["melody"] == pytest.approx(1, abs=1e-6)


def test_half_way_is_between_and_the_wrong_melody_is_below() -> None:
    half_way = {number: (DULL.get(number, 0.0) + level) / 2 for number, level in BRIGHT.items()}
    nearer = over_time(played(half_way), CONTENT, TRUTH)
    for name in FRAMES:
        value = nearer[name]
        assert value is not None
        assert 0.2 < value < 0.95, name
    wrong = over_time(played(BRIGHT, (370.0, 415.0, 233.0, 554.0)), CONTENT, TRUTH)
    assert wrong["melody"] is not None
    assert nearer["melody"] is not None
    assert wrong["melody"] < 0.5 < nearer["melody"]
    assert wrong["partials"] is not None
    assert wrong["partials"] < 0


def test_neither_a_fader_nor_an_equaliser_gets_there() -> None:
    for baseline in (plain_mix, matched_equaliser):
        found = over_time(baseline(CONTENT, STYLE), CONTENT, TRUTH)
        assert all(found[name] is not None and found[name] < 0.75 for name in FRAMES), baseline  # type: ignore[operator]


def test_what_is_not_defined_is_none_and_silence_is_measured() -> None:
    same = over_time(TRUTH, TRUTH, TRUTH)
    assert [same[name] for name in FRAMES] == [None] * len(FRAMES)
    silent = over_time(np.zeros(len(TRUTH)), CONTENT, TRUTH)
    assert all(np.isfinite(float(str(value))) for value in silent.values())
    assert silent["melody"] == 0
    assert over_time(TRUTH, CONTENT, np.zeros(len(TRUTH)))["melody"] is None


def test_a_result_that_is_cut_short_lacks_what_is_missing() -> None:
    found = over_time(TRUTH[: len(TRUTH) // 2], CONTENT, TRUTH)
    assert found["melody"] is not None
    assert found["melody"] < 0.6
    longer = over_time(np.concatenate([TRUTH, TRUTH]), CONTENT, TRUTH)
    assert longer["mel"] == pytest.approx(1, abs=0.05)


def test_every_figure_of_the_truth_is_one_where_it_is_defined(pairs_csv: Path) -> None:
    pair = read_pairs(pairs_csv)[0]
    assert pair.truth is not None
    rendered = truth.truth_systems({}, [CONTENT])["content"].render(pair.content.samples, pair.style.samples)
    right, left = (towards_truth(sound.samples, 1.0, rendered, pair) for sound in (pair.truth, pair.content))
    assert right.keys() == set(TRUTH_FIGURES)
    assert right["pitch"] == 1
    assert all(right[name] is not None for name in TRANSFERS)
    for name in TRUTH_FIGURES:
        assert right[name] is None or right[name] == pytest.approx(1, abs=1e-6), name
        assert name in ("melody", "pitch") or left[name] is None or left[name] == pytest.approx(0, abs=1e-6), name


def test_the_pitch_is_that_of_the_truth_and_asks_for_single_voices() -> None:
    def heard(sound: np.ndarray) -> Melody:
        return melody(sound / np.abs(sound).max())

    content, wanted = heard(CONTENT), heard(TRUTH)
    assert pitch_kept(CONTENT, content, wanted) == pytest.approx(1, abs=0.1)
    octave_up = played(BRIGHT, tuple(2 * hz for hz in MELODY_HZ))
    assert pitch_kept(octave_up, content, wanted) == pytest.approx(0, abs=0.1)
    noise = np.random.default_rng(0).normal(size=len(CONTENT))
    assert pitch_kept(TRUTH, heard(noise), wanted) is None
    assert pitch_kept(TRUTH, content, heard(noise)) is None
    assert pitch_kept(np.zeros(len(TRUTH)), content, wanted) is None


def test_another_truth_is_another_result(pairs_csv: Path) -> None:
    before, system = read_pairs(pairs_csv)[0], System("mix", "both", {}, lambda content, style: None)  # type: ignore[arg-type, return-value]
    (pairs_csv.parent / "truth.flac").write_bytes((pairs_csv.parent / "other.flac").read_bytes())
    assert key_of(read_pairs(pairs_csv)[0], system) != key_of(before, system)


def test_a_run_goes_on_where_it_was_stopped(pairs_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(pairs_csv, "--systems", "content,mix")
    assert [(row["pair_id"], row["system"]) for row in report["results"]] == [
        (pair, name) for pair in ("one", "two") for name in ("content", "mix")
    ]
    assert report["means"]["content"]["mel"] == pytest.approx(0, abs=1e-3)
    printed = capsys.readouterr().out
    for title in ("all 2 pairs, means", "held, means", "phrase, means", "A, means", "B, means"):
        assert title in printed
    run(pairs_csv, "--systems", "content,mix,default")
    assert "6 results: 4 finished, 2 to compute" in capsys.readouterr().out
    again = run(pairs_csv, "--systems", "content,mix")
    assert "4 finished, 0 to compute" in capsys.readouterr().out
    assert again["results"] == report["results"]


def test_the_peer_meets_few_pairs_and_comes_last(pairs_csv: Path) -> None:
    pairs = [read_pairs(pairs_csv)[0]] * 56
    systems = truth.truth_systems({}, [CONTENT])
    assert list(systems)[-1] == "random-cnn"
    assert {"content", "default", "equaliser", "mix", "paper", "random", "no-style"} <= systems.keys()
    assert {system.group for system in systems.values()} == {"system", "peer"}
    planned = truth.planned(pairs, systems)
    assert [system.name for _, system in planned[-truth.PEER_PAIRS :]] == ["random-cnn"] * truth.PEER_PAIRS
    assert len(planned) == 56 * (len(systems) - 1) + truth.PEER_PAIRS


def test_a_peer_is_judged_as_the_others_are(pairs_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = PeerSettings(filters=8, iterations=2, phase_iterations=2)
    monkeypatch.setattr(truth, "PeerSettings", lambda: tiny)
    report = run(pairs_csv, "--systems", "mix,random-cnn", "--limit", "1")
    assert [row["system"] for row in report["results"]] == ["mix", "random-cnn"]
    assert all(row["mel"] is not None for row in report["results"])


def test_a_mosaic_of_the_truth_is_near_it() -> None:
    systems = truth.truth_systems({}, [CONTENT])
    assert list(systems)[-2:] == ["mosaic", "random-cnn"]
    rendered = mosaic_system(preset("default")).render(CONTENT, TRUTH)
    assert len(rendered.samples) == len(CONTENT)
    found = over_time(rendered.samples, CONTENT, TRUTH)
    assert found["mel"] is not None
    assert found["mel"] > 0.3


def _rows(systems: list[str], pairs: list[str]) -> list[dict[str, object]]:
    values = {**dict.fromkeys(TRUTH_FIGURES), "mel": 0.25, "cpu_seconds_per_second": 0.5, "error": None}
    return [{"pair_id": pair, "system": name, **values} for pair in pairs for name in systems]


def test_tables_keep_the_peer_on_its_own_pairs(pairs_csv: Path) -> None:
    pairs = read_pairs(pairs_csv)
    systems = {
        name: System(name, f"what {name} is", {}, lambda content, style: None, group)  # type: ignore[arg-type, return-value]
        for name, group in (("default", "system"), ("no-style", "system"), ("random-cnn", "peer"))
    }
    rows = [*_rows(["default", "no-style"], ["one", "two"]), *_rows(["random-cnn"], ["two"])]
    tables = truth_tables(rows, pairs, systems)
    assert list(tables) == ["all 2 pairs", "held", "phrase", "A", "B", "beside the peer, on its pairs"]
    assert [title for title, table in tables.items() if "random-cnn" in table] == ["beside the peer, on its pairs"]
    assert tables["all 2 pairs"] == truth_mean_table(rows[:4])
    assert [line.split("|")[-2].strip() for line in tables["held"].splitlines()[2:]] == ["1", "1"]
    blocks = truth_blocks(rows, pairs, systems, "python -m benchmarks.sound.truth --document")
    assert "- `random-cnn`: what random-cnn is" in blocks["truth"]
    assert blocks["truth"].startswith("Made by `python -m benchmarks.sound.truth --document`.")
    assert re.search(r"the right answers themselves keep of their contents: rhythm 0\.\d\d, dynamics", blocks["truth"])
    assert "default - no-style" in blocks["truth-significance"]
    assert truth_blocks(rows[4:], pairs, systems, "").keys() == {"truth"}


def test_the_document_has_room_for_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "quality.md"
    path.write_text((DOCS / "quality.md").read_text())
    rewrite(path, {"truth": "these tables", "truth-significance": "this one"})
    assert "<!-- truth -->\nthese tables\n<!-- end of truth -->" in path.read_text()


def test_a_mistaken_command_says_what_to_write(pairs_csv: Path) -> None:
    for arguments, message in ((["--limit", "0"], "2"), (["--systems", "half"], "unknown; known are content")):
        with pytest.raises(SystemExit, match=message):
            truth.main(["--pairs", str(pairs_csv), *arguments])
    with pytest.raises(SystemExit, match="truth_set` makes the truth set"):
        truth.main(["--pairs", str(pairs_csv.parent / "gone.csv")])
    pairs_csv.write_text("content,style\ncontent.flac,style.flac\n")
    with pytest.raises(PairsError, match="has no truth"):
        truth.read_true_pairs(pairs_csv)
