"""Make the evaluation set: `python -m benchmarks.sound.evaluation_set [FOLDER]`.

Twenty pairs of sounds that no network of this project was trained on, made from Debian packages and from the demo's own
recordings (its renderings of training soundfonts are left out). The folder gets `sounds/*.flac`, the manifest
`pairs.csv` and `pairs.parquet`, and `SOURCES.csv` with the origin and licence of each sound.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sound.sound_sources import (
    DEMO,
    LMMS,
    SUPERCOLLIDER,
    Beat,
    Cut,
    Phrase,
    Samples,
    Source,
    SourceMissing,
    Spoken,
    check_installed,
)
from manifests.building.builder import build_from_csv
from tasks.audio.sound_files import SAMPLE_RATE, decode_flac, encode_flac, samples_sha256
from tasks.storage.storage import Storage

DEFAULT_FOLDER = Path("output/quality/sounds")
KNOWN = Path(__file__).with_name("evaluation_set.csv")
PEAK = 0.8
START_DB = -40.0
FADE_S = 0.01

FREEPATS_LICENCE = "GPL-2+ with an exception for compositions (freepats.opensrc.org)"
LMMS_LICENCE = "GPL-2+ (LMMS)"


@dataclass(frozen=True)
class Sound:
    """One sound of the set; `kind` groups sounds that are of the same sort for a listener."""

    name: str
    kind: str
    what: str
    source: Source
    seconds: float
    licence: str


def _freepats(name: str, kind: str, what: str, patch: str, notes: str, seconds: float) -> Sound:
    return Sound(name, kind, f"{what} (sampled, played by timidity)", Phrase(patch, notes), seconds, FREEPATS_LICENCE)


def _lmms(name: str, kind: str, what: str, file: str, seconds: float, start_s: float = 0.0) -> Sound:
    return Sound(name, kind, what, Cut(LMMS / file, ("lmms-common",), start_s), seconds, LMMS_LICENCE)


SOUNDS = (
    _freepats("trumpet_phrase", "brass", "trumpet, seven notes", "Tone_000/056_Trumpet",
              "G4 .25 C5 .25 E5 .5 D5 .25 E5 .25 F5 .75 C5 1", 3.2),
    _freepats("flute_phrase", "wind", "flute, seven notes", "Tone_000/073_Flute",
              "A5 .6 B5 .2 C6 .2 E6 .8 D6 .3 B5 .3 A5 1", 3.3),
    _freepats("piano_phrase", "piano", "piano, melody over two chords", "Tone_000/000_Acoustic_Grand_Piano",
              "C3+E4 .4 G4 .2 C5 .6 A4 .4 F3+A4 .4 C5 .2 F5 .6 E5 .8", 3.6),
    _freepats("organ_phrase", "organ", "church organ, three chords", "Tone_000/019_Church_Organ",
              "C3+G4+C5+E5 1 F3+A4+C5+F5 1 G3+B4+D5+G5 2", 3.0),
    _freepats("guitar_arpeggio", "plucked", "nylon guitar, arpeggio", "Tone_000/024_Nylon_Guitar",
              "E3 .3 B3 .3 E4 .3 G4 .3 B4 .6 G4 .3 E4 .3 C4 1.2", 3.5),
    _freepats("violin_held", "bowed", "violin, one note with vibrato", "Tone_000/040_Violin", "D5 5", 2.7),
    _freepats("dulcimer_phrase", "hammered", "dulcimer, broken chords", "Tone_000/015_Dulcimer",
              "D4 .2 F4 .2 A4 .2 D5 .4 C5 .2 A4 .2 F4 .4 G3+E4 .4 C5 .2 E5 .2 G5 1.2", 3.4),
    _freepats("oboe_phrase", "wind", "oboe, six notes", "Tone_000/068_Oboe",
              "E5 .7 D5 .35 C5 .35 B4 .7 - .1 C5 .3 D5 1.2", 3.4),
    _freepats("tuba_phrase", "brass", "tuba, six notes", "Tone_000/058_Tuba",
              "F2 .4 - .1 C2 .4 - .1 F2 .3 A2 .3 C3 .6 F2 1.2", 3.0),
    _freepats("celesta_phrase", "mallet", "celesta, eleven strokes", "Tone_000/008_Celesta",
              "C5 .2 E5 .2 G5 .2 C6 .4 G5 .2 A5 .2 F5 .4 D5 .2 B4 .2 G5 .4 C6 .6", 3.0),
    _freepats("horn_phrase", "brass", "French horn, five notes", "Tone_000/060_French_Horn",
              "F3 .8 C4 .8 D4 .4 C4 .4 A3 2", 3.8),
    _freepats("sax_phrase", "wind", "alto saxophone, eight notes", "Tone_000/065_Alto_Sax",
              "D4 .3 F4 .15 G4 .3 A4 .75 - .15 C5 .3 A4 .3 G4 .3 D4 1.5", 3.6),
    _freepats("sitar_phrase", "plucked", "sitar, seven notes", "Tone_000/104_Sitar",
              "C3 .4 C4 .4 D4 .2 E4 .6 D4 .4 C4 .4 G3 1.2", 3.2),
    _freepats("sea", "noise", "sea shore", "Tone_000/122_Seashore", "C4 8", 3.6),
    _lmms("strings_held", "bowed", "strings, one note", "stringsnpads/strings01.ogg", 3.2),
    _lmms("organ_held", "organ", "church organ, one chord", "instruments/church_organ01.ogg", 2.8),
    _lmms("electric_organ", "organ", "electric organ, one chord", "instruments/e_organ01.ogg", 3.1),
    _lmms("trumpet_held", "brass", "trumpet, one note", "instruments/trumpet01.ogg", 2.8),
    _lmms("latin_guitar", "plucked", "guitar, strummed", "latin/latin_guitar02.ogg", 3.4),
    _lmms("acid_bass", "synthesiser", "TB-303, bass line with a filter's sweep", "bassloops/tb303_01.ogg", 3.8),
    _lmms("distorted_guitar", "electric guitar", "distorted guitar, one chord",
          "instruments/steel_guitar_heavy_distorted01.ogg", 3.9),
    _lmms("break_beat", "drums", "drum loop", "beats/jungle01.ogg", 2.75),
    _lmms("hihat_loop", "drums", "hi-hat loop", "beats/rave_hihat01.ogg", 2.6),
    Sound("rock_beat", "drums", "drum kit, two bars sequenced from single strokes",
          Beat("ColomboAcousticDrumkit", (
              ("bassdrum-4mics-br-stereo-normal3.flac", "x.....x.x......."),
              ("snare-opaque-2mics_normal-shot1.flac", "....x.......x..o"),
              ("hihat-closed-6.flac", "x.o.x.o.x.o.x.o."),
          ), 0.115), 3.6, "GPL-2+ with an exception for compositions (Marcos Guglielmetti)"),
    Sound("djembe_beat", "drums", "djembe, two bars sequenced from single strokes",
          Beat("circAfrique v4", (
              ("Djembe1 Bass.wav", "x.....x...x....."),
              ("Djembe1 Tone.wav", "...x.x.....x.x.."),
              ("Djembe1 Slap.wav", "....x.......x.xx"),
          ), 0.12), 3.4, "CC-BY-SA-3.0 (Jim Harney, circAfrique)"),
    Sound("speech", "speech", "a man speaking over radio (real recording)",
          Cut(SUPERCOLLIDER / "a11wlk01.wav", ("supercollider-common",), 0.2), 4.0, "GPL-2+ (SuperCollider)"),
    Sound("espeak", "speech", "synthetic voice speaking (made by espeak-ng)",
          Spoken("en-us+f3", "Tell me, are these the colours of the evening sky?"), 2.9, "CC0 / no rights claimed"),
    Sound("singing", "singing", "a solo singing voice (real recording)", Cut(DEMO / "singing_phrase.flac"), 3.8,
          "CC BY 4.0 (Vocadito, clip 14; assets/demo/ATTRIBUTION.md)"),
    Sound("glass", "glass", "a rubbed wine glass (real recording)", Cut(DEMO / "glass_rub.flac"), 3.1, "CC0"),
    Sound("tuning_fork", "tuning fork", "tuning fork, 440 Hz (synthetic)", Cut(DEMO / "tuning_fork_440.flac"), 3.0,
          "CC0 / no rights claimed"),
)  # fmt: skip

PAIRS = (
    ("trumpet_phrase", "flute_phrase"),
    ("piano_phrase", "organ_phrase"),
    ("guitar_arpeggio", "violin_held"),
    ("flute_phrase", "dulcimer_phrase"),
    ("oboe_phrase", "tuba_phrase"),
    ("celesta_phrase", "glass"),
    ("horn_phrase", "strings_held"),
    ("dulcimer_phrase", "tuning_fork"),
    ("latin_guitar", "sax_phrase"),
    ("acid_bass", "distorted_guitar"),
    ("sax_phrase", "singing"),
    ("singing", "trumpet_held"),
    ("singing", "dulcimer_phrase"),
    ("speech", "organ_held"),
    ("espeak", "sitar_phrase"),
    ("rock_beat", "piano_phrase"),
    ("break_beat", "electric_organ"),
    ("djembe_beat", "sitar_phrase"),
    ("piano_phrase", "sea"),
    ("tuba_phrase", "hihat_loop"),
)


def make_set(folder: Path, sample_rate: int = SAMPLE_RATE) -> list[str]:
    """Write sounds, manifest and origins; return the names of sounds that differ from those of the documents.

    The documents' are at 16 kHz; at another rate all differ.

    Raises
    ------
    SourceMissing
        If a package is not installed; nothing is written then.
    """
    check_installed([sound.source for sound in SOUNDS])
    (folder / "sounds").mkdir(parents=True, exist_ok=True)
    digests = {sound.name: _write(sound, folder / "sounds" / f"{sound.name}.flac", sample_rate) for sound in SOUNDS}
    _write_csv(folder / "SOURCES.csv", [_origin(sound, digests[sound.name]) for sound in SOUNDS])
    pairs = [
        {"content": f"sounds/{content}.flac", "style": f"sounds/{style}.flac", "pair_id": pair_id(content, style)}
        for content, style in PAIRS
    ]
    _write_csv(folder / "pairs.csv", pairs)
    build_from_csv(str(folder / "pairs.csv"), str(folder / "pairs.parquet"), Storage())
    known = known_digests()
    return [name for name, digest in digests.items() if known.get(name) != digest]


def pair_id(content: str, style: str) -> str:
    """Return the pair's name, `acid-bass-x-distorted-guitar`."""
    return f"{content}-x-{style}".replace("_", "-")


def known_digests() -> dict[str, str]:
    """Return the sha256 of the samples of each sound as the documents' figures were measured on."""
    with KNOWN.open(newline="") as file:
        return {row["name"]: row["samples_sha256"] for row in csv.DictReader(file)}


def levelled(samples: Samples, seconds: float, sample_rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """Return a sound from where it begins, `seconds` long, faded out and at a peak of 0.8.

    >>> sound = levelled(np.concatenate([np.zeros(800), np.ones(32_000)]), 1.0)
    >>> len(sound), round(float(sound[0]), 2), float(sound[-1])
    (16000, 0.8, 0.0)
    """
    audible = np.abs(samples) > np.abs(samples).max() * 10.0 ** (START_DB / 20.0)
    start = int(np.argmax(audible))
    cut = samples[start : start + round(seconds * sample_rate)].copy()
    fade = round(FADE_S * sample_rate)
    cut[-fade:] *= np.linspace(1.0, 0.0, fade)
    return (PEAK / np.abs(cut).max() * cut).astype(np.float32)


def _write(sound: Sound, path: Path, sample_rate: int) -> str:
    samples = levelled(sound.source.samples(sample_rate), sound.seconds, sample_rate)
    if len(samples) < round(sound.seconds * sample_rate):
        raise SourceMissing(f"{sound.name} lasts {len(samples) / sample_rate:.2f} s instead of {sound.seconds} s")
    flac = encode_flac(samples, sample_rate)
    path.write_bytes(flac)
    return samples_sha256(decode_flac(flac))


def _origin(sound: Sound, digest: str) -> dict[str, object]:
    source = sound.source
    return {
        "name": sound.name,
        "kind": sound.kind,
        "what": sound.what,
        "package": " ".join(source.packages) or "this repository",
        "licence": sound.licence,
        "files": " ".join(_shown(file) for file in source.files),
        "seconds": sound.seconds,
        "samples_sha256": digest,
    }


def _shown(file: Path) -> str:
    return str(file.relative_to(DEMO.parent.parent)) if file.is_relative_to(DEMO) else f"'{file}'"


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Make the evaluation set from Debian's packages.")
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help=f"default: {DEFAULT_FOLDER}")
    parser.add_argument("--sample-rate", type=int, default=SAMPLE_RATE, help=f"Hz, default: {SAMPLE_RATE}")
    asked = parser.parse_args()
    folder = asked.folder
    try:
        differing = make_set(folder, asked.sample_rate)
    except SourceMissing as error:
        sys.exit(f"evaluation set: {error}")
    print(f"{len(PAIRS)} pairs of {len(SOUNDS)} sounds: {folder / 'pairs.parquet'}")
    if differing and asked.sample_rate == SAMPLE_RATE:
        print(f"made by other versions than those of docs/quality.md, and not the same: {', '.join(differing)}")


if __name__ == "__main__":
    main()
