"""The laid-out style itself as a sound: what the alignment can do before anything is optimised."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmarks.sound.systems import Rendered, Samples, System
from stylecore.alignment import lay_along
from stylecore.analysis import analyse
from stylecore.settings import CORE_VERSION, Settings
from stylecore.spectrogram import magnitude
from stylecore.synthesis import reconstruct


def mosaic_system(settings: Settings) -> System:
    """Return the system that lays the style out along the content and lets Griffin-Lim mend its phases."""
    identity = {"settings": settings.model_dump(mode="json"), "core_version": CORE_VERSION, "torch": torch.__version__}
    what = "the style laid out along the content, Griffin-Lim, nothing optimised"
    return System("mosaic", what, identity, partial(_rendered, settings))


def _rendered(settings: Settings, content: Samples, style: Samples) -> Rendered:
    own, other = (
        analyse(torch.from_numpy(np.ascontiguousarray(sound, np.float32)), settings.analysis_rate)
        for sound in (content, style)
    )
    log_spectrogram, phase = lay_along(own, other, settings.analysis_rate)
    return Rendered(
        reconstruct(log_spectrogram, len(content), settings, phase).numpy(), magnitude(log_spectrogram).numpy()
    )
