"""An independent transcription of the figures: every formula written out, in plain NumPy and float64.

Nothing is shared with `stylecore.metrics`; the only thing taken from a library is librosa's estimate of the tuning,
a heuristic without a formula. Written to be compared with the definitions line by line, not to be fast.
"""

from __future__ import annotations

import librosa
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SAMPLE_RATE = 16_000
HOP = 160


def figures(output: Array, content: Array, style: Array, seeds: tuple[int, ...]) -> dict[str, float | None]:
    """Return the six figures of three sounds `[N]`, none of which is silent, constant or equal to another."""
    n = min(len(output), len(content))
    o, c, s = (sound / np.abs(sound).max() for sound in (output[:n], content[:n], style))
    spectra = [np.abs(stft(sound, 512, 480)) for sound in (o, c, s)]
    bandwidths = [bandwidth_hz(magnitude) for magnitude in spectra]
    timbres = [mean_mfcc(magnitude) for magnitude in spectra]
    levels = [level_db(magnitude) for magnitude in spectra[:2]]
    return {
        "timbre_transfer": 1 - distance(timbres[0], timbres[2]) / distance(timbres[1], timbres[2]),
        "texture_transfer": float(np.mean([texture_transfer(o, c, s, seed) for seed in seeds])),
        "rhythm_kept": pearson(onset_strength(o), onset_strength(c)),
        "dynamics_kept": pearson(*levels),
        "pitch_kept": pitch_kept(chroma(spectra[0]), chroma(spectra[1]), levels[1]),
        "bandwidth_shift": bandwidth_shift(*bandwidths),
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


def texture_transfer(output: Array, content: Array, style: Array, seed: int) -> float:
    """Return the texture transfer in the eyes of one random network."""
    kernels = np.random.default_rng(seed).standard_normal((256, 257, 7))
    of_output, of_content, of_style = (texture_gram(sound, kernels) for sound in (output, content, style))
    return 1 - distance(of_output, of_style) / distance(of_content, of_style)


def texture_gram(samples: Array, kernels: Array) -> Array:
    """Return the Gram matrix of unit norm of a 1-D CNN over time, `[256, 256]`; kernels are `[256, 257, 7]`."""
    at_level = samples * 0.1 / np.sqrt(np.mean(samples**2))
    picture = np.log1p(100 * np.abs(stft(at_level, 512, 480)))
    steps = picture.shape[1] - 6
    encoding = sum(kernels[:, :, tap] @ picture[:, tap : tap + steps] for tap in range(7))
    encoding = np.maximum(encoding, 0)
    gram = encoding @ encoding.T / steps
    return np.asarray(gram / np.sqrt(np.sum(gram**2)))


def distance(left: Array, right: Array) -> float:
    """Return the Euclidean (Frobenius) distance."""
    return float(np.sqrt(np.sum((left - right) ** 2)))


def pearson(left: Array, right: Array) -> float:
    """Return Pearson's correlation."""
    return float(np.mean((left - left.mean()) * (right - right.mean())) / (left.std() * right.std()))
