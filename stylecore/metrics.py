"""The figures that judge a result: how much of the style arrived and how much of the content stayed.

They measure sounds as they were written, with rulers that the optimisation never sees. Every sound is measured once
(`features`), every pair of measured sounds is compared cheaply (`compare`): in a corpus, contents and styles recur.

A figure that does not exist, because its denominator or a variance is zero, is None and never NaN.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache

import librosa
import numpy as np
from numpy.typing import NDArray

from stylecore.compiling import alone_on_host
from stylecore.errors import SignalError
from stylecore.melody import Melody, melody, melody_kept, style_leak
from stylecore.noise import Blips, added_blips_per_s, blips, harmonics_to_noise_db
from stylecore.settings import Notes
from stylecore.timbre import mean_mfcc, transposed
from stylecore.transfers import NAMES, Model, model, transfers

SAMPLE_RATE = 16_000
N_FFT = 512
WIN_LENGTH = 480
HOP_LENGTH = 160

ROLLOFF_SHARE = 0.85
LEVEL_FLOOR_DB = -60.0
AUDIBLE_DB = -40.0
BANDWIDTH_CONTRAST = 0.25
"""A style whose bandwidth is nearer than this share of the content's leaves nothing to shift."""

NEGLIGIBLE = 1e-5
"""Spreads below this are rounding."""

TIMBRE_NEGLIGIBLE_DB = 0.1
"""A style whose mean MFCCs are nearer to the content's leaves no way to go: MFCCs of other sounds differ by tens."""

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


def compare(
    output: SoundFeatures, content: SoundFeatures, style: SoundFeatures, *, notes: Notes = "content"
) -> dict[str, float | None]:
    """Return the figures of one pair, by column name, all but the reconstruction (`spectral_convergence_db`).

    Output and content are compared over the length they share; where one is longer it is cut and measured again.

    Parameters
    ----------
    output, content, style : SoundFeatures
        The result, and what it was made from.
    notes : {"content", "style"}
        Whose notes the result is meant to play: with the content's, the style's timbre is taken at their pitch.

    Returns
    -------
    dict of str to float or None
    """
    output, content = _shared_length(output, content)
    shifted = transfers(output.samples, content.samples, style.model)
    return {
        "timbre_transfer": timbre_transfer(output, content, style, notes=notes),
        **{name: shifted[name] for name in NAMES},
        "rhythm_kept": rhythm_kept(output, content),
        "dynamics_kept": dynamics_kept(output, content),
        "pitch_kept": pitch_kept(output, content),
        "melody_kept": melody_kept(output.melody, content.melody),
        "style_leak": style_leak(output.melody, content.melody, style.melody),
        "bandwidth_shift": bandwidth_shift(output, content, style),
        "noise_hnr_db": output.hnr_db,
        "blips_per_s": added_blips_per_s(output.blips, content.blips, style.blips),
    }


def figures(
    output: NDArray[np.floating],
    content: NDArray[np.floating],
    style: NDArray[np.floating],
    *,
    notes: Notes = "content",
) -> dict[str, float | None]:
    """Return the figures of three sounds, mono at 16 kHz, `[N]`; `compare` is the same for sounds measured before.

    Raises
    ------
    SignalError
        As `features`.

    Examples
    --------
    >>> time_s = np.arange(8_000) / 16_000
    >>> plucked, buzz = np.exp(-9 * time_s) * np.sin(2_000 * time_s), np.sign(np.sin(700 * time_s))
    >>> kept = figures(plucked, plucked, buzz)
    >>> round(kept["timbre_transfer"], 6), round(kept["dynamics_kept"], 6)
    (0.0, 1.0)
    """
    shared = min(len(output), len(content))
    return compare(features(output[:shared]), features(content[:shared]), features(style), notes=notes)


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


# The figures, each from features of the same number of frames.


def timbre_transfer(
    output: SoundFeatures, content: SoundFeatures, style: SoundFeatures, *, notes: Notes = "content"
) -> float | None:
    """Return `1 - d(o, s) / d(c, s)`, `d` the Euclidean distance of mean MFCCs: 1 when the style's timbre arrived.

    With the content's notes, `s` is the style at the content's pitch, where both have one.
    """
    wanted = style.mfcc if notes == "style" else _mfcc_at_pitch(style, content)
    if output.mfcc is None or content.mfcc is None or wanted is None:
        return None
    return _share_travelled(output.mfcc - wanted, content.mfcc - wanted)


def rhythm_kept(output: SoundFeatures, content: SoundFeatures) -> float | None:
    """Return Pearson's correlation of the onset strengths."""
    return _correlation(output.onsets, content.onsets)


def dynamics_kept(output: SoundFeatures, content: SoundFeatures) -> float | None:
    """Return Pearson's correlation of the frame levels in dB, floored 60 dB under each sound's peak."""
    return _correlation(output.level_db, content.level_db)


def pitch_kept(output: SoundFeatures, content: SoundFeatures) -> float | None:
    """Return the mean cosine of the chroma over frames where the content is within 40 dB of its peak.

    A frame where one of the two has no chroma at all counts as zero: nothing was kept of it.
    """
    audible = content.level_db > AUDIBLE_DB
    if not audible.any():
        return None
    estimate, reference = output.chroma[:, audible], content.chroma[:, audible]
    norms = np.linalg.norm(estimate, axis=0) * np.linalg.norm(reference, axis=0)
    products = (estimate * reference).sum(axis=0)
    return float(np.mean(np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0)))


def bandwidth_shift(output: SoundFeatures, content: SoundFeatures, style: SoundFeatures) -> float | None:
    """Return `(bw_o - bw_c) / (bw_s - bw_c)`: 0 at the content's bandwidth, 1 at the style's.

    None where the style's bandwidth differs from the content's by less than 25 %.
    """
    of_output, of_content, of_style = (sound.descriptors["bandwidth_hz"] for sound in (output, content, style))
    if of_output is None or of_content is None or of_style is None:
        return None
    if abs(of_style - of_content) < max(BANDWIDTH_CONTRAST * of_content, NEGLIGIBLE):
        return None
    return (of_output - of_content) / (of_style - of_content)


def spectral_convergence_db(estimate: NDArray[np.inexact], reference: NDArray[np.floating]) -> float | None:
    """Return `20 log10(||abs(estimate) - M|| / ||M||)`: how far a sound's STFT is from the picture `M` asked for.

    Parameters
    ----------
    estimate : ndarray
        STFT of the sound, or its magnitude, `[F, T]`.
    reference : ndarray of float
        The magnitude `M` before any phase step, at the sound's gain, `[F, T]`.

    Returns
    -------
    float or None
        In dB, the lower the better. None where there is no ratio to take the logarithm of: `M` is all zero, or the
        estimate equals it to the last bit.

    Raises
    ------
    ValueError
        If the shapes differ.
    SignalError
        If a value is not finite.
    """
    if estimate.shape != reference.shape:
        raise ValueError(f"shapes differ: estimate {estimate.shape}, reference {reference.shape}")
    error, whole = np.linalg.norm(np.abs(estimate) - reference), np.linalg.norm(reference)
    if not np.isfinite(error + whole):
        raise SignalError("a spectrogram holds NaN or Inf")
    return float(20 * np.log10(error / whole)) if error > 0 and whole > 0 else None


# From samples to features.


def _peak_normalised(samples: NDArray[np.floating]) -> Array:
    sound = np.asarray(samples, dtype=np.float64)
    if sound.ndim != 1 or len(sound) < N_FFT:
        raise SignalError(f"a sound of shape {sound.shape} cannot be measured: need mono, {N_FFT} samples or more")
    peak = float(np.abs(sound).max())
    if not np.isfinite(peak):
        raise SignalError("the sound holds NaN or Inf")
    return sound / peak if peak > 0 else sound


def _shared_length(output: SoundFeatures, content: SoundFeatures) -> tuple[SoundFeatures, SoundFeatures]:
    shared = min(len(output.samples), len(content.samples))
    cut_output, cut_content = (
        sound if len(sound.samples) == shared else features(sound.samples[:shared]) for sound in (output, content)
    )
    return cut_output, cut_content


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


def _mfcc_at_pitch(style: SoundFeatures, content: SoundFeatures) -> Array | None:
    """Return the style's mean MFCCs, transposed to the content's median pitch where both have one."""
    given, wanted = style.melody.median_hz, content.melody.median_hz
    if style.mfcc is None or given is None or wanted is None:
        return style.mfcc
    with _COMPILING:
        return mean_mfcc(transposed(_magnitude(style.samples), wanted / given))


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


# From features to figures.


def _share_travelled(left: NDArray[np.floating], whole: NDArray[np.floating]) -> float | None:
    """Return `1 - ||left|| / ||whole||`: the share of the way from content to style; None where there is no way."""
    distance = float(np.linalg.norm(whole))
    return 1 - float(np.linalg.norm(left)) / distance if distance > TIMBRE_NEGLIGIBLE_DB else None


def _correlation(estimate: Array, reference: Array) -> float | None:
    """Return Pearson's correlation, or None where one of the two is constant to rounding."""
    deviations = [values - values.mean() for values in (estimate, reference)]
    spreads = [float(np.linalg.norm(deviation)) for deviation in deviations]
    if min(spreads) <= NEGLIGIBLE:
        return None
    # Rounding may carry equal envelopes past 1.
    return float(np.clip(np.dot(*deviations) / np.prod(spreads), -1, 1))
