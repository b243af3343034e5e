"""The laid-out style itself as a sound: what the alignment can do before anything is optimised."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.systems import Rendered, Samples, System
from stylecore.settings import CORE_VERSION, Settings
from stylecore.spectrogram import magnitude
from stylecore.synthesis import reconstruct, sound_picture
from tasks.audio import SAMPLE_RATE

LayOut = Callable[[Tensor, Tensor], Tensor]
"""From the pictures of content `[F, T]` and style `[F, S]` to the style along the content, `[F, T]`."""


def mosaic_system(lay_out: LayOut, settings: Settings) -> System:
    """Return the system that lays the style out along the content and lets Griffin-Lim find a phase.

    Parameters
    ----------
    lay_out : callable
        A function of a module, so that other processes can be sent it.
    settings : Settings
        Of Griffin-Lim, and the seed of its first phase.
    """
    identity = {"settings": settings.model_dump(mode="json"), "core_version": CORE_VERSION, "torch": torch.__version__}
    what = "the style laid out along the content, Griffin-Lim, nothing optimised"
    return System("mosaic", what, identity, partial(_rendered, lay_out, settings))


def _rendered(lay_out: LayOut, settings: Settings, content: Samples, style: Samples) -> Rendered:
    own, other = (
        sound_picture(torch.from_numpy(np.ascontiguousarray(sound, np.float32)), SAMPLE_RATE)
        for sound in (content, style)
    )
    picture = lay_out(own, other)
    return Rendered(reconstruct(picture, len(content), settings).numpy(), magnitude(picture).numpy())
