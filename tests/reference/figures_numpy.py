"""An independent transcription of the figures: every formula written out, in plain NumPy and float64.

Nothing is shared with `stylecore`; all that is taken from libraries is librosa's estimate of the tuning, a heuristic
without a formula, and the pitch tracker's network. Written to be compared with the definitions line by line, not to be
fast. `python -m tests.reference.figures_numpy` writes the figures of the demo's sounds into figures_reference.json.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from swift_f0 import SwiftF0

Array = NDArray[np.float64]

SAMPLE_RATE = 16_000
HOP = 160


def figures(output: Array, content: Array, style: Array) -> dict[str, float | None]:
    """Return the figures of three sounds `[N]`, none of which is silent, constant or equal to another."""
    n = min(len(output), len(content))
    o, c, s = (sound / np.abs(sound).max() for sound in (output[:n], content[:n], style))
    spectra = [np.abs(stft(sound, 512, 480)) for sound in (o, c, s)]
    bandwidths = [bandwidth_hz(magnitude) for magnitude in spectra]
    levels = [level_db(magnitude) for magnitude in spectra[:2]]
    pitches = [track(sound) for sound in (o, c, s)]
    timbres = [mean_mfcc(magnitude) for magnitude in spectra]
    if is_pitched(pitches[1]) and is_pitched(pitches[2]):
        timbres[2] = mean_mfcc(transposed(spectra[2], median_hz(pitches[1]) / median_hz(pitches[2])))
    return {
        "timbre_transfer": 1 - distance(timbres[0], timbres[2]) / distance(timbres[1], timbres[2]),
        **equalised_figures(o, c, s),
        "rhythm_kept": pearson(onset_strength(o), onset_strength(c)),
        "dynamics_kept": pearson(*levels),
        "pitch_kept": pitch_kept(chroma(spectra[0]), chroma(spectra[1]), levels[1]),
        "melody_kept": melody_kept(pitches[0], pitches[1]),
        "style_leak": style_leak((o, c, s), pitches),
        "bandwidth_shift": bandwidth_shift(*bandwidths),
        "noise_hnr_db": hnr_db(o),
        "blips_per_s": max(0.0, blips_per_s(o) - max(blips_per_s(c), blips_per_s(s))),
    }


def descriptors(samples: Array) -> dict[str, float]:
    """Return centroid, bandwidth, rolloff and flatness of one sound, `[N]`."""
    magnitude = np.abs(stft(samples / np.abs(samples).max(), 512, 480))
    power = magnitude**2
    energy = power.sum(axis=0)
    frequencies_hz = np.arange(257) * 31.25
    centroids = [np.sum(frequencies_hz * frame) / np.sum(frame) for frame in power.T]
    rolloffs = [frequencies_hz[np.flatnonzero(np.cumsum(frame) >= 0.85 * np.sum(frame))[0]] for frame in power.T]
    audible = [np.maximum(frame, 1e-10) for frame in power.T]
    flatnesses = [np.exp(np.mean(np.log(frame))) / np.mean(frame) for frame in audible]
    return {
        "centroid_hz": float(np.average(centroids, weights=energy)),
        "bandwidth_hz": bandwidth_hz(magnitude),
        "rolloff_hz": float(np.average(rolloffs, weights=energy)),
        "flatness": float(np.average(flatnesses, weights=energy)),
    }


def stft(samples: Array, n_fft: int, win_length: int) -> NDArray[np.complex128]:
    """Return the STFT `[n_fft / 2 + 1, T]`, zeros around the sound and around the periodic Hann window."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    margin = (n_fft - win_length) // 2
    window = np.pad(hann, (margin, n_fft - win_length - margin))
    padded = np.pad(samples, n_fft // 2)
    starts = range(0, len(samples) + 1, HOP)
    return np.stack([np.fft.rfft(window * padded[start : start + n_fft]) for start in starts], axis=1)


def bandwidth_hz(magnitude: Array) -> float:
    """Return the energy-weighted mean of the frames' power-weighted standard deviation of frequency."""
    frequencies_hz = np.arange(257) * 31.25
    deviations, energies = [], []
    for frame in (magnitude**2).T:
        if not frame.any():
            continue
        share = frame / frame.sum()
        centroid = np.sum(share * frequencies_hz)
        deviations.append(np.sqrt(np.sum(share * (frequencies_hz - centroid) ** 2)))
        energies.append(frame.sum())
    return float(np.average(deviations, weights=energies))


def bandwidth_shift(output_hz: float, content_hz: float, style_hz: float) -> float | None:
    """Return the share of the way from the content's to the style's bandwidth, if they differ by a quarter."""
    contrast = abs(style_hz - content_hz) / content_hz
    return None if contrast < 0.25 else (output_hz - content_hz) / (style_hz - content_hz)


def mel_filters(n_fft: int, bands: int) -> Array:
    """Return Slaney's mel filters `[bands, n_fft / 2 + 1]`: triangles of unit area, linear below 1 kHz."""

    def to_hz(mel: Array) -> Array:
        logarithmic = 1000 * np.exp(np.log(6.4) / 27 * (mel - 15))
        return np.where(mel < 15, 200 / 3 * mel, logarithmic)

    highest_mel = 15 + 27 * np.log(SAMPLE_RATE / 2 / 1000) / np.log(6.4)
    corners = to_hz(np.linspace(0, highest_mel, bands + 2))
    frequencies_hz = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)
    filters = np.zeros((bands, len(frequencies_hz)))
    for band, (low, middle, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        rising, falling = (frequencies_hz - low) / (middle - low), (high - frequencies_hz) / (high - middle)
        filters[band] = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return filters


def power_to_db(power: Array) -> Array:
    """Return dB, never more than 80 below the loudest value."""
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    return np.asarray(np.maximum(decibels, decibels.max() - 80))


def mean_mfcc(magnitude: Array) -> Array:
    """Return the mean MFCCs 1 to 12, `[12]`, frames weighted by their summed magnitude."""
    decibels = power_to_db(mel_filters(512, 64) @ magnitude**2)
    band = np.arange(64)
    cosines = [np.sqrt(2 / 64) * np.cos(np.pi * k * (2 * band + 1) / (2 * 64)) for k in range(1, 13)]
    return np.average(np.array(cosines) @ decibels, axis=1, weights=magnitude.sum(axis=0))


def onset_strength(samples: Array) -> Array:
    """Return the mean rise of 128 mel bands in dB from frame to frame, moved to where the window's centre is."""
    decibels = power_to_db(mel_filters(2048, 128) @ np.abs(stft(samples, 2048, 2048)) ** 2)
    rise = np.maximum(0, np.diff(decibels, axis=1)).mean(axis=0)
    late = 1 + 2048 // (2 * HOP)
    return np.concatenate([np.zeros(late), rise])[: decibels.shape[1]]


def level_db(magnitude: Array) -> Array:
    """Return the frames' RMS by Parseval (every bin but the first and last stands for two), in dB under the peak."""
    pairs = np.full(257, 2.0)
    pairs[[0, -1]] = 1.0
    rms = np.sqrt(pairs @ magnitude**2 / 512**2)
    return np.asarray(np.maximum(20 * np.log10(np.maximum(rms / rms.max(), 1e-12)), -60))


def chroma(magnitude: Array) -> Array:
    """Return pitch classes `[12, T]` after Ellis: every bin to its classes by a Gaussian, frames at a maximum of 1."""
    power = magnitude**2
    a0_hz = 440 * 2 ** (librosa.estimate_tuning(S=power, sr=SAMPLE_RATE) / 12) / 16
    positions = 12 * np.log2(np.arange(1, 512) * 31.25 / a0_hz)
    positions = np.concatenate([[positions[0] - 18], positions])
    widths = np.append(np.maximum(np.diff(positions), 1), 1)
    away = np.mod(positions - np.arange(12)[:, None] + 6, 12) - 6
    filters = np.exp(-0.5 * (2 * away / widths) ** 2)
    filters /= np.linalg.norm(filters, axis=0)
    # The fifth octave above A0 counts most, two octaves off it counts e^-1/2 of that; row 0 is C, three above A.
    filters *= np.exp(-0.5 * ((positions / 12 - 5) / 2) ** 2)
    classes = np.roll(filters, -3, axis=0)[:, :257] @ power
    return np.asarray(classes / np.maximum(classes.max(axis=0), np.finfo(np.float64).tiny))


def pitch_kept(estimate: Array, reference: Array, reference_level_db: Array) -> float:
    """Return the mean cosine over the frames where the reference is within 40 dB of its peak."""
    cosines = [
        e @ r / (np.linalg.norm(e) * np.linalg.norm(r))
        for e, r, level in zip(estimate.T, reference.T, reference_level_db, strict=True)
        if level > -40
    ]
    return float(np.mean(cosines))


def equalised_figures(output: Array, content: Array, style: Array) -> dict[str, float | None]:
    """Return the four figures that are computed after equalising."""
    wanted = third_octaves_db(style)
    sounds = equalise(output, wanted), equalise(content, wanted), style
    textures = [texture(sound) for sound in sounds]
    weights = textures[2][3][:, None]
    widths = erb_bands()[1]
    heard = np.array([[1.0 if low < width else 0.0 for low in (8, 16, 32, 64, 128)] for width in widths])
    pairs = np.array([[1.0 if abs(i - j) > 1 else 0.0 for j in range(32)] for i in range(32)])
    modulation = travelled(*(one[0] for one in textures), weights * heard)
    correlation = travelled(*(one[1] for one in textures), pairs * np.sqrt(weights * weights.T))
    shape = travelled(*(one[2] for one in textures), weights * np.ones((32, 2)))
    tonal = [flatness_and_crest(sound) for sound in sounds]
    steep = [slopes(sound) for sound in sounds]
    return {
        "texture_transfer": (modulation + correlation + shape) / 3,
        "modulation_transfer": modulation,
        "tonality_transfer": travelled(*(one[0] for one in tonal), tonal[2][1][:, None] * np.ones((8, 2))),
        "attack_transfer": travelled(*(one[0] for one in steep), steep[2][1][:, None] * np.ones((6, 100))),
    }


def travelled(output: Array, content: Array, style: Array, weights: Array) -> float:
    """Return the share of the way, distances weighted."""
    left, whole = (np.sum(weights * (sound - style) ** 2) for sound in (output, content))
    return float(1 - np.sqrt(left / whole))


def bins_hz(spectrum: NDArray[np.inexact]) -> Array:
    """Return the frequencies of a one-sided spectrum."""
    return 8000.0 * np.arange(len(spectrum)) / (len(spectrum) - 1)


def whole_spectrum(samples: Array) -> NDArray[np.complex128]:
    """Return the spectrum over whole half seconds, with 50 ms of silence at the end at least."""
    n = int(np.ceil((len(samples) + 800) / 8000)) * 8000
    return np.fft.rfft(np.pad(samples, (0, n - len(samples))))


def third_octaves_db(samples: Array) -> Array:
    """Return the levels of 23 triangular third octaves from 50 Hz, relative to the whole."""
    return bands_db(np.abs(whole_spectrum(samples)) ** 2)


def bands_db(power: Array) -> Array:
    """Return the levels in triangular third octaves of a power spectrum."""
    octaves = np.log2(np.maximum(bins_hz(power), 1) / 50)
    triangles = [np.maximum(0, 1 - np.abs(3 * octaves - band)) for band in range(23)]
    shares = np.array([np.sum(triangle * power) / np.sum(power) for triangle in triangles])
    return np.asarray(10 * np.log10(np.maximum(shares, 1e-10)))


def equalise(samples: Array, wanted_db: Array) -> Array:
    """Return the sound with another's third octaves, two passes, 40 dB at most."""
    spectrum = whole_spectrum(samples)
    middles = 50 * 2.0 ** (np.arange(23) / 3)

    def response(gains_db: Array) -> Array:
        heard_hz = np.clip(bins_hz(spectrum), middles[0], middles[-1])
        return np.asarray(10 ** (np.interp(np.log(heard_hz), np.log(middles), gains_db) / 20))

    gains_db = np.zeros(23)
    for _ in range(2):
        given_db = bands_db(np.abs(spectrum * response(gains_db)) ** 2)
        gains_db = np.maximum(-40, np.minimum(40, gains_db + wanted_db - given_db))
    return np.fft.irfft(spectrum * response(gains_db))[: len(samples)]


def erb_bands() -> tuple[list[tuple[float, float]], list[float]]:
    """Return middle and half width of 32 bands on the ERB scale, and their widths in Hz."""
    scale = 24.7 * 9.265

    def to_erb(hz: float) -> float:
        return float(9.265 * np.log(1 + hz / scale))

    def to_hz(erb: float) -> float:
        return float(scale * (np.exp(erb / 9.265) - 1))

    step = (to_erb(7500) - to_erb(50)) / 33
    middles = [to_erb(50) + (1 + band) * step for band in range(32)]
    return [(middle, step) for middle in middles], [to_hz(m + step) - to_hz(m - step) for m in middles]


def band_pass(signal: Array, low_hz: float, high_hz: float, rate: int) -> Array:
    """Return what of a signal lies in a range of frequencies."""
    spectrum = np.fft.fft(signal)
    frequencies = np.abs(np.fft.fftfreq(len(signal), 1 / rate))
    return np.fft.ifft(np.where((frequencies >= low_hz) & (frequencies < high_hz), spectrum, 0)).real


def cochleagram(samples: Array) -> Array:
    """Return the Hilbert envelopes of 32 bands at 16 kHz, every eighth sample, `[32, L]`."""
    spectrum = whole_spectrum(samples)
    erb = 9.265 * np.log(1 + bins_hz(spectrum) / (24.7 * 9.265))
    n = 2 * (len(spectrum) - 1)
    envelopes = []
    for middle, step in erb_bands()[0]:
        gains = np.where(np.abs(erb - middle) < step, np.cos(np.pi / 2 * (erb - middle) / step), 0)
        analytic = np.zeros(n, dtype=complex)
        analytic[: len(spectrum)] = gains * spectrum
        envelopes.append(np.abs(np.fft.ifft(analytic))[: len(samples) : 8] * 8)
    return np.array(envelopes)


def texture(samples: Array) -> tuple[Array, Array, Array, Array]:
    """Return modulations in dB, correlations, shape, and the weights of the bands."""
    amplitudes = cochleagram(samples)
    frames = amplitudes.shape[1] // 5
    grouped = amplitudes[:, : 5 * frames].reshape(32, frames, 5)
    envelopes = np.mean(grouped**0.3, axis=2)
    power = np.mean(np.sum(grouped**2, axis=0), axis=1)
    loud = power > 1e-4 * power.max()
    energy = np.sum(amplitudes**2, axis=1)
    weights = np.clip(1 + 10 * np.log10(energy / energy.max()) / 50, 0, 1)
    modulations, standards, shape = [], [], []
    for envelope in envelopes:
        mean = envelope[loud].mean()
        fast = band_pass(np.where(loud, envelope, mean), 4, 1000, 400)
        deviation = max(fast[loud].std(), 0.01 * mean)
        standard = fast / deviation
        ranges = ((8, 16), (16, 32), (32, 64), (64, 128), (128, 200))
        modulations.append([np.mean(band_pass(standard, low, high, 400)[loud] ** 2) for low, high in ranges])
        standards.append(standard[loud])
        shape.append([np.log(deviation / mean), np.mean(standard[loud] ** 3)])
    near = np.array([[weights[j] if abs(i - j) <= 2 else 0 for j in range(32)] for i in range(32)])
    near += 1e-9 * np.eye(32)
    near /= near.sum(axis=1, keepdims=True)
    products = np.array([[np.mean(one * other) for other in standards] for one in standards])
    return 10 * np.log10(near @ modulations + 1e-3), near @ products @ near.T, near @ shape, weights


def frames_of(samples: Array, length: int, hop: int) -> Array:
    """Return the power spectra `[T, F]` of Hann-windowed frames that lie in the sound whole; 512 bins at least."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    starts = range(0, len(samples) - length + 1, hop)
    return np.array([np.abs(np.fft.rfft(window * samples[at : at + length], max(length, 512))) ** 2 for at in starts])


def in_bands(spectra: Array, edges: tuple[float, ...]) -> list[Array]:
    """Return the columns of the spectra that lie between each two edges."""
    frequencies_hz = bins_hz(spectra[0])
    return [spectra[:, (frequencies_hz >= low) & (frequencies_hz < high)] for low, high in pairwise(edges)]


def flatness_and_crest(samples: Array) -> tuple[Array, Array]:
    """Return flatness and crest of 8 bands in dB, and the bands' weights."""
    spectra = frames_of(samples, 1024, 320)
    loud = spectra[spectra.sum(axis=1) > 1e-4 * spectra.sum(axis=1).max()] + 1e-9 * spectra.max()
    bands = in_bands(loud, (90, 300, 600, 1000, 1600, 2400, 3500, 5000, 7500))
    values = [
        np.mean(
            [
                [
                    10 * np.log10(np.exp(np.mean(np.log(frame))) / np.mean(frame)),
                    10 * np.log10(np.max(frame) / np.mean(frame)),
                ]
                for frame in band
            ],
            axis=0,
        )
        for band in bands
    ]
    level_db = np.array([10 * np.log10(np.sum(band)) for band in bands])
    return np.array(values), np.clip(1 + (level_db - level_db.max()) / 50, 0, 1)


def slopes(samples: Array) -> tuple[Array, Array]:
    """Return 100 quantiles of the slopes of the whole and of 5 bands, and the weights."""
    spectra = frames_of(samples, 320, 160)
    bands = [band.sum(axis=1) for band in in_bands(spectra, (50, 400, 1000, 2000, 4000, 8000))]
    levels = [10 * np.log10(np.maximum(level / level.max(), 1e-6)) for level in (spectra.sum(axis=1), *bands)]
    near_loud = (levels[0][1:] > -40) | (levels[0][:-1] > -40)
    quantiles = [np.quantile(np.diff(level)[near_loud], (np.arange(100) + 0.5) / 100) for level in levels]
    strongest = max(band.mean() for band in bands)
    weights = [min(1.0, max(0.0, 1 + 10 * np.log10(band.mean() / strongest) / 50)) for band in bands]
    return np.array(quantiles), np.array([1.0, *weights])


def transposed(magnitude: Array, ratio: float) -> Array:
    """Return the magnitudes with the fine structure stretched under the envelope that stays."""
    level = np.log(np.maximum(magnitude, 1e-5 * magnitude.max()))
    frames = []
    for frame in level.T:
        cepstrum = np.fft.ifft(np.concatenate([frame, frame[-2:0:-1]])).real
        kept = [n if n < 24 or n > 512 - 24 else None for n in range(512)]
        smooth = np.array([0.0 if n is None else cepstrum[n] for n in kept])
        envelope = np.fft.fft(smooth).real[:257]
        fine = np.interp(np.arange(257) / ratio, np.arange(257), frame - envelope, right=0.0)
        frames.append(np.exp(envelope + fine))
    return np.array(frames).T


Pitches = tuple[Array, Array, Array]


def track(samples: Array) -> Pitches:
    """Return pitch, confidence and whether each frame is loud."""
    found = SwiftF0(threads=1).detect(samples.astype(np.float32), SAMPLE_RATE)
    return found.pitch_hz, found.confidence, found.loudness_db > found.loudness_db.max() - 35


def sure(pitches: Pitches) -> NDArray[np.bool_]:
    """Return the frames that are loud and have a confident pitch."""
    return (pitches[1] >= 0.8) & (pitches[2] > 0)


def is_pitched(pitches: Pitches) -> bool:
    """Return whether there are 0.3 s, and a tenth of the loud frames, with a confident pitch."""
    count = sure(pitches).sum()
    return bool(count * 0.016 >= 0.3 and count >= 0.1 * pitches[2].sum())


def median_hz(pitches: Pitches) -> float:
    """Return the median of the confident pitches."""
    return float(np.median(pitches[0][sure(pitches)]))


def melody_kept(output: Pitches, content: Pitches) -> float | None:
    """Return the share of the content's frames whose pitch the output has."""
    if not is_pitched(content):
        return None
    kept = [
        bool(confident >= 0.5 and loud and abs(12 * np.log2(got / wanted)) <= 0.5)
        for got, confident, loud, wanted, asked in zip(*output, content[0], sure(content), strict=True)
        if asked
    ]
    return float(np.mean(kept))


NOTES_HZ = [440 * 2 ** ((40 + step / 3 - 69) / 12) for step in range(166)]


def notes(samples: Array) -> Array:
    """Return the strengths of notes in thirds of a semitone, `[T, 166]`."""
    padded = np.pad(samples, 1024)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    starts = range(0, len(padded) - 2047, 512)
    spectra = [np.abs(np.fft.rfft(window * padded[at : at + 2048], 4096)) for at in starts]
    levels = [np.sqrt(np.sum(spectrum**2)) for spectrum in spectra]
    found = np.zeros((len(spectra), 166))
    for frame, spectrum in enumerate(spectra):
        if levels[frame] <= max(levels) * 10 ** (-35 / 20):
            continue
        left, first = spectrum.copy(), None
        for _ in range(6):
            strengths = [strength(left, hz) for hz in NOTES_HZ]
            note = int(np.argmax(strengths))
            first = strengths[note] if first is None else first
            if strengths[note] > first * 10 ** (-12 / 20):
                found[frame, note] = strengths[note]
            take_out(left, NOTES_HZ[note])
    return found


def strength(spectrum: Array, f0_hz: float) -> float:
    """Return the weighted sum of ten harmonics."""
    bins = np.round(np.arange(1, 11) * f0_hz * 4096 / 16000).astype(int)
    inside = bins < len(spectrum)
    return float(np.sum(0.8 ** np.arange(10)[inside] * spectrum[bins[inside]]))


def take_out(spectrum: Array, f0_hz: float) -> None:
    """Put zeros where a note's harmonics are: 5 bins or half a semitone around the nearest to each bin."""
    harmonics = f0_hz * 4096 / 16000 * np.arange(1, int(8000 / f0_hz) + 1)
    bins = np.arange(len(spectrum))
    nearest = harmonics[np.argmin(np.abs(bins[:, None] - harmonics), axis=1)]
    spectrum[np.abs(bins - nearest) <= np.maximum(5, 0.03 * nearest)] = 0


def style_leak(sounds: tuple[Array, Array, Array], pitches: list[Pitches]) -> float | None:
    """Return the share of the output's notes that are the style's own, and at that moment none of the content's."""
    if not (is_pitched(pitches[1]) and is_pitched(pitches[2])):
        return None
    output, content, style = (notes(sound) for sound in sounds)
    shares = style.sum(axis=0) / style.sum()
    strong = [shares[max(0, at - 1) : at + 2].sum() >= 0.08 for at in range(166)]
    own = [any(strong[max(0, at - 1) : at + 2]) for at in range(166)]
    leaked = 0.0
    for frame, at in np.argwhere(output > 0):
        moment = np.flatnonzero(content[max(0, frame - 4) : frame + 5].any(axis=0))
        near = {distance_in_steps(at, note) for note in moment}
        if own[at] and not (near and min(near) <= 2):
            leaked += output[frame, at]
    return float(leaked / output.sum())


def distance_in_steps(note: int, content: int) -> int:
    """Return how far a note is from the content's, its octaves, and its third and fifth harmonics."""
    octaves = (note - content) % 36
    return int(min(octaves, 36 - octaves, *(abs(note - content - steps) for steps in (57, 84))))


def hnr_db(samples: Array) -> float:
    """Return Boersma's ratio, the median over loud frames; the autocorrelation of eight times the samples."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)

    def autocorrelation(frame: Array) -> Array:
        power = np.abs(np.fft.fft(frame, 2048)) ** 2
        longer = np.concatenate(
            [power[:1024], [power[1024] / 2], np.zeros(7 * 2048 - 1), [power[1024] / 2], power[1025:]]
        )
        found = np.fft.ifft(longer).real
        return np.asarray(found / found[0])

    frames = [samples[at : at + 1024] - samples[at : at + 1024].mean() for at in range(0, len(samples) - 1023, 320)]
    loudest = max(np.sum(frame**2) for frame in frames)
    lags = np.arange(64, int(8 * 16000 / 75) + 1)
    ratios = []
    for frame in frames:
        if np.sum(frame**2) > 1e-3 * loudest:
            height = autocorrelation(frame * window) / autocorrelation(window)
            best = max((height[k] for k in lags if height[k - 1] <= height[k] > height[k + 1]), default=0.0)
            share = min(max(best, 0.01 / 1.01), 1e6 / (1 + 1e6))
            ratios.append(10 * np.log10(share / (1 - share)))
    return float(np.median(ratios))


def blips_per_s(samples: Array) -> float:
    """Return the rate of cells that outshine what is before, after, above and below."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    padded = np.pad(samples, 240)
    starts = range(0, len(padded) - 479, 160)
    power = np.array([np.abs(np.fft.rfft(window * padded[at : at + 480], 512)) ** 2 for at in starts])
    level = 10 * np.log10(np.maximum(power / power.max(), 1e-20))
    n_frames, n_bins = level.shape

    def at(frame: int, bin_: int) -> float:
        return float(level[frame, bin_]) if 0 <= frame < n_frames and 0 <= bin_ < n_bins else -200.0

    count = 0
    for t, f in np.argwhere(level > -45):
        if level[t, f] < level[max(0, t - 1) : t + 2, max(0, f - 1) : f + 2].max():
            continue
        around = [at(t + side * away, f) for side in (-1, 1) for away in (3, 4, 5)]
        around += [at(t, f + side * away) for side in (-1, 1) for away in (6, 7, 8)]
        brightest = level[max(0, t - 5) : t + 6, max(0, f - 5) : f + 6].max()
        count += bool(level[t, f] > max(around) + 15 and level[t, f] == brightest)
    return count / (len(samples) / SAMPLE_RATE)


def distance(left: Array, right: Array) -> float:
    """Return the Euclidean (Frobenius) distance."""
    return float(np.sqrt(np.sum((left - right) ** 2)))


def pearson(left: Array, right: Array) -> float:
    """Return Pearson's correlation."""
    return float(np.mean((left - left.mean()) * (right - right.mean())) / (left.std() * right.std()))


REFERENCE = Path(__file__).with_name("figures_reference.json")
SOUNDS = REFERENCE.parents[2] / "assets" / "demo"


def demo_sound(name: str) -> Array:
    """Return a sound of the demo at 16 kHz with its peak at 1."""
    samples, sample_rate = soundfile.read(SOUNDS / name, always_2d=True)
    sound: Array = soxr.resample(samples.mean(axis=1), sample_rate, SAMPLE_RATE)
    return np.asarray(sound / np.abs(sound).max())


def output_of(description: str, content: Array, style: Array) -> Array:
    """Return the output that a row of the reference describes."""
    if description.startswith("0.5 content"):
        return 0.5 * content + 0.5 * np.resize(style, len(content))
    if description.startswith("content, first difference"):
        return np.diff(content, prepend=0.0)
    assert description == "the content itself"
    return content


def main() -> None:
    """Write the figures of every row of the reference anew; what was given by another hand stays."""
    reference = json.loads(REFERENCE.read_text())
    for row in reference["rows"]:
        content, style = demo_sound(row["content"]), demo_sound(row["style"])
        found = figures(output_of(row["output"], content, style), content, style)
        row["figures"] = {name: None if value is None else round(value, 4) + 0.0 for name, value in found.items()}
    REFERENCE.write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    main()
