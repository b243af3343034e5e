"""How fast a device is: what a second of audio costs on it."""

from __future__ import annotations

import torch

from stylecore.analysis import analyse
from stylecore.pairing import paired
from stylecore.settings import Settings
from stylecore.synthesis import synthesise
from stylecore.weights import Weights
from tasks.devices.hardware import encoder_on


def seconds_per_audio_second(settings: Settings, device: str, threads: int, weights: Weights) -> float:
    """Measure what a second of audio costs here: some evaluations on a second of noise, scaled to all of them."""
    torch.set_num_threads(threads)
    encoder = encoder_on(device, weights)
    noise = torch.randn(settings.analysis_rate, generator=torch.Generator().manual_seed(0)).to(device)
    few = {name: min(5, getattr(settings, name)) for name in ("coarse_iterations", "sound_iterations")}
    short = settings.model_copy(update={**few, "iterations": 10, "tolerance": 0.0})
    sound = analyse(noise, settings.analysis_rate)
    pair = paired(sound, sound, settings.analysis_rate, encoder, short)
    synthesise([pair], encoder)  # the first call pays for the libraries' own warming up
    result = synthesise([pair], encoder)[0]
    scale = settings.full_evaluations / short.full_evaluations
    return result.seconds_optimise * scale + result.seconds_phase
