"""`timbreflow pretrain` in small: weights that load, and a card that says where they come from."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from stylecore.errors import DependencyError, WeightsError
from stylecore.network import AlexNet3x3, load_network, save_network
from stylecore.pretraining import augment, pretrain, train
from stylecore.pretraining.model_card import Pretraining, command
from stylecore.pretraining.notes import NOTE_S, SAMPLE_RATE, Notes
from stylecore.pretraining.pretrain import pretrain_network
from tests.stylecore.tiny_soundfont import write_soundfont

N_SAMPLES = round(NOTE_S * SAMPLE_RATE)


def _tones(source: Path, per_program: int, seed: int, without: Collection[int] = ()) -> Notes:
    """Return tones in place of rendered notes: programs 0, 1 and 40, each a number of harmonics."""
    if not source.is_file():
        raise DependencyError(f"soundfont {source} not found")
    pitches = np.random.default_rng(seed).integers(50, 70, (3, per_program))
    time_s = np.arange(N_SAMPLES) / SAMPLE_RATE
    kept = [(program, pitch) for program, row in zip((0, 1, 40), pitches, strict=True) for pitch in row]
    kept = [(program, pitch) for program, pitch in kept if program not in without]
    hz = [440.0 * 2.0 ** ((pitch - 69) / 12.0) for _, pitch in kept]
    samples = [
        sum(np.sin(2 * np.pi * f * k * time_s) for k in range(1, 2 + program % 7))
        for f, (program, _) in zip(hz, kept, strict=True)
    ]
    programs, heights = np.array(kept).T
    return Notes(np.array(samples, dtype=np.float16) / np.float16(8), programs, heights)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretraining:
    """Return a small request: two soundfonts, the second of which has program 1 from the unseen one."""
    monkeypatch.setattr(pretrain, "render_notes", _tones)
    monkeypatch.setattr(pretrain, "MEASURED_EVERY", 1)
    monkeypatch.setattr(augment, "CROP_FRAMES", 16)
    monkeypatch.setattr(train, "BATCH", 4)
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 1)
    own, other, shared = (
        np.random.default_rng(seed).integers(-20_000, 20_000, 3_000).astype(np.int16) for seed in range(3)
    )
    write_soundfont(tmp_path / "first.sf2", {0: own, 1: own, 40: own})
    write_soundfont(tmp_path / "second.sf2", {0: other, 1: shared, 40: other})
    write_soundfont(tmp_path / "unseen.sf2", {1: shared})
    (tmp_path / "patches.cfg").touch()
    return Pretraining(
        soundfonts=(str(tmp_path / "first.sf2"), str(tmp_path / "second.sf2")),
        unseen_soundfont=str(tmp_path / "unseen.sf2"),
        selection=str(tmp_path / "patches.cfg"),
        start=None,
        out=str(tmp_path / "out"),
        notes=30,
        steps=1,
        seed=3,
    )


def test_weights_load_and_the_card_tells_their_origin(asked: Pretraining) -> None:
    said: list[str] = []
    card = pretrain_network(asked, said.append)
    out = Path(asked.out)
    assert load_network(out / "instruments80.safetensors").classifier
    assert (out / "MODEL_CARD.md").read_text() == card
    assert "| pitches held out as a whole | first.sf2 |" in card
    assert "| pitches held out as a whole | second.sf2 |" in card
    assert "| selection | patches.cfg | 75 |" in card
    assert "| unseen soundfont | unseen.sf2 | 75 |" in card
    assert "- Start: random weights." in card
    assert f"`{command(asked)}`" in card
    assert any(words.startswith("step 1: selection top-1 ") for words in said)


def test_programs_shared_with_the_unseen_soundfont_are_left_out(asked: Pretraining) -> None:
    card = pretrain_network(asked, lambda _: None)
    rows = {line.split(" | ")[0]: line.split(" | ")[2] for line in card.splitlines() if ".sf2 | " in line}
    assert rows["| first.sf2"].split(", ")[:2] == ["2", "3"]
    assert rows["| second.sf2"].split(", ")[:3] == ["1", "2", "3"]


def test_training_goes_on_from_other_weights(asked: Pretraining, tmp_path: Path) -> None:
    network = AlexNet3x3()
    save_network(network, tmp_path / "start.safetensors", {})
    card = pretrain_network(replace(asked, start=str(tmp_path / "start.safetensors")), lambda _: None)
    assert "- Start: start.safetensors, digest of its filters `" in card
    trained = load_network(Path(asked.out) / "instruments80.safetensors")
    moved = (trained.convolutions[0].weight - network.convolutions[0].weight).abs().max()  # type: ignore[operator]
    assert 0.0 < moved.item() < 1e-3


def test_weights_to_start_from_must_exist(asked: Pretraining, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        pretrain_network(replace(asked, start=str(tmp_path / "none.safetensors")), lambda _: None)


def test_the_command_of_the_card_asks_for_the_same(asked: Pretraining, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Pretraining] = []
    monkeypatch.setattr(pretrain, "pretrain_network", lambda request, _say: heard.append(request) or "card")
    asked = replace(asked, start="some weights.safetensors", out="training")
    result = CliRunner().invoke(app, shlex.split(command(asked))[1:])
    assert result.exit_code == 0, result.output
    assert heard == [asked]
