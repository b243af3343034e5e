"""`timbreflow.transfer`: one pair from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import timbreflow
from stylecore.settings import PRESETS, SettingsError
from tasks.pipeline.single import synthesise_single
from tests.tasks.corpus import cut, write_cut

FEW = {"coarse_iterations": 0, "iterations": 2, "sound_iterations": 1}


def test_files_give_what_the_command_gives(tmp_path: Path) -> None:
    content, style = (write_cut(tmp_path / f"{name}.wav", name) for name in ("harp_phrase", "tuning_fork_440"))
    sound = timbreflow.transfer(content, Path(style), **FEW, seed=3)
    chosen = PRESETS["default"].resolve({**FEW, "seed": 3, "file_format": "wav-float"})
    row = synthesise_single(content, style, str(tmp_path / "out.wav"), chosen, "cpu")
    np.testing.assert_array_equal(sound, soundfile.read(str(row["output"]), dtype="float32")[0])


def test_samples_keep_their_length_rate_and_channels() -> None:
    samples, rate = cut("harp_phrase")
    stereo = np.stack([samples, 0.3 * samples], axis=1)
    sound = timbreflow.transfer(stereo, cut("violin_sustained")[0], rate, **FEW)
    assert (sound.shape, sound.dtype) == (stereo.shape, np.float32)
    assert np.sum(sound[:, 0] ** 2) > 4 * np.sum(sound[:, 1] ** 2) > 0


def test_the_style_may_have_another_rate() -> None:
    samples, rate = cut("harp_phrase")
    style, style_rate = cut("violin_sustained")
    half = timbreflow.transfer(samples, style[::2], rate, style_rate=style_rate // 2, **FEW)
    assert half.shape == samples.shape


def test_what_cannot_be_used_is_said() -> None:
    samples, rate = cut("harp_phrase")
    with pytest.raises(timbreflow.TransferError, match=r"silent: .*content\.wav' is silent"):
        timbreflow.transfer(np.zeros(8_000), samples, rate)
    with pytest.raises(timbreflow.TransferError, match="missing"):
        timbreflow.transfer("no/such.wav", samples, rate)
    with pytest.raises(ValueError, match="content: samples need their rate"):
        timbreflow.transfer(samples, samples)
    with pytest.raises(ValueError, match="style: samples of shape"):
        timbreflow.transfer(samples, np.zeros((2, 2, 2)), rate)
    with pytest.raises(SettingsError, match="strengt"):
        timbreflow.transfer(samples, samples, rate, strengt=1)
    with pytest.raises(SettingsError, match="preset='papr'"):
        timbreflow.transfer(samples, samples, rate, preset="papr")
