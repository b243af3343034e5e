"""The truth set: how it is composed, that content and truth play the same, and that it comes out the same again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import mido
import numpy as np
import pytest

from benchmarks.judged_pairs import read_pairs
from benchmarks.sound import truth_set
from benchmarks.sound.sound_sources import SourceMissing
from benchmarks.sound.truth_notes import SOUND_S, Note, chords, drums, held_note, melody, write_midi
from benchmarks.sound.truth_set import FONTS, KINDS, NAMES, Recipe, make_set, recipes
from stylecore.features import comparison
from stylecore.figures import rhythm_kept
from stylecore.pretraining.notes import PLAYABLE_RANGES

FEW = [Recipe("phrase", FONTS[1], 0, 68), Recipe("drums", FONTS[1], 0, 25)]


def test_every_kind_has_its_pairs_in_every_soundfont() -> None:
    count = Counter((recipe.kind, recipe.font) for recipe in recipes())
    assert count.keys() == {(kind, font) for kind in KINDS for font in FONTS}
    assert sum(count.values()) >= 40
    assert min(count.values()) >= 4
    assert len({recipe.pair_id for recipe in recipes()}) == sum(count.values())


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.pair_id)
def test_content_and_truth_play_the_same_and_the_style_something_else(recipe: Recipe) -> None:
    parts = recipe.parts()
    assert parts["content"][0] == parts["truth"][0] != parts["style"][0]
    assert parts["style"][1] == parts["truth"][1] != parts["content"][1]
    assert len(parts["style"][0]) == 1 or recipe.kind != "held"
    for notes, program in parts.values():
        assert len({note.start_s for note in notes}) >= (1 if recipe.kind == "held" else 4)
        assert all(0 <= note.start_s < note.start_s + note.length_s < SOUND_S for note in notes)
        if recipe.kind in ("held", "phrase"):
            low, high = PLAYABLE_RANGES[program]
            assert all(low <= note.pitch <= high for note in notes), NAMES[program]


@pytest.mark.parametrize("draw", [melody, held_note, chords])
def test_what_is_played_depends_on_the_seed_and_stays_in_range(draw) -> None:  # type: ignore[no-untyped-def]
    drawn = [draw(np.random.default_rng(seed), 50, 72) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert any(other != drawn[0] for other in drawn[2:])
    pitches = [note.pitch for notes in drawn for note in notes]
    assert 50 <= min(pitches) <= max(pitches) <= 72


def test_a_beat_is_likely_where_it_belongs() -> None:
    played = [note for seed in range(40) for note in drums(np.random.default_rng(seed))]
    sixteenths = {
        drum: Counter(round((n.start_s - 0.05) / 0.125) % 8 for n in played if n.pitch == drum) for drum in (36, 38)
    }
    assert sixteenths[36].most_common(2)[1][1] > 2 * sixteenths[36][1]
    assert sixteenths[38].most_common(1)[0][0] == 4


def test_midi_keeps_the_times_and_ends_a_note_before_it_is_repeated(tmp_path: Path) -> None:
    notes = [Note(0.5, 0.5, 60, 90), Note(0.0, 0.5, 60, 80), Note(0.25, 1.0, 67, 70)]
    write_midi(tmp_path / "a.mid", notes, program=40, channel=3)
    now, events = 0.0, []
    for message in mido.MidiFile(tmp_path / "a.mid"):
        now += message.time
        if message.type in ("note_on", "note_off"):
            events.append((round(now, 3), message.type, message.note))
    assert events == [
        (0.0, "note_on", 60),
        (0.25, "note_on", 67),
        (0.5, "note_off", 60),
        (0.5, "note_on", 60),
        (1.0, "note_off", 60),
        (1.25, "note_off", 67),
    ]


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth_set, "SOUNDFONTS", tmp_path)
    with pytest.raises(SourceMissing, match="apt-get install fluidsynth fluid-soundfont-gm timgm6mb-soundfont"):
        make_set(tmp_path / "set")
    assert not (tmp_path / "set").exists()
    (tmp_path / FONTS[1]).touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceMissing, match="fluidsynth is not installed: `apt-get install fluidsynth`"):
        make_set(tmp_path / "set", FEW)


@pytest.mark.slow
def test_the_set_is_made_the_same_again_and_truth_keeps_the_rhythm(tmp_path: Path) -> None:
    """All of it; the steps by themselves are tried above."""
    try:
        make_set(tmp_path / "first", FEW)
    except SourceMissing as error:
        pytest.skip(str(error))
    make_set(tmp_path / "second", FEW)
    make_set(tmp_path / "second", FEW)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "second").iterdir())
    assert len(names) == 3 * len(FEW) + 1
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    for pair, recipe in zip(read_pairs(tmp_path / "first" / "pairs.csv"), FEW, strict=True):
        assert pair.groups == (recipe.kind, "TimGM6mb")
        assert pair.truth is not None
        for sound in (pair.content, pair.style, pair.truth):
            assert sound.seconds == SOUND_S
            assert np.abs(sound.samples).max() == pytest.approx(0.8, abs=1e-3)
        kept = rhythm_kept(comparison(pair.truth.features, pair.content.features, pair.style.features, "content"))
        other = rhythm_kept(comparison(pair.style.features, pair.content.features, pair.style.features, "content"))
        assert kept is not None
        assert other is not None
        assert kept > max(other, 0.5)
