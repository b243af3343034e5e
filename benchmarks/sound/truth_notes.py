"""What the truth set plays: melodies, held notes, chords and drum patterns, drawn by chance, and their MIDI files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np

SOUND_S = 4.0
"""Length of every sound of the set."""
START_S = 0.05
LAST_S = SOUND_S - 0.2
"""No note lasts longer than to here: the sound ends in what rings on, not in a cut note."""

MAJOR = (0, 2, 4, 5, 7, 9, 11)
LENGTHS_S = (0.2, 0.3, 0.4, 0.6, 0.9)
REST_S, REST_ODDS = 0.15, 0.15
CHORD_S, CHORD_EVERY_S = 0.9, 0.95
SIXTEENTH_S = 0.125
BASS_DRUM, SNARE, CLOSED_HIHAT, OPEN_HIHAT, TOM = 36, 38, 42, 46, 45
DRUM_CHANNEL = 9
TICKS_PER_S = 1000


class Note(NamedTuple):
    """One note: start and length in s, MIDI pitch and velocity."""

    start_s: float
    length_s: float
    pitch: int
    velocity: int


def melody(generator: np.random.Generator, low: int, high: int) -> list[Note]:
    """Return a melody in C major that wanders by steps and small leaps between two MIDI pitches, rests included.

    >>> notes = melody(np.random.default_rng(0), 60, 72)
    >>> {note.pitch % 12 for note in notes} <= set(MAJOR), max(note.pitch for note in notes) <= 72
    (True, True)
    """
    scale = [pitch for pitch in range(low, high + 1) if pitch % 12 in MAJOR]
    third = len(scale) // 3
    step = int(generator.integers(third, len(scale) - third))
    notes, now = [], START_S
    while now < LAST_S - min(LENGTHS_S):
        length = min(float(generator.choice(LENGTHS_S)), LAST_S - now)
        held = length * float(generator.uniform(0.8, 1.0))
        notes.append(Note(now, held, scale[step], _velocity(generator)))
        now += length + (REST_S if generator.random() < REST_ODDS else 0.0)
        step = int(np.clip(step + generator.choice((-3, -2, -1, 1, 2, 3)), 0, len(scale) - 1))
    return notes


def held_note(generator: np.random.Generator, low: int, high: int) -> list[Note]:
    """Return one note as long as the sound, within a fourth of the middle of the range."""
    middle = (low + high) // 2
    return [Note(START_S, LAST_S - START_S, int(generator.integers(middle - 5, middle + 6)), 90)]


def chords(generator: np.random.Generator, low: int, high: int) -> list[Note]:
    """Return four chords of four notes: a root, a third, the fifth, and a seventh or the octave."""
    notes = []
    for number in range(int((LAST_S - START_S) / CHORD_S)):
        root = int(generator.integers(low, high - 12 + 1))
        intervals = (0, int(generator.choice((3, 4))), 7, int(generator.choice((10, 12))))
        start = START_S + number * CHORD_EVERY_S
        notes += [Note(start, CHORD_S, root + interval, _velocity(generator)) for interval in intervals]
    return notes


def drums(generator: np.random.Generator) -> list[Note]:
    """Return two bars of sixteenths: a beat that is likely in each, and strokes that are not."""
    notes = []
    for sixteenth in range(int((LAST_S - START_S) / SIXTEENTH_S)):
        odds = {
            BASS_DRUM: 0.9 if sixteenth % 4 == 0 else 0.25,
            SNARE: 0.85 if sixteenth % 8 == 4 else 0.08,
            CLOSED_HIHAT: 0.7,
            OPEN_HIHAT: 0.08,
            TOM: 0.08,
        }
        start = START_S + sixteenth * SIXTEENTH_S
        struck = [drum for drum, odd in odds.items() if generator.random() < odd]
        notes += [Note(start, 0.1, drum, _velocity(generator)) for drum in struck]
    return notes


def write_midi(path: Path, notes: Sequence[Note], program: int, channel: int) -> None:
    """Write notes, in any order and overlapping, as a MIDI file that plays them on one General MIDI program."""
    song = mido.MidiFile(ticks_per_beat=TICKS_PER_S // 2)  # a beat of MIDI's own tempo lasts 0.5 s
    track = mido.MidiTrack([mido.Message("program_change", program=program, channel=channel)])
    song.tracks.append(track)
    now = 0
    for tick, kind, pitch, velocity in sorted(_events(notes)):
        track.append(mido.Message(kind, note=pitch, velocity=velocity, time=tick - now, channel=channel))
        now = tick
    song.save(path)


def _events(notes: Sequence[Note]) -> Iterable[tuple[int, str, int, int]]:
    # "note_off" is sorted before "note_on": a repeated note ends before it begins again.
    for note in notes:
        yield round(TICKS_PER_S * note.start_s), "note_on", note.pitch, note.velocity
        yield round(TICKS_PER_S * (note.start_s + note.length_s)), "note_off", note.pitch, 0


def _velocity(generator: np.random.Generator) -> int:
    return int(generator.integers(60, 112))
