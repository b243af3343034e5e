"""Render single notes of the 80 melodic General MIDI programs from a soundfont, or from patches.

The paper trains on "80 instrument classes"; General MIDI programs 0 to 79 (piano to ocarina) are exactly 80
instruments. Notes of one program are written into one MIDI file, rendered without reverb and chorus (a soundfont by
fluidsynth, the patches of a configuration by timidity), and cut apart again. Programs that a source lacks have no
notes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from stylecore.errors import DependencyError
from stylecore.pretraining.soundfonts import read_soundfont

SAMPLE_RATE = 16_000
NOTE_S = 2.6
SLOT_S = 3.2
TICKS_PER_BEAT = 480
BEATS_PER_S = 2.0
GAIN = 0.5

FAMILIES = ("piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe")
"""General MIDI groups programs by eight."""

PACKAGES = {
    "FluidR3_GM.sf2": "fluid-soundfont-gm",
    "MuseScore_General_Full.sf2": "musescore-general-soundfont-lossless",
    "GeneralUser-v1.47.sf2": "minuet-data",
    "OPL-3_FM_128M.sf2": "opl3-soundfont",
    "TimGM6mb.sf2": "timgm6mb-soundfont",
    "freepats.cfg": "freepats",
}
"""Debian's packages of the sounds that training, its choices and its final test use by default."""

HELD_OUT_EVERY = 5
"""Every fifth MIDI pitch is kept out of training as a whole: no velocity or length of it is ever seen."""

PLAYABLE_RANGES: tuple[tuple[int, int], ...] = (
    *[(28, 100)] * 8,  # pianos, harpsichord, clavinet
    (60, 104), (72, 105), (60, 96), (53, 89), (45, 96), (60, 96), (60, 77), (48, 84),  # celesta ... dulcimer
    *[(36, 96)] * 5, (48, 89), (55, 89), (48, 89),  # organs, accordion, harmonica, bandoneon
    *[(40, 84)] * 8,  # guitars
    *[(28, 60)] * 8,  # basses
    (55, 96), (48, 86), (36, 76), (28, 60), (40, 88), (40, 88), (28, 96), (36, 57),  # violin ... harp, timpani
    *[(36, 96)] * 4, (48, 79), (48, 79), (48, 84), (36, 84),  # ensembles, choirs, orchestra hit
    (55, 82), (40, 72), (29, 55), (54, 82), (41, 77), (36, 84), (36, 84), (36, 84),  # trumpet ... synth brass
    (56, 88), (49, 80), (44, 76), (36, 69), (58, 91), (52, 81), (34, 72), (50, 91),  # saxophones ... clarinet
    (74, 102), (60, 96), (60, 90), (60, 96), (60, 90), (55, 84), (60, 96), (60, 84),  # piccolo ... ocarina
)  # fmt: skip
"""Lowest and highest MIDI pitch per program, the range a player of the instrument would use."""


@dataclass(frozen=True)
class Notes:
    """Rendered notes: `samples` `[N, 41600]` at 16 kHz, peak 1, as float16 for memory; `programs`, `pitches` `[N]`."""

    samples: NDArray[np.float16]
    programs: NDArray[np.int64]
    pitches: NDArray[np.int64]

    def where(self, keep: NDArray[np.bool_]) -> Notes:
        """Return the notes that a mask keeps."""
        return Notes(self.samples[keep], self.programs[keep], self.pitches[keep])

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Which notes have a pitch that training never sees."""
        return self.pitches % HELD_OUT_EVERY == 2


def render_notes(source: Path, per_program: int, seed: int, without: Collection[int] = ()) -> Notes:
    """Render random notes of all of the 80 programs that a source has.

    Parameters
    ----------
    source : Path
        A soundfont (`.sf2`), or timidity's configuration of patches (`.cfg`).
    per_program : int
        Notes per program; pitch, velocity (40 to 120) and length (0.3 to 2.4 s) are drawn for each.
    seed : int
        Of the draw.
    without : collection of int
        Programs to leave out.

    Raises
    ------
    DependencyError
        If the source, or the program that plays it, is missing.
    """
    play = _player(source)
    present = _present_programs(source)
    generator = np.random.default_rng(seed)
    samples, programs, pitches = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for program, (low, high) in enumerate(PLAYABLE_RANGES):
            drawn = generator.integers(low, high + 1, per_program)
            velocities = generator.integers(40, 121, per_program)
            lengths_s = generator.uniform(0.3, 2.4, per_program)
            if program in without or program not in present:
                continue  # after the draw: the others' notes do not depend on who is left out
            midi = Path(folder) / f"{program}.mid"
            _write_midi(midi, program, drawn, velocities, lengths_s)
            rendered = _render(play, source, midi, per_program)
            audible = np.abs(rendered).max(axis=1) > 1e-4
            samples.append(_peak_normalised(rendered[audible]))
            programs.append(np.full(int(audible.sum()), program))
            pitches.append(drawn[audible])
    if not samples:
        raise DependencyError(f"{source} has none of the General MIDI programs 0 to {len(PLAYABLE_RANGES) - 1}")
    return Notes(np.concatenate(samples), np.concatenate(programs), np.concatenate(pitches))


def _player(source: Path) -> Callable[[Path, Path, Path], list[str]]:
    """Return what makes the command that plays a MIDI file from a source into a sound file."""
    name, command = ("timidity", _timidity) if source.suffix == ".cfg" else ("fluidsynth", _fluidsynth)
    if shutil.which(name) is None:
        raise DependencyError(f"{name} is not installed: `apt-get install {name}`")
    if not source.is_file():
        package = PACKAGES.get(source.name, "fluid-soundfont-gm")
        raise DependencyError(f"soundfont {source} not found: `apt-get install {package}`, or name another one")
    return command


def _fluidsynth(source: Path, midi: Path, audio: Path) -> list[str]:
    options = ["-niq", "-R", "0", "-C", "0", "-g", str(GAIN), "-r", str(SAMPLE_RATE), "-O", "float"]
    return ["fluidsynth", *options, "-F", str(audio), str(source), str(midi)]


def _timidity(source: Path, midi: Path, audio: Path) -> list[str]:
    dry = ["-EFreverb=0", "-EFchorus=0", "-EFdelay=0"]
    return [
        "timidity",
        "-c",
        str(source),
        "-Ow",
        "-s",
        str(SAMPLE_RATE),
        "-A60",
        "-a",
        *dry,
        "-o",
        str(audio),
        str(midi),
    ]


def _present_programs(source: Path) -> Collection[int]:
    """Return the programs a source has: fluidsynth plays another instrument for one that is missing."""
    if source.suffix != ".cfg":
        return read_soundfont(source).programs
    bank = re.search(r"^bank 0$(.*?)(?=^bank|^drumset|\Z)", source.read_text(), re.MULTILINE | re.DOTALL)
    return {int(number) for number in re.findall(r"^\s*(\d+)\s+\S", bank[1], re.MULTILINE)} if bank else set()


def _write_midi(path: Path, program: int, pitches: NDArray, velocities: NDArray, lengths_s: NDArray) -> None:
    import mido  # needed here alone: synthesis does not pay for it

    ticks_per_s = TICKS_PER_BEAT * BEATS_PER_S
    track = mido.MidiTrack([mido.Message("program_change", program=program, time=0)])
    silence = 0
    for pitch, velocity, length_s in zip(pitches, velocities, lengths_s, strict=True):
        held = round(length_s * ticks_per_s)
        track.append(mido.Message("note_on", note=int(pitch), velocity=int(velocity), time=silence))
        track.append(mido.Message("note_off", note=int(pitch), velocity=0, time=held))
        silence = round(SLOT_S * ticks_per_s) - held
    mido.MidiFile(ticks_per_beat=TICKS_PER_BEAT, tracks=[track]).save(path)


def _render(play: Callable[[Path, Path, Path], list[str]], source: Path, midi: Path, count: int) -> NDArray[np.float32]:
    audio = midi.with_suffix(".wav")
    command = play(source, midi, audio)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or not audio.is_file():
        raise DependencyError(f"{command[0]} could not render {source}: {done.stderr.strip()[-300:]}")
    stereo, _ = soundfile.read(audio, dtype="float32", always_2d=True)
    audio.unlink()
    mono = stereo.mean(axis=1)
    slot, length = round(SLOT_S * SAMPLE_RATE), round(NOTE_S * SAMPLE_RATE)
    mono = np.pad(mono, (0, max(0, slot * count - len(mono))))[: slot * count]
    return mono.reshape(count, slot)[:, :length]


def _peak_normalised(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    return (samples / np.abs(samples).max(axis=1, keepdims=True)).astype(np.float16)
