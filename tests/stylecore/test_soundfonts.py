"""What a soundfont contains, and which of its programs it shares with another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stylecore.errors import DependencyError
from stylecore.pretraining import soundfonts
from stylecore.pretraining.soundfonts import read_soundfont, shared_programs
from tests.stylecore.tiny_soundfont import write_soundfont


def _waveform(seed: int, length: int = 4_000) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-20_000, 20_000, length).astype(np.int16)


def test_programs_play_their_recordings(tmp_path: Path) -> None:
    waveforms = {0: _waveform(0), 56: _waveform(1, 3_001)}
    read = read_soundfont(write_soundfont(tmp_path / "two.sf2", waveforms))
    assert read.programs == {0: {0}, 56: {1}}
    for number, waveform in enumerate(waveforms.values()):
        start, end = read.samples[number]
        np.testing.assert_array_equal(read.waveforms[start:end], waveform)


def test_programs_of_other_banks_are_not_general_midi(tmp_path: Path) -> None:
    assert read_soundfont(write_soundfont(tmp_path / "drums.sf2", {3: _waveform(0)}, bank=128)).programs == {}


def test_a_recording_that_was_copied_is_found_wherever_it_lies(tmp_path: Path) -> None:
    copied = _waveform(7)
    one = read_soundfont(write_soundfont(tmp_path / "one.sf2", {0: _waveform(0), 40: copied}))
    other = read_soundfont(
        write_soundfont(tmp_path / "other.sf2", {1: _waveform(1), 2: _waveform(2), 42: copied[300:]})
    )
    assert shared_programs(one, other) == {40, 42}
    assert shared_programs(other, one) == {40, 42}


def test_a_recording_across_the_edge_of_a_block_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = _waveform(7)
    one = read_soundfont(write_soundfont(tmp_path / "one.sf2", {40: copied}))
    other = read_soundfont(write_soundfont(tmp_path / "other.sf2", {41: _waveform(1), 42: copied}))
    whole = soundfonts._shared_samples(one, other.waveforms)
    monkeypatch.setattr(soundfonts, "BLOCK", 97)
    assert soundfonts._shared_samples(one, other.waveforms) == whole == {0}


@pytest.mark.parametrize("loudness", [0.1, 0.7])
def test_a_copy_is_found_however_loud_it_is(tmp_path: Path, loudness: float) -> None:
    original = np.convolve(_waveform(7), np.hanning(30) / 15, mode="same")  # as smooth as an instrument
    one = read_soundfont(write_soundfont(tmp_path / "one.sf2", {40: original.astype(np.int16)}))
    quieter = np.round(loudness * original[1_000:3_500] + 90).astype(np.int16)
    other = read_soundfont(write_soundfont(tmp_path / "other.sf2", {1: _waveform(1), 42: quieter}))
    assert shared_programs(one, other) == {40, 42}


def test_tones_that_only_resemble_each_other_are_not_shared(tmp_path: Path) -> None:
    tones = [(9_000 * np.sin(2 * np.pi * np.arange(8_000) / period)).astype(np.int16) for period in (90.0, 90.9)]
    one, other = (read_soundfont(write_soundfont(tmp_path / f"{n}.sf2", {n: tone})) for n, tone in enumerate(tones))
    assert shared_programs(one, other) == frozenset()


def test_silence_and_other_recordings_are_not_shared(tmp_path: Path) -> None:
    quiet = np.zeros(4_000, dtype=np.int16)
    one = read_soundfont(write_soundfont(tmp_path / "one.sf2", {0: _waveform(0), 40: quiet, 41: quiet[:5]}))
    other = read_soundfont(write_soundfont(tmp_path / "other.sf2", {0: _waveform(1), 40: quiet, 41: quiet[:5]}))
    assert shared_programs(one, other) == frozenset()


@pytest.mark.parametrize("content", [b"", b"no soundfont at all", b"RIFF\0\0\0\0WAVEfmt "])
def test_what_is_no_soundfont_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.sf2").write_bytes(content)
    with pytest.raises(DependencyError, match=r"odd\.sf2 is not a soundfont"):
        read_soundfont(tmp_path / "odd.sf2")


def test_half_a_soundfont_is_refused(tmp_path: Path) -> None:
    path = write_soundfont(tmp_path / "half.sf2", {0: _waveform(0)})
    path.write_bytes(path.read_bytes()[:6_000])
    with pytest.raises(DependencyError, match=r"half\.sf2 is not a whole soundfont .*lacks phdr"):
        read_soundfont(path)
