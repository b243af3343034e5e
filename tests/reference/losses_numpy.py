"""The objective of Verma & Smith (2018), equation 1, once more: NumPy, float64, one pair, loops where they read best.

Written from METHOD.md and the docstrings of the core, not from its code: batch norm is not folded, nothing is padded,
masked or batched, and every position of every band is added up as the formula says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOOR = 0.01
EPSILON = 1e-8
POOLED_LAYERS = (1, 2)


def network_arrays(network) -> dict[str, Array]:
    """Return the parameters of a trained network under their own names, in float64."""
    return {name: tensor.detach().numpy().astype(np.float64) for name, tensor in network.state_dict().items()}


def convolved(x: Array, filters: Array) -> Array:
    """Return the 3 x 3 cross-correlation of `[C, F, T]` with `[O, C, 3, 3]`, zeros beyond the edge."""
    channels, rows, columns = x.shape
    edged = np.zeros((channels, rows + 2, columns + 2))
    edged[:, 1:-1, 1:-1] = x
    out = np.zeros((len(filters), rows, columns))
    for i in range(3):
        for j in range(3):
            out += np.einsum("oc,cft->oft", filters[:, :, i, j], edged[:, i : i + rows, j : j + columns])
    return out


def normalised(x: Array, arrays: dict[str, Array], layer: int) -> Array:
    """Return `(x - mean) / sqrt(var + 1e-5) * weight + bias`: batch norm of a frozen network."""
    mean, var, weight, bias = (
        arrays[f"norms.{layer}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def pooled(x: Array) -> Array:
    """Return the averages of 2 x 2 cells; a last odd row or column falls away."""
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    out = np.zeros((len(x), rows, columns))
    for f in range(rows):
        for t in range(columns):
            out[:, f, t] = x[:, 2 * f : 2 * f + 2, 2 * t : 2 * t + 2].mean(axis=(1, 2))
    return out


def encoded_part(log_spectrogram: Array) -> Array:
    """Return an even number of bins: without the last one, at half the sampling rate."""
    return log_spectrogram[: 2 * (len(log_spectrogram) // 2)]


def encodings(log_spectrogram: Array, arrays: dict[str, Array], depth: int) -> list[Array]:
    """Return the activations after ReLU of layers 1 to `depth`, `[C, F', T']` each, of a log-spectrogram `[F, T]`."""
    x = (encoded_part(log_spectrogram)[None] - arrays["input_mean"]) * arrays["input_scale"]
    found = []
    for layer in range(1, depth + 1):
        x = np.maximum(normalised(convolved(x, arrays[f"convolutions.{layer - 1}.weight"]), arrays, layer - 1), 0.0)
        found.append(x)
        if layer in POOLED_LAYERS:
            x = pooled(x)
    return found


def gram(encoding: Array, bands: int) -> Array:
    """Return `G[b, i, j] = mean over (f in band b, t) of F[i, f, t] F[j, f, t]`.

    Bands are equally high, as many rows as it takes for at most `bands` of them; the last may be lower.
    """
    channels, rows, columns = encoding.shape
    height = int(np.ceil(rows / min(bands, rows)))
    matrices = []
    for low in range(0, rows, height):
        band = encoding[:, low : low + height]
        matrix = np.zeros((channels, channels))
        for f in range(band.shape[1]):
            for t in range(columns):
                matrix += np.outer(band[:, f, t], band[:, f, t])
        matrices.append(matrix / (band.shape[1] * columns))
    return np.stack(matrices)


def power(log_spectrogram: Array) -> Array:
    """Return `|S|^2` of a log-magnitude log-spectrogram `log(1 + |S| / floor)`; below silence is silence."""
    return (FLOOR * (np.exp(np.maximum(log_spectrogram, 0.0)) - 1.0)) ** 2


def temporal_envelope(log_spectrogram: Array, scale: str) -> Array:
    """Return `[1, T]`: the energy per frame or, `log`, its logarithm; `level`: that of the encoded bins."""
    if scale == "level":
        log_spectrogram = encoded_part(log_spectrogram)
    energy = power(log_spectrogram).sum(axis=0)[None]
    return energy if scale == "energy" else np.log(1 + energy / FLOOR**2)


def band_energies(log_spectrogram: Array, bands: int) -> Array:
    """Return `[bands, T]`: the energy in bands of equal height; the bin at 0 Hz left out."""
    height = int(np.ceil((len(log_spectrogram) - 1) / bands))
    return np.stack(
        [power(log_spectrogram[low : low + height]).sum(axis=0) for low in range(1, len(log_spectrogram), height)]
    )


def rhythm_envelopes(log_spectrogram: Array, bands: int, reach: int) -> Array:
    """Return `[bands, T]`: the logarithm of a band's energy less its mean over `reach` frames on both sides.

    A frame near an end has fewer neighbours; with a reach of 0 all frames are neighbours.
    """
    levels = np.log(1 + band_energies(log_spectrogram, bands) / FLOOR**2)
    found = np.empty_like(levels)
    for t in range(levels.shape[1]):
        near = levels[:, max(0, t - reach) : t + reach + 1] if reach else levels
        found[:, t] = levels[:, t] - near.mean(axis=1)
    return found


def loudness(log_spectrogram: Array) -> Array:
    """Return the weight of each frame, the square root of its amplitude, of sum 1, `[T]`."""
    weights = power(log_spectrogram).sum(axis=0) ** 0.25
    return weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))


def spectral_envelope(log_spectrogram: Array, weights: Array, scale: str, bands: int) -> list[Array]:
    """Return the mean energy per bin or, `log`, the log-spectrogram's, narrow bands' and 16 broad bands' mean levels.

    `level`: the log-spectrogram's, and those of bands of its encoded bins.
    """
    if scale == "energy":
        return [power(log_spectrogram).mean(axis=1)]
    banded = encoded_part(log_spectrogram) if scale == "level" else log_spectrogram
    levels = [
        np.array([(row * weights).sum() for row in log_spectrogram]),
        np.array([(np.log(1 + row / FLOOR**2) * weights).sum() for row in band_energies(banded, bands)]),
    ]
    if scale == "level":
        return levels
    return [
        *levels,
        np.array([np.log(1 + (row * weights).sum() / FLOOR**2) for row in band_energies(log_spectrogram, 16)]),
    ]


def salience(log_spectrogram: Array, layer: int, exponent: float) -> Array:
    """Return the weight of each position of a layer: magnitude to a power over its frame's mean, pooled as it is."""
    amplitude = np.sqrt(power(encoded_part(log_spectrogram))) ** exponent
    weights = np.stack([column / max(column.mean(), EPSILON) for column in amplitude.T], axis=1)
    for pooling in POOLED_LAYERS:
        if pooling < layer:
            weights = pooled(weights[None])[0]
    return weights


def content_distance(estimate: Array, reference: Array, weights: Array) -> float:
    """Return the relative squared distance of encodings `[C, F', T']`, each position by its weight."""
    numerator = (weights * (estimate - reference) ** 2).sum()
    return float(numerator / ((weights * reference**2).sum() + EPSILON))


def spectral_distance(x: Array, content: Array, style: Array, scale: str, bands: int) -> float:
    """Return the distance of the spectral envelopes; levels are nepers of energy, a quarter in squares."""
    of_x = spectral_envelope(x, loudness(content), scale, bands)
    of_style = spectral_envelope(style, loudness(style), scale, bands)
    if scale == "energy":
        return relative_distance(of_x[0], of_style[0])
    means = [float(((a - b) ** 2).mean()) for a, b in zip(of_x, of_style, strict=True)]
    return means[0] + sum(means[1:]) / 4


def stretched(envelope: Array, n_frames: int) -> Array:
    """Return `[K, T]` read at `n_frames` points from its first to its last frame, linearly."""
    old, new = np.linspace(0.0, 1.0, envelope.shape[1]), np.linspace(0.0, 1.0, n_frames)
    return np.stack([np.interp(new, old, row) for row in envelope])


def relative_distance(estimate: Array, reference: Array) -> float:
    """Return `|estimate - reference|^2 / |reference|^2`."""
    return float(((estimate - reference) ** 2).sum() / ((reference**2).sum() + EPSILON))


def envelope_distance(estimate: Array, reference: Array, scale: str) -> float:
    """Return the relative squared distance of energies, or the mean square of differences of logarithms."""
    return relative_distance(estimate, reference) if scale == "energy" else float(((estimate - reference) ** 2).mean())


def terms(x: Array, content: Array, style: Array, arrays: dict[str, Array], settings) -> dict[str, float]:
    """Return `L_c`, `L_s`, `L_e` and `L_t` of a log-spectrogram `[F, T]` for one content and one style picture."""
    depth = max(*settings.content_layers, *settings.style_layers)
    of_x, of_content, of_style = (encodings(p, arrays, depth) for p in (x, content, style))
    bands, scale = settings.style_bands, settings.envelopes
    leader = content if settings.temporal_reference == "content" else style
    frames = content.shape[1]
    temporal = envelope_distance(
        temporal_envelope(x, scale), stretched(temporal_envelope(leader, scale), frames), scale
    )
    if settings.temporal_bands:
        reach = settings.temporal_reach
        wanted = stretched(rhythm_envelopes(leader, settings.temporal_bands, reach), frames)
        temporal += float(((rhythm_envelopes(x, settings.temporal_bands, reach) - wanted) ** 2).mean())
    return {
        "content": float(
            np.mean(
                [
                    content_distance(of_x[n - 1], of_content[n - 1], salience(content, n, settings.salience))
                    for n in settings.content_layers
                ]
            )
        ),
        "style": float(
            np.mean(
                [
                    relative_distance(gram(of_x[n - 1], bands), gram(of_style[n - 1], bands))
                    for n in settings.style_layers
                ]
            )
        ),
        "temporal": temporal,
        "spectral": spectral_distance(x, content, style, scale, settings.spectral_bands),
    }
