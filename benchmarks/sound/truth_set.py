"""Make the truth set: `python -m benchmarks.sound.truth_set [FOLDER]`.

Pairs of which the right answer is known. The content is a phrase on instrument A, the truth is the same phrase on
instrument B, and the style is something else on B: one held note, another phrase, other chords, another drum pattern.
All are rendered dry by fluidsynth, from two soundfonts; one of them trained no network of this project.

The folder gets `<pair>.content.flac`, `.style.flac` and `.truth.flac`, and `pairs.csv`. What a pair plays depends on
its name alone, so pairs that are added change no other.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sound.sound_sources import SourceMissing, read_mono, run_player
from benchmarks.sound.truth_notes import DRUM_CHANNEL, SOUND_S, Note, chords, drums, held_note, melody, write_midi
from stylecore.pretraining.notes import PACKAGES, PLAYABLE_RANGES
from tasks.audio.sound_files import SAMPLE_RATE, encode_flac

DEFAULT_FOLDER = Path("output/truth/sounds")
SOUNDFONTS = Path("/usr/share/sounds/sf2")
FONTS = ("FluidR3_GM.sf2", "TimGM6mb.sf2")
"""The second one trained no network (stylecore/weights/MODEL_CARD.md)."""
KINDS = ("held", "phrase", "chords", "drums")
ROLES = ("content", "style", "truth")
PEAK = 0.8
FADE_S = 0.01
CHORD_RANGE = (50, 72)

NAMES = {
    0: "piano", 6: "harpsichord", 11: "vibraphone", 12: "marimba", 13: "xylophone", 19: "organ", 21: "accordion",
    22: "harmonica", 24: "guitar", 40: "violin", 41: "viola", 42: "cello", 46: "harp", 52: "choir", 53: "voice",
    56: "trumpet", 57: "trombone", 60: "horn", 65: "saxophone", 68: "oboe", 70: "bassoon", 71: "clarinet", 73: "flute",
    75: "panpipe",
}  # fmt: skip
"""General MIDI programs, counted from 0."""

MELODIC = (
    ((53, 40), (40, 56), (11, 73), (42, 71), (68, 40), (19, 0), (0, 68), (24, 65), (56, 11), (71, 12)),
    ((73, 24), (60, 53), (12, 42), (6, 21), (57, 70), (22, 60), (46, 56), (65, 19), (41, 13), (75, 52)),
)
"""Content's and style's program. The first half meets held notes in one soundfont and phrases in the other."""
CHORDAL = ((19, 0), (46, 19), (0, 52), (52, 24))
KITS = {0: "standard", 24: "electronic", 25: "tr808", 40: "brush"}
DRUMMED = ((0, 25), (24, 0), (25, 40), (40, 24))


@dataclass(frozen=True)
class Recipe:
    """One pair: its kind, the file name of its soundfont, and the programs of content and style."""

    kind: str
    font: str
    content: int
    style: int

    @property
    def pair_id(self) -> str:
        """Its name, `voice-x-violin-held-fluidr3`."""
        names = KITS if self.kind == "drums" else NAMES
        font = self.font.partition("_")[0].removesuffix(".sf2").lower()
        return f"{names[self.content]}-x-{names[self.style]}-{self.kind}-{font}"

    def parts(self) -> dict[str, tuple[list[Note], int]]:
        """Return by role what is played, and on which program; content and truth play the same."""
        generator = np.random.default_rng(list(self.pair_id.encode()))
        phrase, other = self._drawn(generator)
        return {"content": (phrase, self.content), "style": (other, self.style), "truth": (phrase, self.style)}

    def _drawn(self, generator: np.random.Generator) -> tuple[list[Note], list[Note]]:
        """Return the phrase of content and truth, which both instruments can play, and what the style plays."""
        if self.kind == "drums":
            return drums(generator), drums(generator)
        if self.kind == "chords":
            return chords(generator, *CHORD_RANGE), chords(generator, *CHORD_RANGE)
        (low, high), own = PLAYABLE_RANGES[self.content], PLAYABLE_RANGES[self.style]
        phrase = melody(generator, max(low, own[0]), min(high, own[1]))
        return phrase, (held_note if self.kind == "held" else melody)(generator, *own)


def recipes() -> list[Recipe]:
    """Return all pairs, kind by kind, and within each soundfont by soundfont."""
    melodic = zip(FONTS, MELODIC, reversed(MELODIC), strict=True)
    programs: dict[tuple[str, str], Sequence[tuple[int, int]]] = {
        (kind, font): own for font, *halves in melodic for kind, own in zip(("held", "phrase"), halves, strict=True)
    }
    programs |= {(kind, font): own for font in FONTS for kind, own in (("chords", CHORDAL), ("drums", DRUMMED))}
    return [Recipe(kind, font, a, b) for kind in KINDS for font in FONTS for a, b in programs[kind, font]]


def make_set(folder: Path, made: Sequence[Recipe] | None = None, sample_rate: int = SAMPLE_RATE) -> list[Recipe]:
    """Write the sounds, at a rate in Hz, and `pairs.csv`; return the pairs. The same call again writes the same bytes.

    Raises
    ------
    SourceMissing
        If fluidsynth or a soundfont is not installed; nothing is written then.
    """
    pairs = recipes() if made is None else list(made)
    _check_installed({recipe.font for recipe in pairs})
    folder.mkdir(parents=True, exist_ok=True)
    for recipe in pairs:
        channel = DRUM_CHANNEL if recipe.kind == "drums" else 0
        for role, (notes, program) in recipe.parts().items():
            samples = rendered(notes, program, SOUNDFONTS / recipe.font, channel, sample_rate)
            (folder / f"{recipe.pair_id}.{role}.flac").write_bytes(encode_flac(samples, sample_rate))
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["pair_id", "kind", "soundfont", *ROLES])
        writer.writerows([recipe.pair_id, recipe.kind, Path(recipe.font).stem, *_files(recipe)] for recipe in pairs)
    return pairs


def rendered(
    notes: Sequence[Note], program: int, font: Path, channel: int, sample_rate: int = SAMPLE_RATE
) -> NDArray[np.float32]:
    """Return notes as a soundfont plays them, without reverb and chorus: 4 s `[N]`, mono at a rate, its peak at 0.8.

    The beginning stays where it is: content and truth begin together, to the sample.

    Raises
    ------
    SourceMissing
        If fluidsynth is missing or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        midi, audio = Path(folder) / "notes.mid", Path(folder) / "notes.wav"
        write_midi(midi, notes, program, channel)
        options = ["-niq", "-R", "0", "-C", "0", "-g", "0.5", "-r", "44100", "-O", "float", "-F", str(audio)]
        run_player(["fluidsynth", *options, str(font), str(midi)], "fluidsynth")
        sound = read_mono(audio, sample_rate)
    length, fade = round(SOUND_S * sample_rate), round(FADE_S * sample_rate)
    sound = np.pad(sound, (0, max(0, length - len(sound))))[:length]
    sound[-fade:] *= np.linspace(1.0, 0.0, fade)
    return (PEAK / max(np.abs(sound).max(), 1e-9) * sound).astype(np.float32)


def _files(recipe: Recipe) -> Iterator[str]:
    return (f"{recipe.pair_id}.{role}.flac" for role in ROLES)


def _check_installed(fonts: set[str]) -> None:
    missing = sorted(font for font in fonts if not (SOUNDFONTS / font).is_file())
    if missing:
        packages = " ".join(["fluidsynth", *(PACKAGES[font] for font in missing)])
        raise SourceMissing(f"{', '.join(missing)} not found in {SOUNDFONTS}: `apt-get install {packages}`")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Make the pairs of which the right answer is known.")
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help=f"default: {DEFAULT_FOLDER}")
    folder = parser.parse_args().folder
    try:
        pairs = make_set(folder)
    except SourceMissing as error:
        sys.exit(f"truth set: {error}")
    print(f"{len(pairs)} pairs: {folder / 'pairs.csv'}")


if __name__ == "__main__":
    main()
