"""Onsets of clicks and notes whose times are known; none in silence, nor in what goes on."""

from __future__ import annotations

import pytest
import torch

from stylecore.analysis import Analysis, analyse
from stylecore.onsets import frames_since, onsets
from tests.stylecore.tones import SAMPLE_RATE, hertz, noise, sawtooth, sawtooth_melody

HOP = 160


def _times(analysis: Analysis) -> list[int]:
    """Return the frames of the onsets, without the edges: there a transform sees the sound mirrored, hence a kink."""
    return [frame for frame in torch.nonzero(analysis.starts)[:, 0].tolist() if 2 < frame < len(analysis.starts) - 3]


def test_clicks_are_found_where_they_are() -> None:
    clicks = [3_200, 6_400, 9_600, 13_920]
    sound = 1e-4 * noise(16_000, 0)
    sound[clicks] = 1.0
    found = _times(analyse(sound, SAMPLE_RATE))
    assert len(found) == len(clicks)
    assert all(abs(frame - click / HOP) <= 1 for frame, click in zip(found, clicks, strict=True))


def test_notes_are_found_where_they_begin() -> None:
    notes = torch.nn.functional.pad(sawtooth_melody((57, 64, 60, 69), 6_400), (3_200, 0))
    found = _times(analyse(notes, SAMPLE_RATE))
    assert len(found) == 4
    assert all(abs(frame - begin) <= 2 for frame, begin in zip(found, (20, 60, 100, 140), strict=True))


def test_a_note_out_of_another_that_goes_on_is_found() -> None:
    sound = sawtooth(hertz(48), 16_000)
    sound[8_000:] += 2 * sawtooth(hertz(67), 8_000)
    found = _times(analyse(sound, SAMPLE_RATE))
    assert len(found) == 1
    assert abs(found[0] - 50) <= 2


@pytest.mark.parametrize("sound", [sawtooth(220.0, 16_000), noise(16_000, 1)], ids=["note", "noise"])
def test_what_goes_on_has_none(sound: torch.Tensor) -> None:
    assert not _times(analyse(sound, SAMPLE_RATE))


def test_silence_has_none() -> None:
    assert not onsets(torch.zeros(257, 60), torch.full((60,), -90.0)).any()


def test_frames_since_count_from_the_last_onset() -> None:
    starts = torch.zeros(50, dtype=torch.bool)
    starts[[10, 30]] = True
    since = frames_since(starts)
    assert since[10:30].tolist() == list(range(20))
    assert since[30:].tolist() == list(range(20))
    assert since[:10].min() >= 200  # nothing has begun yet: long ago
