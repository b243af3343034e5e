"""The four terms: against a transcription in NumPy, their gradients, and each pair of a batch against itself alone."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from stylecore.encoded import gram, relative_distance
from stylecore.encoder import Encoder
from stylecore.envelopes import Scale, frame_weights, resampled, spectral_envelope, temporal_envelope
from stylecore.folded_alexnet import FoldedAlexNet
from stylecore.losses import LossTerms, Objective, encode_content, encode_style
from stylecore.network import AlexNet3x3
from stylecore.settings import PRESETS, Settings
from stylecore.terms import TERMS
from tests.reference import losses_numpy as reference

NAMES = tuple(term.name for term in TERMS)
BINS = 13
LOG = Settings(coarse_iterations=0, style_bands=4)
WHOLE = LOG.resolve({"temporal_reach": 0})
ENERGY = Settings(
    coarse_iterations=0,
    style_bands=1,
    style_layers=(1, 2, 3, 4, 5),
    content_layers=(2, 5),
    temporal_reach=0,
    temporal_reference="style",
    temporal_bands=0,
    spectral_bands=0,
    salience=0.0,
    envelopes="energy",
)
LEVEL = ENERGY.resolve({"envelopes": "level", "spectral_bands": 3})
VARIANTS = pytest.mark.parametrize("settings", [LOG, ENERGY, LEVEL], ids=["log", "energy", "level"])


@pytest.fixture(scope="module")
def exact(small_network: AlexNet3x3) -> Encoder:
    """Return the small network's encoder in float64."""
    return FoldedAlexNet(small_network).double()


def _log_spectrograms(*frames: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [3.0 * torch.rand(BINS, n, generator=generator, dtype=torch.float64) for n in frames]


def _objective(encoder: Encoder, contents: list[Tensor], styles: list[Tensor], settings: Settings) -> Objective:
    return Objective(
        encoder,
        [encode_content(encoder, c, settings) for c in contents],
        [encode_style(encoder, s, settings) for s in styles],
        settings,
    )


def _padded(log_spectrograms: list[Tensor], value: float = 0.0) -> Tensor:
    longest = max(p.shape[1] for p in log_spectrograms)
    return torch.stack([torch.nn.functional.pad(p, (0, longest - p.shape[1]), value=value) for p in log_spectrograms])


@pytest.mark.parametrize("settings", [LOG, WHOLE, ENERGY, LEVEL], ids=["log", "log-whole", "energy", "level"])
@pytest.mark.parametrize("frames", [(12, 12), (11, 7), (6, 15)])
def test_every_term_is_the_equations(
    exact: Encoder, small_network: AlexNet3x3, settings: Settings, frames: tuple[int, int]
) -> None:
    contents, styles, starts = (
        _log_spectrograms(*frames),
        _log_spectrograms(9, 14, seed=1),
        [p - 0.4 for p in _log_spectrograms(*frames, seed=2)],  # some of it below silence, where an optimiser may go
    )
    found = _objective(exact, contents, styles, settings)(_padded(starts, value=7.7))
    arrays = reference.network_arrays(small_network)
    for item in range(2):
        x, c, s = (p[item].numpy() for p in (starts, contents, styles))
        expected = reference.terms(x, c, s, arrays, settings)
        for name in NAMES:
            # The encoder keeps its folded filters in float32, hence not to the last digit.
            assert found[name][item].item() == pytest.approx(expected[name], rel=2e-5), name


@VARIANTS
def test_content_and_style_are_at_zero_distance_from_themselves(exact: Encoder, settings: Settings) -> None:
    (log_spectrogram,) = _log_spectrograms(12)
    terms = _objective(exact, [log_spectrogram], [log_spectrogram], settings)(log_spectrogram[None])
    assert all(value.item() < 1e-20 for value in terms.values())


@VARIANTS
def test_each_term_looks_at_its_own_target(exact: Encoder, settings: Settings) -> None:
    content, style = _log_spectrograms(12, 12)
    objective = _objective(exact, [content], [style], settings)
    at_content, at_style = objective(content[None]), objective(style[None])
    temporal_at = at_content if settings.temporal_reference == "content" else at_style
    assert at_content["content"].item() < 1e-20 < at_style["content"].item()
    assert at_style["style"].item() < 1e-20 < at_content["style"].item()
    if settings.envelopes == "energy":
        assert at_style["spectral"].item() < 1e-20 < at_content["spectral"].item()
    else:  # frames count by the content's loudness, which the style has elsewhere
        assert at_style["spectral"].item() < 0.2 * at_content["spectral"].item()
    assert temporal_at["temporal"].item() < 1e-20


def test_the_total_weighs_each_term() -> None:
    terms = LossTerms({str(v): torch.tensor([v, 2 * v]) for v in (1.0, 10.0, 100.0, 1000.0)})
    weights = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 0.0]])
    assert terms.total(weights).tolist() == [4321.0, 20.0]


@VARIANTS
@pytest.mark.parametrize("case", ["sound", "silence", "padded"])
def test_the_gradient_of_every_term_is_the_numerical_one(exact: Encoder, settings: Settings, case: str) -> None:
    frames = (6, 6) if case == "sound" else (6, 4)
    contents, styles = _log_spectrograms(*frames), _log_spectrograms(7, 5, seed=1)
    if case == "silence":
        frames = (6, 6)
        contents = _log_spectrograms(*frames)
        point = torch.zeros(2, BINS, 6, dtype=torch.float64)
    else:
        point = _padded(_log_spectrograms(*frames, seed=3))
    objective = _objective(exact, contents, styles, settings)
    # At silence the magnitude's square bends: a difference over 1e-6 is not yet the derivative.
    atol = 1e-5 if case == "silence" else 1e-6
    assert torch.autograd.gradcheck(lambda p: objective(p).stacked, point.requires_grad_(), atol=atol)


@VARIANTS
def test_a_silent_target_leaves_losses_and_gradients_finite(exact: Encoder, settings: Settings) -> None:
    silence = torch.zeros(BINS, 8, dtype=torch.float64)
    objective = _objective(exact, [silence], [silence], settings)
    point = _padded(_log_spectrograms(8)).requires_grad_()
    terms = objective(point)
    (gradient,) = torch.autograd.grad(terms.total(torch.ones(1, 4, dtype=torch.float64)).sum(), point)
    assert bool(torch.isfinite(terms.stacked).all())
    assert bool(torch.isfinite(gradient).all())


def _loss_and_gradient(objective: Objective, point: Tensor, name: str) -> tuple[Tensor, Tensor]:
    point = point.clone().requires_grad_()
    loss = objective(point)[name]
    return loss.detach(), torch.autograd.grad(loss.sum(), point)[0]


@pytest.mark.parametrize("frames", [(31, 21, 6), (29, 29, 29)])
@pytest.mark.parametrize(
    "settings",
    [LOG, Settings(**{**ENERGY.model_dump(), "style_layers": (1, 5), "content_layers": (4,)})],
    ids=["default", "energy"],
)
def test_a_pair_in_a_batch_is_the_pair_alone(
    encoder: Encoder, log_spectrogram_of: Callable[[str, int], Tensor], settings: Settings, frames: tuple[int, ...]
) -> None:
    names = ("harp_phrase", "singing_phrase", "drum_loop")
    contents = [log_spectrogram_of(name, 4_800)[:, :n].contiguous() for name, n in zip(names, frames, strict=True)]
    styles = [
        log_spectrogram_of(name, n)
        for name, n in (("violin_sustained", 4_000), ("glass_rub", 2_000), ("harp_phrase", 3_000))
    ]
    generator = torch.Generator().manual_seed(0)
    starts = [1.5 + torch.randn(257, n, generator=generator) for n in frames]
    batch = _objective(encoder, contents, styles, settings)
    singles = [_objective(encoder, [c], [s], settings) for c, s in zip(contents, styles, strict=True)]
    for name in NAMES:
        losses, gradients = _loss_and_gradient(batch, _padded(starts, value=5.0), name)
        for item, (single, start) in enumerate(zip(singles, starts, strict=True)):
            loss, gradient = _loss_and_gradient(single, start[None], name)
            own = start.shape[1]
            assert losses[item].item() == pytest.approx(loss.item(), rel=1e-5), name
            assert (gradients[item, :, :own] - gradient[0]).norm() <= 1e-5 * gradient.norm(), name
            assert gradient.norm() > 0, name
            assert not gradients[item, :, own:].any(), name  # padding gets no gradient


def test_a_gram_matrix_is_a_mean_over_its_band() -> None:
    generator = torch.Generator().manual_seed(0)
    encoding = torch.randn(2, 3, 7, 5, generator=generator, dtype=torch.float64)
    found = gram(encoding, None, 3)  # rows 0-2, 3-5 and 6
    assert found.shape == (2, 3, 3, 3)
    for band, rows in enumerate((slice(0, 3), slice(3, 6), slice(6, 7))):
        part = encoding[:, :, rows].numpy()
        expected = np.einsum("bift,bjft->bij", part, part) / (part.shape[2] * 5)
        np.testing.assert_allclose(found[:, band].numpy(), expected, rtol=1e-12)


def test_a_gram_matrix_divides_by_own_columns() -> None:
    encoding = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    encoding[1, :, :, 4:] = 0.0
    padded = gram(encoding, torch.tensor([6, 4]), 2)
    torch.testing.assert_close(padded[0], gram(encoding[:1], None, 2)[0])
    torch.testing.assert_close(padded[1], gram(encoding[1:, :, :, :4], None, 2)[0])


@pytest.mark.parametrize("bands", [4, 5, 64])
def test_there_are_at_most_as_many_bands_as_rows(bands: int) -> None:
    encoding = torch.randn(1, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    assert gram(encoding, None, bands).shape == (1, 4, 2, 2)


def test_one_gram_matrix_forgets_frequency_and_bands_do_not() -> None:
    encoding = torch.randn(1, 3, 8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    upside_down = encoding.flip(2)
    torch.testing.assert_close(gram(encoding, None, 1), gram(upside_down, None, 1))
    assert relative_distance(gram(upside_down, None, 4), gram(encoding, None, 4)).item() > 0.05


def test_gram_matrices_forget_the_order_in_time() -> None:
    encoding = torch.randn(1, 3, 8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(gram(encoding, None, 4), gram(encoding.flip(3), None, 4))


def test_energy_envelopes_add_up_the_energy() -> None:
    (log_spectrogram,) = _log_spectrograms(9)
    power = (0.01 * torch.expm1(log_spectrogram)) ** 2
    temporal = temporal_envelope(log_spectrogram[None], "energy")
    (spectral,) = spectral_envelope(log_spectrogram[None], frame_weights(log_spectrogram[None], "energy"), "energy", 0)
    torch.testing.assert_close(temporal, power.sum(0)[None, None])
    torch.testing.assert_close(spectral, power.mean(1)[None])
    torch.testing.assert_close(temporal.sum(), 9 * spectral.sum())


def test_levels_do_not_hear_a_whistle_where_the_network_is_deaf() -> None:
    """At half the sampling rate no content holds it: a temporal envelope would be matched by a whistle."""
    (log_spectrogram,) = _log_spectrograms(9)
    whistle = log_spectrogram.clone()
    whistle[-1] += 5.0
    for scale, hears in (("log", True), ("level", False)):
        plain, added = (temporal_envelope(p[None], scale) for p in (log_spectrogram, whistle))
        assert bool((added - plain).abs().max() > 1e-6) == hears


def test_a_single_loud_cell_is_a_cheap_average_energy_but_no_average_level() -> None:
    frames = 100
    quiet = torch.full((1, 257, frames), 1.0, dtype=torch.float64)
    blip = quiet.clone()
    blip[0, 100, 50] += 6.0
    weights = torch.full((1, 1, frames), 1 / frames, dtype=torch.float64)

    def raised(scale: Scale) -> float:
        """Return the largest change of an average, in nepers of amplitude."""
        pairs = zip(*(spectral_envelope(p, weights, scale, 3)[1:] for p in (quiet, blip)), strict=True)
        return max(float((b - a).abs().max()) / 2 for a, b in pairs)

    assert raised("level") < 6.0 / frames < 10 * 6.0 / frames < raised("log")


def test_a_resampled_envelope_keeps_its_ends_and_its_line() -> None:
    line = torch.linspace(0.0, 6.0, 4)[None, None]
    torch.testing.assert_close(resampled(line, 7), torch.linspace(0.0, 6.0, 7)[None, None])


def test_targets_hold_no_graph_and_know_their_size(exact: Encoder) -> None:
    encoder = copy.deepcopy(exact).requires_grad_(True)
    (log_spectrogram,) = _log_spectrograms(10)
    content, style = encode_content(encoder, log_spectrogram, LOG), encode_style(encoder, log_spectrogram, LOG)
    tensors = [*content.tensors(), *style.tensors()]
    assert len(tensors) == 2 * 2 + 2 + 1 + 3 + 3 + 2
    assert not any(t.requires_grad for t in tensors)
    assert content.frames == 10
    assert sorted(content.kept["content"]["encodings"]) == sorted(PRESETS["default"].content_layers)
    assert sorted(style.kept["style"]["grams"]) == [1, 2, 3]
    assert content.n_bytes + style.n_bytes == sum(8 * t.numel() for t in tensors)
