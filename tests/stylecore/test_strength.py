"""How far a result goes from the content to the style's voice, of two pairs of demo sounds and few evaluations."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from torch import Tensor

from stylecore import metrics
from stylecore.analysis import analyse
from stylecore.folded_alexnet import load_encoder
from stylecore.pairing import paired
from stylecore.settings import Settings
from stylecore.synthesis import synthesise

SAMPLE_RATE = 16_000
N_SAMPLES = 32_000
FEW = Settings(iterations=4, sound_iterations=6)


@pytest.mark.parametrize(("content", "style"), [("harp_phrase", "tuning_fork_440"), ("drum_loop", "cello_phrase")])
def test_more_strength_is_more_of_the_styles_timbre_and_no_more_of_the_rhythm(
    sound: Callable[[str, int], Tensor], content: str, style: str
) -> None:
    encoder = load_encoder()
    sounds = [sound(name, N_SAMPLES) for name in (content, style)]
    analyses = [analyse(samples, SAMPLE_RATE) for samples in sounds]
    figures = []
    for strength in (0.0, 0.5, 1.0):
        settings = FEW.resolve({"strength": strength})
        (result,) = synthesise([paired(*analyses, N_SAMPLES, encoder, settings)], encoder)
        found = metrics.figures(result.waveform.numpy(), *(s.numpy() for s in sounds), notes="content")
        figures.append((found["timbre_transfer"], found["rhythm_kept"]))
    timbre, rhythm = zip(*figures, strict=True)
    assert abs(timbre[0]) < 0.05  # no strength: the content
    assert rhythm[0] > 0.95
    assert all(after > before + 0.05 for before, after in pairwise(timbre))
    assert all(after < before for before, after in pairwise(rhythm))
