"""How near a result comes to the right answer: 1 at the truth, 0 no nearer to it than the untouched content.

First, distances of features over time, frame by frame, on sounds at one RMS; these sounds are cut, or padded with
silence, to the truth's length. Then the project's own figures (stylecore/figures.py), the truth in the style's place.
No loss knows any of these features.
"""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import NDArray

from benchmarks.judged_pairs import JudgedPair
from benchmarks.sound.systems import Rendered
from stylecore.figures import NEGLIGIBLE
from stylecore.melody import Melody, melody, melody_kept
from stylecore.transfers import transfers
from tasks.audio.sound_files import SAMPLE_RATE

HOP = 160
N_FFT = 1024
MEL_BANDS = 64
MFCC_COUNT = 13
WINDOWS = (1024, 2048)
"""64 ms and 128 ms: partials of low notes are told apart by the longer one, their changes by the shorter one."""
RMS = 0.1
POWER_FLOOR = 1e-4
"""Power per mel band under which all is silence, 80 dB and more under a tone at this RMS."""
MAGNITUDE_FLOOR = 0.01
"""Magnitude at which the partials' logarithm bends into a line, for a window of 512 samples."""
LOUD_DB = -30.0
"""Frames of the truth within so much of its loudest one have a melody."""

FRAMES = ("mel", "mfcc", "partials")
TRANSFERS = {
    "texture": "texture_transfer",
    "modulation": "modulation_transfer",
    "tonality": "tonality_transfer",
    "attacks": "attack_transfer",
}
"""What the figures that are computed after equalising are called here."""
TRUTH_FIGURES = (*FRAMES, "melody", "pitch", *TRANSFERS)

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class OverTime:
    """What is compared of one sound, frame by frame.

    Attributes
    ----------
    spectra : dict of str to list of ndarray
        By figure, one or several log-spectrograms `[D, T]` whose distances are averaged.
    chroma : ndarray of float
        Pitch classes, `[12, T]`.
    energy : ndarray of float
        Of each frame, `[T]`.
    """

    spectra: dict[str, list[Array]]
    chroma: Array
    energy: Array


def towards_truth(written: Array, gain: float, rendered: Rendered, pair: JudgedPair) -> dict[str, float | None]:
    """Do `nearness` for a result as it was written; gain and what was rendered do not count: it is what is heard."""
    return nearness(written, pair)


def nearness(heard: Array, pair: JudgedPair) -> dict[str, float | None]:
    """Return every figure of `TRUTH_FIGURES` for a result; None where one is not defined.

    Parameters
    ----------
    heard : ndarray of float
        `[N]`, mono at 16 kHz.
    pair : JudgedPair
        With its truth.

    Raises
    ------
    ValueError
        If the pair has no truth.
    """
    if pair.truth is None:
        raise ValueError(f"{pair.pair_id} has no truth to be compared with")
    content, truth = pair.content.samples, pair.truth
    found = over_time(heard, content, truth.samples)
    moved = transfers(heard.astype(np.float64), content.astype(np.float64), truth.features.model)
    return {
        **found,
        "pitch": pitch_kept(heard, pair.content.features.melody, truth.features.melody),
        **{name: moved[column] for name, column in TRANSFERS.items()},
    }


def pitch_kept(written: Array, content: Melody, truth: Melody) -> float | None:
    """Return the share of the truth's voiced frames where a pitch tracker finds the result within 50 cents.

    None where content or truth is no single voice: what the tracker hears in chords or drums is no melody.
    """
    peak = float(np.abs(written).max())
    if not (content.is_pitched and peak > 0):
        return None
    return melody_kept(melody(written.astype(np.float64) / peak), truth)


def over_time(output: Array, content: Array, truth: Array) -> dict[str, float | None]:
    """Return `mel`, `mfcc`, `partials` and `melody` of three sounds, mono at 16 kHz, `[N]`.

    The first three are `1 - d(o, t) / d(c, t)`, `d` the mean over frames of the Euclidean distance; None where content
    and truth are the same. `melody` is the mean cosine of the chroma of output and truth where the truth is loud.

    Examples
    --------
    >>> time_s = np.arange(16_000) / 16_000
    >>> plain, rich = np.sin(2_000 * time_s), np.sign(np.sin(2_000 * time_s))
    >>> over_time(rich, plain, rich)["mel"], over_time(plain, plain, rich)["partials"]
    (1.0, 0.0)
    """
    own, given, wanted = (_over_time(fitted(sound, len(truth))) for sound in (output, content, truth))
    found = {name: _share(own.spectra[name], given.spectra[name], wanted.spectra[name]) for name in FRAMES}
    return {**found, "melody": _melody(own.chroma, wanted)}


def fitted(sound: Array, length: int) -> Array:
    """Return a sound cut or padded to a length and brought to the RMS at which sounds are compared; silence stays.

    >>> fitted(np.ones(2), 4).round(3).tolist()
    [0.141, 0.141, 0.0, 0.0]
    """
    cut = np.pad(np.asarray(sound, np.float64), (0, max(0, length - len(sound))))[:length]
    return cut * RMS / (float(np.sqrt(np.mean(cut**2))) + 1e-9)


def _over_time(sound: Array) -> OverTime:
    magnitudes = {window: _magnitude(sound, window) for window in WINDOWS}
    power = magnitudes[N_FFT] ** 2
    bands = librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE, n_mels=MEL_BANDS)
    mel = librosa.power_to_db(bands, ref=1.0, amin=POWER_FLOOR)
    # Coefficient 0 is the level, which is no part of a timbre.
    mfcc = librosa.feature.mfcc(S=mel, n_mfcc=MFCC_COUNT)[1:]
    partials = [np.log1p(found / (MAGNITUDE_FLOOR * window / 512)) for window, found in magnitudes.items()]
    chroma = _chroma(magnitudes[max(WINDOWS)] ** 2)
    return OverTime({"mel": [mel], "mfcc": [mfcc], "partials": partials}, chroma, power.sum(axis=0))


def _chroma(power: Array) -> Array:
    """Return pitch classes `[12, T]` of power spectra of the longest window, at the sound's own tuning."""
    tuning = librosa.estimate_tuning(S=power, sr=SAMPLE_RATE) if power.any() else 0.0
    return librosa.feature.chroma_stft(S=power, sr=SAMPLE_RATE, n_fft=max(WINDOWS), tuning=tuning)


def _magnitude(sound: Array, window: int) -> Array:
    return np.abs(librosa.stft(sound, n_fft=window, hop_length=HOP))


def _share(own: list[Array], given: list[Array], wanted: list[Array]) -> float | None:
    """Return the share of the way from content to truth, the mean of all kinds; None where there is none."""
    ways = [_distance(c, t) for c, t in zip(given, wanted, strict=True)]
    if min(ways) <= NEGLIGIBLE:
        return None
    return float(np.mean([1 - _distance(o, t) / way for o, t, way in zip(own, wanted, ways, strict=True)]))


def _distance(one: Array, other: Array) -> float:
    """Return the mean over frames of the Euclidean distance of two log-spectrograms `[D, T]`."""
    return float(np.linalg.norm(one - other, axis=0).mean())


def _melody(chroma: Array, truth: OverTime) -> float | None:
    """Return the mean cosine over the truth's loud frames; a frame without any chroma counts as zero."""
    if not truth.energy.any():
        return None
    loud = truth.energy > truth.energy.max() * 10.0 ** (LOUD_DB / 10.0)
    own, wanted = chroma[:, loud], truth.chroma[:, loud]
    norms = np.linalg.norm(own, axis=0) * np.linalg.norm(wanted, axis=0)
    return float(np.mean((own * wanted).sum(axis=0) / (norms + 1e-9)))
