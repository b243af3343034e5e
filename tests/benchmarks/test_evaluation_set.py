"""The evaluation set: how it is composed, what it says when a package is missing, and that it comes out the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.judged_pairs import read_pairs
from benchmarks.sound import sound_sources as sources
from benchmarks.sound.evaluation_set import PAIRS, SOUNDS, known_digests, levelled, make_set
from benchmarks.sound.sound_sources import Beat, Cut, Phrase, SourceMissing, check_installed
from stylecore.figures import BANDWIDTH_CONTRAST

KINDS = {sound.name: sound.kind for sound in SOUNDS}
VOICES, DRUMS, NOISES = {"singing", "speech"}, {"drums"}, {"noise", "drums"}


def test_no_sound_and_no_combination_of_kinds_dominates() -> None:
    uses = Counter(name for pair in PAIRS for name in pair)
    assert uses.keys() == KINDS.keys() == known_digests().keys()
    assert max(uses.values()) <= 3
    assert max(Counter((KINDS[content], KINDS[style]) for content, style in PAIRS).values()) == 1


def test_voices_drums_and_noises_meet_instruments() -> None:
    kinds = [(KINDS[content], KINDS[style]) for content, style in PAIRS]
    pitched = {kind for kind in KINDS.values() if kind not in VOICES | NOISES}
    assert len(PAIRS) == 20
    assert sum(content in VOICES and style in pitched for content, style in kinds) >= 4
    assert sum(content in DRUMS and style in pitched for content, style in kinds) >= 3
    assert sum(content in pitched and style in NOISES for content, style in kinds) >= 2
    assert sum(content in pitched and style in pitched for content, style in kinds) >= 9


def test_all_missing_packages_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PATCHES", tmp_path / "no-patches")
    monkeypatch.setattr(sources, "KITS", tmp_path / "no-kits")
    with pytest.raises(SourceMissing, match="apt-get install freepats hydrogen-drumkits timidity"):
        check_installed([Phrase("a", "C4 1"), Beat("kit", (("snare.flac", "x"),), 0.1)])
    with pytest.raises(SourceMissing, match="is the checkout of the repository whole"):
        check_installed([Cut(tmp_path / "gone.flac")])


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceMissing, match="timidity is not installed: `apt-get install timidity`"):
        Phrase("a", "C4 1").samples()


def test_strokes_fall_on_their_sixteenths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "KITS", tmp_path)
    soundfile.write(tmp_path / "click.wav", np.eye(1, 160)[0] * 0.5, 16_000, subtype="FLOAT")
    played = Beat(".", (("click.wav", "x.o."),), sixteenth_s=0.1, bars=2).samples()
    strokes = np.flatnonzero(played)
    np.testing.assert_array_equal(strokes, [0, 3_200, 6_400, 9_600])
    np.testing.assert_allclose(played[strokes], [0.5, 0.2, 0.5, 0.2])


def test_a_sound_begins_at_once_and_ends_softly() -> None:
    sound = levelled(np.concatenate([np.full(4_000, 1e-4), np.full(32_000, 0.1)]), 1.5)
    assert len(sound) == 24_000
    assert sound[0] == pytest.approx(0.8)
    assert sound[-1] == 0


@pytest.mark.slow
def test_the_set_is_made_whole_and_the_same_again(tmp_path: Path) -> None:
    """All of it; the steps by themselves are tried above."""
    try:
        check_installed([sound.source for sound in SOUNDS])
        first = make_set(tmp_path / "first")
    except SourceMissing as error:
        pytest.skip(str(error))
    make_set(tmp_path / "second")
    names = [f"sounds/{sound.name}.flac" for sound in SOUNDS]
    for name in [*names, "pairs.csv", "pairs.parquet", "SOURCES.csv"]:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    pairs = read_pairs(tmp_path / "first" / "pairs.csv")
    for sound in {id(sound): sound for pair in pairs for sound in (pair.content, pair.style)}.values():
        assert 2.57 <= sound.seconds <= 4
        assert np.abs(sound.samples).max() == pytest.approx(0.8, abs=1e-3)
        assert np.abs(sound.samples[:800]).max() > 0.01
    widths = [[sound.features.descriptors["bandwidth_hz"] for sound in (pair.content, pair.style)] for pair in pairs]
    assert sum(abs(s - c) > BANDWIDTH_CONTRAST * c for c, s in widths if c is not None and s is not None) >= 6
    assert set(first) <= KINDS.keys()  # another version of a package may play differently; the command then says so
