"""Whose melody a result plays: the content's, as it should, or the style's.

A pitch tracker that this project did not train follows the melody (swift-f0: Nieradzik 2025). For several notes at a
time there is a note activity of our own: harmonic summation, the notes of a frame found one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

if TYPE_CHECKING:
    from swift_f0 import SwiftF0

SAMPLE_RATE = 16_000

SURE, VOICED = 0.8, 0.5
"""Confidence of the tracker from which a frame of the content asks for its pitch, and from which one has a pitch."""
LOUD_DB = 35.0
CENTS = 50.0
LEAST_VOICED_S, LEAST_VOICED_SHARE = 0.3, 0.1
FRAME_S = 256 / SAMPLE_RATE

N_FFT, WINDOW, HOP = 4096, 2048, 512
"""Frames of 128 ms every 32 ms."""
LOWEST_NOTE, HIGHEST_NOTE, STEPS = 40, 95, 3
"""MIDI numbers, in thirds of a semitone."""
N_STEPS = (HIGHEST_NOTE - LOWEST_NOTE) * STEPS + 1
HARMONICS, HARMONIC_DECAY = 10, 0.8
NOTES_AT_ONCE = 6
NOTE_DB = 12.0
"""A note that is further under the strongest of its frame is not told from what partials leave."""
OWN_SHARE = 0.08
"""A pitch that holds this share of the style's activity is one of its own."""
TOLERANCE_STEPS, TOLERANCE_FRAMES = 2, 4

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Melody:
    """The pitches of one sound.

    Attributes
    ----------
    pitch_hz, confidence : ndarray of float64
        What the tracker finds every 16 ms, `[T]`; the confidence is 0 where the sound is not loud.
    loud : int
        How many frames are within 35 dB of the loudest.
    activity : ndarray of float32
        Strength of the notes every 32 ms in thirds of a semitone, `[U, 166]`; 0 where there is no note. A frame
        counts by its amplitude.
    """

    pitch_hz: Array
    confidence: Array
    loud: int
    activity: NDArray[np.float32]

    @property
    def is_pitched(self) -> bool:
        """Whether the tracker is sure for a tenth of the loud frames, and for 0.3 s."""
        sure = int((self.confidence >= SURE).sum())
        return sure * FRAME_S >= LEAST_VOICED_S and sure >= LEAST_VOICED_SHARE * self.loud

    @property
    def median_hz(self) -> float | None:
        """The median of the pitch over the frames that the tracker is sure of; None for an unpitched sound."""
        return float(np.median(self.pitch_hz[self.confidence >= SURE])) if self.is_pitched else None


def melody(samples: Array) -> Melody:
    """Return the pitches of one sound, mono at 16 kHz with its peak at 1, `[N]`."""
    found = _tracker().detect(samples.astype(np.float32), SAMPLE_RATE)
    loud = found.loudness_db > found.loudness_db.max() - LOUD_DB
    confidence = np.where(loud, found.confidence, 0.0)
    return Melody(found.pitch_hz, confidence, int(loud.sum()), note_activity(samples))


def melody_kept(output: Melody, content: Melody) -> float | None:
    """Return the share of the content's sure frames where the output has its pitch within 50 cents, 0 to 1.

    An octave up or down is another pitch. None where the content has few such frames (see `Melody.is_pitched`).
    """
    if not content.is_pitched:
        return None
    n_frames = min(len(output.pitch_hz), len(content.pitch_hz))
    asked = content.confidence[:n_frames] >= SURE
    if not asked.any():
        return None
    cents = 1200 * np.abs(np.log2(output.pitch_hz[:n_frames] / content.pitch_hz[:n_frames]))
    found = (cents <= CENTS) & (output.confidence[:n_frames] >= VOICED)
    return float(found[asked].mean())


def style_leak(output: Melody, content: Melody, style: Melody) -> float | None:
    """Return the share of the output's note activity on the style's own pitches and not on the content's, 0 to 1.

    The content's pitches are those of the moment, 130 ms before and after included, with their octaves and their third
    and fifth harmonics: a filter may leave a harmonic alone, and it is the content's still. None where content or style
    is unpitched, or the output has no notes.
    """
    if not (content.is_pitched and style.is_pitched):
        return None
    n_frames = min(len(output.activity), len(content.activity))
    heard = output.activity[:n_frames]
    total = float(heard.sum())
    if total == 0:
        return None
    leaked = heard * own_pitches(style.activity) * ~_near(content.activity[:n_frames] > 0)
    return float(leaked.sum()) / total


def own_pitches(activity: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which pitches hold a considerable share of a sound's activity, `[166]`."""
    held = activity.sum(axis=0)
    share = np.convolve(held, np.ones(STEPS), mode="same") / max(float(held.sum()), 1e-30)
    return np.asarray(np.convolve(share >= OWN_SHARE, np.ones(STEPS), mode="same") > 0)


def note_activity(samples: Array) -> NDArray[np.float32]:
    """Return the strength of the notes in every frame, `[U, 166]`.

    In each frame the note whose harmonics have the greatest weighted sum of magnitudes is taken, its harmonics are
    taken out of the spectrum, and so on, until what is left is more than 12 dB under the first. Frames more than 35 dB
    under the loudest have no notes.
    """
    padded = np.pad(samples, WINDOW // 2)
    frames = sliding_window_view(padded, WINDOW)[::HOP]
    spectra = np.abs(np.fft.rfft(frames * np.hanning(WINDOW + 1)[:WINDOW], N_FFT, axis=1))
    level = np.linalg.norm(spectra, axis=1)
    activity = np.zeros((len(spectra), N_STEPS), dtype=np.float32)
    loud = np.flatnonzero(level > level.max() * 10 ** (-LOUD_DB / 20))
    spectra, first = spectra[loud], np.full(len(loud), np.inf)
    for found in range(NOTES_AT_ONCE):
        strengths = _strengths(spectra)
        note = strengths.argmax(axis=1)
        strength = strengths[np.arange(len(loud)), note]
        first = strength if found == 0 else first
        heard = strength > first * 10 ** (-NOTE_DB / 20)
        activity[loud[heard], note[heard]] = strength[heard]
        spectra = spectra * ~_partials()[note]
    return activity


def _near(notes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where notes, their octaves or their harmonics are near in time and pitch, `[U, 166]`."""
    octave = 12 * STEPS
    classes = np.zeros((len(notes), octave), dtype=bool)
    for start in range(0, N_STEPS, octave):
        part = notes[:, start : start + octave]
        classes[:, : part.shape[1]] |= part
    near = np.tile(classes, (1, N_STEPS // octave + 1))[:, :N_STEPS]
    for harmonic in (3, 5):
        steps = round(octave * np.log2(harmonic))
        near[:, steps:] |= notes[:, :-steps]
    near = _spread(near, TOLERANCE_STEPS, axis=1)
    return _spread(near, TOLERANCE_FRAMES, axis=0)


def _spread(where: NDArray[np.bool_], reach: int, axis: int) -> NDArray[np.bool_]:
    """Return what is true within so many entries along an axis."""
    padded = np.pad(where, [(reach, reach) if along == axis else (0, 0) for along in (0, 1)])
    return np.asarray(sliding_window_view(padded, 2 * reach + 1, axis=axis).any(axis=-1))


def _strengths(spectra: Array) -> Array:
    """Return the weighted sums of the magnitudes at each note's harmonics, `[U, 166]`."""
    sums = np.zeros((len(spectra), N_STEPS))
    for harmonic in range(1, HARMONICS + 1):
        bins = np.rint(harmonic * _frequencies_hz() * N_FFT / SAMPLE_RATE).astype(int)
        inside = bins < spectra.shape[1]
        sums[:, inside] += HARMONIC_DECAY ** (harmonic - 1) * spectra[:, bins[inside]]
    return sums


@lru_cache(maxsize=1)
def _partials() -> NDArray[np.bool_]:
    """Return which bins belong to each note's harmonics, half a semitone around included, `[166, 2049]`."""
    bins = np.arange(N_FFT // 2 + 1)
    main_lobe = 2.5 * N_FFT / WINDOW
    partials = np.zeros((N_STEPS, len(bins)), dtype=bool)
    for step, f0_hz in enumerate(_frequencies_hz()):
        middles = np.arange(1, int(SAMPLE_RATE / 2 / f0_hz) + 1) * f0_hz * N_FFT / SAMPLE_RATE
        nearest = middles[np.abs(np.subtract.outer(bins, middles)).argmin(axis=1)]
        partials[step] = np.abs(bins - nearest) <= np.maximum(main_lobe, 0.03 * nearest)
    return partials


def _frequencies_hz() -> Array:
    return np.asarray(440 * 2 ** ((LOWEST_NOTE + np.arange(N_STEPS) / STEPS - 69) / 12))


@lru_cache(maxsize=1)
def _tracker() -> SwiftF0:
    """Return the one session of the process; several threads may use it, and it starts none of its own."""
    from swift_f0 import SwiftF0  # the flow knows the figures' names, and needs no tracker

    return SwiftF0(threads=1, spin=False)
