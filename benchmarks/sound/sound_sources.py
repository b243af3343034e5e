"""Where the sounds of the evaluation set come from: Debian packages, played, cut, sequenced or spoken, and the demo.

Every source returns mono samples at 16 kHz and knows the files that it needs; a missing one names its package.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import librosa
import mido
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from stylecore.channels import downmix
from tasks.audio.sound_files import SAMPLE_RATE

PATCHES = Path("/usr/share/midi/freepats")
KITS = Path("/usr/share/hydrogen/data/drumkits")
LMMS = Path("/usr/share/lmms/samples")
SUPERCOLLIDER = Path("/usr/share/SuperCollider/sounds")
DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"

Samples = NDArray[np.float64]


class SourceMissing(Exception):
    """A file or a program of a source is not there; the message names the package to install."""


class Source(Protocol):
    """A way to make one sound."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages needed, or none for the repository's own sounds; the first holds the recordings."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The recordings that are heard."""

    def samples(self, sample_rate: int = SAMPLE_RATE) -> Samples:
        """Return the sound, `[N]`, mono at a rate in Hz, at any level."""


@dataclass(frozen=True)
class Phrase:
    """Notes played by timidity on one patch of freepats, dry.

    Attributes
    ----------
    patch : str
        Path of the patch within freepats, without its suffix.
    notes : str
        Pairs of a note and its length in s, such as `C5 .5 E4+G4 1 - .25`: `+` joins a chord, `-` is a rest.
    """

    patch: str
    notes: str
    packages: tuple[str, ...] = ("freepats", "timidity")

    @property
    def files(self) -> tuple[Path, ...]:
        """The patch."""
        return (PATCHES / f"{self.patch}.pat",)

    def samples(self, sample_rate: int = SAMPLE_RATE) -> Samples:
        """Render in a folder of its own, with a configuration that names this patch alone."""
        with tempfile.TemporaryDirectory() as folder:
            midi, config, audio = (Path(folder) / name for name in ("notes.mid", "patch.cfg", "notes.wav"))
            _midi(self.notes).save(midi)
            config.write_text(f"bank 0\n0 {self.files[0]}\n")
            options = ["-c", str(config), "-Ow", "-o", str(audio), "--output-24bit", "--output-mono", "-s", "44100"]
            run_player(["timidity", *options, "-EFreverb=0", "-EFchorus=0", "--quiet", str(midi)], "timidity")
            return read_mono(audio, sample_rate)


@dataclass(frozen=True)
class Cut:
    """A recording as it is, from `start_s` on."""

    file: Path
    packages: tuple[str, ...] = ()
    start_s: float = 0.0

    @property
    def files(self) -> tuple[Path, ...]:
        """The recording."""
        return (self.file,)

    def samples(self, sample_rate: int = SAMPLE_RATE) -> Samples:
        """Return it to its end."""
        return read_mono(self.file, sample_rate)[round(self.start_s * sample_rate) :]


@dataclass(frozen=True)
class Beat:
    """A bar of a drum kit, repeated: for each drum a pattern of sixteenths, `x` loud, `o` soft, `.` nothing."""

    kit: str
    patterns: tuple[tuple[str, str], ...]
    sixteenth_s: float
    bars: int = 2
    packages: tuple[str, ...] = ("hydrogen-drumkits",)

    @property
    def files(self) -> tuple[Path, ...]:
        """The single strokes."""
        return tuple(KITS / self.kit / name for name, _ in self.patterns)

    def samples(self, sample_rate: int = SAMPLE_RATE) -> Samples:
        """Place every stroke at its time; strokes ring on over each other."""
        bar = max(len(pattern) for _, pattern in self.patterns)
        mixed = np.zeros(round((self.bars * bar * self.sixteenth_s + 3.0) * sample_rate))
        for file, (_, pattern) in zip(self.files, self.patterns, strict=True):
            stroke = read_mono(file, sample_rate)
            for position, sign in enumerate(pattern * self.bars):
                start = round(position * self.sixteenth_s * sample_rate)
                part = stroke[: len(mixed) - start] * {"x": 1.0, "o": 0.4, ".": 0.0}[sign]
                mixed[start : start + len(part)] += part
        return mixed


@dataclass(frozen=True)
class Spoken:
    """A sentence spoken by espeak-ng."""

    voice: str
    text: str
    packages: tuple[str, ...] = ("espeak-ng",)
    files: tuple[Path, ...] = ()

    def samples(self, sample_rate: int = SAMPLE_RATE) -> Samples:
        """Return the sentence."""
        with tempfile.TemporaryDirectory() as folder:
            audio = Path(folder) / "speech.wav"
            run_player(["espeak-ng", "-v", self.voice, "-s", "150", "-w", str(audio), self.text], "espeak-ng")
            return read_mono(audio, sample_rate)


def check_installed(sources: Sequence[Source]) -> None:
    """Check that every recording is there, before the first is made.

    Raises
    ------
    SourceMissing
        Naming all packages to install.
    """
    missing = [(file, source.packages) for source in sources for file in source.files if not file.is_file()]
    if missing:
        file, packages = missing[0]
        wanted = sorted({package for _, names in missing for package in names})
        install = f"`apt-get install {' '.join(wanted)}`" if packages else "is the checkout of the repository whole?"
        raise SourceMissing(f"{len(missing)} recordings are missing, the first is {file}: {install}")


def read_mono(file: Path, sample_rate: int = SAMPLE_RATE) -> Samples:
    """Return a recording of any rate, length and number of channels as mono at a rate in Hz, `[N]`."""
    channels, rate = soundfile.read(file, dtype="float64", always_2d=True)
    return np.asarray(soxr.resample(downmix(channels), rate, sample_rate, quality="HQ"))


def _midi(notes: str) -> mido.MidiFile:
    """Return a melody as MIDI, legato, at 1000 ticks per s.

    >>> [message.note for message in _midi("C4+E4 .5 - 1").tracks[0] if message.type == "note_on"]
    [60, 64]
    """
    song = mido.MidiFile(ticks_per_beat=500)  # a beat of MIDI's own tempo lasts 0.5 s
    track = mido.MidiTrack()
    song.tracks.append(track)
    words, rest = notes.split(), 0
    for chord, length in zip(words[::2], words[1::2], strict=True):
        ticks = round(1000 * float(length))
        if chord == "-":
            rest += ticks
            continue
        pitches = [int(librosa.note_to_midi(name)) for name in chord.split("+")]
        for position, pitch in enumerate(pitches):
            track.append(mido.Message("note_on", note=pitch, velocity=96, time=0 if position else rest))
        for position, pitch in enumerate(pitches):
            track.append(mido.Message("note_off", note=pitch, velocity=0, time=0 if position else ticks))
        rest = 0
    return song


def run_player(command: list[str], package: str) -> None:
    """Run a program that writes a sound.

    Raises
    ------
    SourceMissing
        If it is not installed, or fails; the message names its package.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise SourceMissing(f"{command[0]} is not installed: `apt-get install {package}`") from None
    if done.returncode:
        raise SourceMissing(f"{command[0]} failed, `apt-get install --reinstall {package}`: {done.stderr.strip()}")
