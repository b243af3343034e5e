"""What the figures need to know of one sound, measured once however often it is compared."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache

import librosa
import numpy as np
from numpy.typing import NDArray

from stylecore.compiling import alone_on_host
from stylecore.errors import SignalError
from stylecore.melody import Melody, melody
from stylecore.noise import Blips, blips, harmonics_to_noise_db
from stylecore.settings import Notes
from stylecore.timbre import mean_mfcc, transposed
from stylecore.transfers import Model, model, transfers

SAMPLE_RATE = 16_000
N_FFT = 512
WIN_LENGTH = 480
HOP_LENGTH = 160

ROLLOFF_SHARE = 0.85
LEVEL_FLOOR_DB = -60.0

Array = NDArray[np.float64]

_COMPILING = threading.Lock()
"""Two threads that let librosa compile at once harm each other as two processes do (`stylecore/compiling.py`).
Measuring costs hundredths of a second, so one at a time measures."""


@dataclass(frozen=True, eq=False)
class SoundFeatures:
    """All that the figures need to know of one sound, measured at its own peak of 1.

    Attributes
    ----------
    samples : ndarray of float64
        The peak-normalised sound itself, `[N]`, kept to be cut when it is compared with a shorter one.
    descriptors : dict of str to float or None
        `centroid_hz`, `bandwidth_hz`, `rolloff_hz` and `flatness`; None for silence.
    mfcc : ndarray of float64 or None
        Magnitude-weighted mean MFCCs 1 to 12, `[12]`, in dB; None for silence.
    onsets : ndarray of float64
        Onset strength per frame, `[T]`.
    level_db : ndarray of float64
        Frame RMS under its peak, floored at -60 dB, `[T]`.
    chroma : ndarray of float64
        Pitch classes, `[12, T]`.
    model : Model
        Spectrum, texture, tonality and attacks, for where the sound is a style.
    melody : Melody
        Pitch and notes.
    blips : Blips
        Isolated bright cells.
    hnr_db : float or None
        Harmonics-to-noise ratio; None for silence.
    """

    samples: Array
    descriptors: dict[str, float | None]
    mfcc: Array | None
    onsets: Array
    level_db: Array
    chroma: Array
    model: Model
    melody: Melody
    blips: Blips
    hnr_db: float | None

    def mfcc_at_pitch_of(self, other: SoundFeatures) -> Array | None:
        """Return the mean MFCCs of this sound transposed to the median pitch of another, where both have one."""
        given, wanted = self.melody.median_hz, other.melody.median_hz
        if self.mfcc is None or given is None or wanted is None:
            return self.mfcc
        with _COMPILING:
            return mean_mfcc(transposed(_magnitude(self.samples), wanted / given))


@dataclass(frozen=True, eq=False)
class Comparison:
    """A result beside what it was made from; output and content of one length.

    Attributes
    ----------
    output, content, style : SoundFeatures
        The three sounds.
    notes : {"content", "style"}
        Whose notes the result is meant to play.
    """

    output: SoundFeatures
    content: SoundFeatures
    style: SoundFeatures
    notes: Notes

    @cached_property
    def transfers(self) -> dict[str, float | None]:
        """The transfers that are computed after equalising, by name."""
        return transfers(self.output.samples, self.content.samples, self.style.model)


def comparison(output: SoundFeatures, content: SoundFeatures, style: SoundFeatures, notes: Notes) -> Comparison:
    """Return three sounds for comparison; where output and content differ in length one is cut and measured again."""
    shared = min(len(output.samples), len(content.samples))
    cut_output, cut_content = (
        sound if len(sound.samples) == shared else features(sound.samples[:shared]) for sound in (output, content)
    )
    return Comparison(cut_output, cut_content, style, notes)


def features(samples: NDArray[np.floating]) -> SoundFeatures:
    """Measure one sound.

    Parameters
    ----------
    samples : ndarray of float
        Mono at 16 kHz, `[N]`, at any level.

    Returns
    -------
    SoundFeatures
        Independent of the sound's level.

    Raises
    ------
    SignalError
        If the sound is not mono, shorter than one transform (32 ms), or not finite.
    """
    with _COMPILING:
        _let_librosa_compile()
        return _features(_peak_normalised(samples))


@lru_cache(maxsize=1)
def _let_librosa_compile() -> None:
    """Measure a second of noise, once per process: that calls, and so compiles or loads, all that any sound does."""
    with alone_on_host():
        _features(np.random.default_rng(0).standard_normal(SAMPLE_RATE))


def _features(sound: Array) -> SoundFeatures:
    magnitude = _magnitude(sound)
    return SoundFeatures(
        samples=sound,
        descriptors=_descriptors(magnitude),
        mfcc=mean_mfcc(magnitude),
        onsets=librosa.onset.onset_strength(y=sound, sr=SAMPLE_RATE, hop_length=HOP_LENGTH),
        level_db=_level_db(magnitude),
        chroma=_chroma(magnitude),
        model=model(sound),
        melody=melody(sound),
        blips=blips(sound),
        hnr_db=harmonics_to_noise_db(sound),
    )


def descriptors(samples: NDArray[np.floating]) -> dict[str, float | None]:
    """Return `centroid_hz`, `bandwidth_hz`, `rolloff_hz` (85 % of the energy) and `flatness` (0 to 1) of one sound.

    Each is the mean over frames, weighted by the frames' energy; None for silence.

    Parameters
    ----------
    samples : ndarray of float
        Mono at 16 kHz, `[N]`.

    Raises
    ------
    SignalError
        As `features`.
    """
    return _descriptors(_magnitude(_peak_normalised(samples)))


def _peak_normalised(samples: NDArray[np.floating]) -> Array:
    sound = np.asarray(samples, dtype=np.float64)
    if sound.ndim != 1 or len(sound) < N_FFT:
        raise SignalError(f"a sound of shape {sound.shape} cannot be measured: need mono, {N_FFT} samples or more")
    peak = float(np.abs(sound).max())
    if not np.isfinite(peak):
        raise SignalError("the sound holds NaN or Inf")
    return sound / peak if peak > 0 else sound


def _magnitude(sound: Array) -> Array:
    """Return the magnitude of the centred STFT, `[257, T]`."""
    return np.asarray(np.abs(librosa.stft(sound, n_fft=N_FFT, hop_length=HOP_LENGTH, win_length=WIN_LENGTH)))


def _weighted_mean(values: Array, weights: Array) -> Array | None:
    """Return the mean of `values` `[..., T]` over frames, or None where all `weights` `[T]` are zero."""
    total = weights.sum()
    return np.asarray(values @ weights / total) if total > 0 else None


def _descriptors(magnitude: Array) -> dict[str, float | None]:
    power = magnitude**2
    energy = power.sum(axis=0)
    per_frame = {
        "centroid_hz": librosa.feature.spectral_centroid(S=power, sr=SAMPLE_RATE),
        "bandwidth_hz": librosa.feature.spectral_bandwidth(S=power, sr=SAMPLE_RATE),
        "rolloff_hz": librosa.feature.spectral_rolloff(S=power, sr=SAMPLE_RATE, roll_percent=ROLLOFF_SHARE),
        "flatness": librosa.feature.spectral_flatness(S=magnitude),
    }
    means = {name: _weighted_mean(values[0], energy) for name, values in per_frame.items()}
    return {name: None if mean is None else float(mean) for name, mean in means.items()}


def _level_db(magnitude: Array) -> Array:
    rms = librosa.feature.rms(S=magnitude, frame_length=N_FFT, dtype=np.float64)[0]
    peak = rms.max()
    relative = rms / peak if peak > 0 else rms
    return np.asarray(np.maximum(20 * np.log10(np.maximum(relative, 1e-12)), LEVEL_FLOOR_DB))


def _chroma(magnitude: Array) -> Array:
    power = magnitude**2
    return librosa.feature.chroma_stft(
        S=power, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, tuning=_tuning(power)
    )


def _tuning(power: Array) -> float:
    """Return the deviation from A440 in semitones as `librosa.estimate_tuning` does, but 0 where there is no pitch."""
    pitches, salience = librosa.piptrack(S=power, sr=SAMPLE_RATE)
    found = pitches > 0
    if not found.any():
        return 0.0
    return float(librosa.pitch_tuning(pitches[found & (salience >= np.median(salience[found]))]))
