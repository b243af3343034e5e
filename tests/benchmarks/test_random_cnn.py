"""The peer does what its authors published, and is timed and judged as ours is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.marked_tables import DOCS
from benchmarks.sound import peer_random_cnn, random_cnn
from benchmarks.sound.random_cnn import BINS, GramDistance, PeerSettings

TINY = PeerSettings(filters=8, iterations=3, phase_iterations=2)
COMMAND = [
    *("--limit=2", "--seconds=0.5", "--peer-filters=8", "--peer-iterations=3", "--peer-phase-iterations=2"),
    *(f"--set={name}=2" for name in ("coarse_iterations", "iterations", "sound_iterations", "griffin_lim_iterations")),
]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.fixture
def sounds() -> tuple[np.ndarray, np.ndarray]:
    time_s = np.arange(12_000) / 16_000
    return np.sin(2 * np.pi * 440 * time_s), np.sign(np.sin(2 * np.pi * 100 * time_s[:5_000]))


def test_activations_are_a_convolution_along_time_with_bins_as_channels(generator: torch.Generator) -> None:
    log_spectrogram = torch.rand(BINS, 20, generator=generator)
    filters = random_cnn.random_filters(TINY, generator)
    found = random_cnn.activations(log_spectrogram, filters)
    assert found.shape == (8, 10)
    expected = np.einsum("kfw,ftw->kt", filters, np.lib.stride_tricks.sliding_window_view(log_spectrogram, 11, axis=1))
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-5)


def test_gram_matrix_and_loss_are_those_of_the_equations(generator: torch.Generator) -> None:
    log_spectrogram, content, style = (torch.rand(BINS, 20, generator=generator) for _ in range(3))
    filters = random_cnn.random_filters(TINY, generator)
    targets = random_cnn.encoded(content, style, filters)
    own, kept, other = (
        random_cnn.activations(sound, filters).double().numpy() for sound in (log_spectrogram, content, style)
    )
    grams = [np.einsum("it,jt->ij", found, found) / 20 for found in (own, other)]
    np.testing.assert_allclose(targets.gram, grams[1], rtol=1e-4)
    expected = 0.01 * ((own - kept) ** 2).sum() + ((grams[0] - grams[1]) ** 2).sum()
    assert float(random_cnn.loss(log_spectrogram, targets, filters, 0.01)) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_of_the_style_is_the_numeric_one(generator: torch.Generator) -> None:
    found = torch.rand(3, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.rand(3, 3, generator=generator, dtype=torch.float64)
    target = target + target.T
    assert torch.autograd.gradcheck(lambda x: GramDistance.apply(x, target), found)


def test_the_loss_falls_from_noise(sounds: tuple[np.ndarray, np.ndarray], generator: torch.Generator) -> None:
    log_spectrograms = [
        random_cnn.log_spectrogram(random_cnn.at_peer_rate(np.resize(sound, 12_000))) for sound in sounds
    ]
    filters = random_cnn.random_filters(TINY, generator)
    targets = random_cnn.encoded(*log_spectrograms, filters)
    settings = PeerSettings(filters=8, iterations=20)
    found = random_cnn.optimise(targets, filters, log_spectrograms[0].shape[1], settings, generator)
    assert len(found.losses) >= 20
    assert found.losses[-1] < 0.1 * found.losses[0]
    assert found.losses[-1] == pytest.approx(
        float(random_cnn.loss(found.log_spectrogram, targets, filters, 0.01)), rel=1e-3
    )


def test_griffin_lim_finds_the_sound_of_a_sound_s_own_magnitudes(generator: torch.Generator) -> None:
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(11_025) / random_cnn.PEER_RATE)
    wanted = torch.expm1(random_cnn.log_spectrogram(tone))
    distances = []
    for iterations in (0, 30):
        found = random_cnn.phase_found(wanted, len(tone), PeerSettings(phase_iterations=iterations), generator)
        assert found.shape == tone.shape
        distances.append(float((torch.expm1(random_cnn.log_spectrogram(found)) - wanted).norm() / wanted.norm()))
    assert distances[1] < 0.3 * distances[0]


def test_a_short_style_is_repeated_and_the_result_is_as_long_as_the_content(
    sounds: tuple[np.ndarray, np.ndarray],
) -> None:
    content, style = sounds
    result, evaluations = random_cnn.transfer(content, style, TINY)
    assert result.shape == content.shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert evaluations >= 3
    again, _ = random_cnn.transfer(content, np.resize(style, len(content)), TINY)
    np.testing.assert_array_equal(again, result)


def test_ours_and_the_peer_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peer_random_cnn.main([*COMMAND, "--out", str(tmp_path)])
    report = json.loads((tmp_path / "peer.json").read_text())
    assert [(row["pair_id"], row["system"]) for row in report["results"]] == [
        (pair, system)
        for pair in ("harp-x-fork", "singing-x-violin")
        for system in ("default", "random-cnn", "equaliser", "mix")
    ]
    assert all(row["rhythm_kept"] is not None and row["cpu_seconds_per_second"] >= 0 for row in report["results"])
    assert "times ours" in capsys.readouterr().out


@pytest.mark.slow  # test_quality.py shows the same of our own results
def test_what_is_finished_is_not_computed_again_but_a_pair_is_finished_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer_random_cnn.main([*COMMAND, "--out", str(tmp_path)])
    first = json.loads((tmp_path / "peer.json").read_text())["results"]
    computed = []
    judged = peer_random_cnn.judged
    monkeypatch.setattr(peer_random_cnn, "judged", lambda *a: computed.append(a[1].name) or judged(*a))
    ledger = tmp_path / "finished.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-40])  # killed while it wrote the second pair
    peer_random_cnn.main([*COMMAND, "--out", str(tmp_path)])
    again = json.loads((tmp_path / "peer.json").read_text())["results"]
    assert computed == ["default", "random-cnn", "equaliser", "mix"]
    assert again[:4] == first[:4]
    computed.clear()
    peer_random_cnn.main([*COMMAND, "--out", str(tmp_path), "--set=alpha=3"])
    assert len(computed) == 8


def test_the_document_names_command_machine_and_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "performance.md"
    document.write_text((DOCS / "performance.md").read_text())
    monkeypatch.setattr(peer_random_cnn, "DOCS", tmp_path)
    peer_random_cnn.main([*COMMAND, "--limit=1", "--out", str(tmp_path), "--document"])
    text = document.read_text().partition("<!-- peer -->\n")[2].partition("<!-- end of peer -->")[0]
    assert text.startswith("Made by `python -m benchmarks.sound.peer_random_cnn ")
    assert "Machine: " in text
    assert "| harp-x-fork" in text


def test_too_many_pairs_are_refused() -> None:
    with pytest.raises(SystemExit, match="limit=57 > 56 pairs"):
        peer_random_cnn.main(["--limit", "57"])


def test_a_loud_style_does_not_end_the_optimisation_where_it_begins(
    sounds: tuple[np.ndarray, np.ndarray], generator: torch.Generator
) -> None:
    content, style = (
        random_cnn.log_spectrogram(random_cnn.at_peer_rate(sound)) for sound in (sounds[0], 100 * sounds[1])
    )
    settings = PeerSettings(filters=64, iterations=10)
    filters = random_cnn.random_filters(settings, generator)
    targets = random_cnn.encoded(content, style, filters)
    losses = random_cnn.optimise(targets, filters, content.shape[1], settings, generator).losses
    assert losses[-1] < 0.5 * losses[0]
