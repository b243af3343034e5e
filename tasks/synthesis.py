"""Synthesise pairs on a device: encode, optimise, find the phase. One bad pair never stops its companions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from stylecore.errors import Interrupted
from stylecore.losses import encode_content, encode_style
from stylecore.settings import Settings
from stylecore.synthesis import OWN_SETTINGS, Pair, Synthesis, sound_picture, synthesise
from tasks.cache import ByteLimitedCache
from tasks.devices import encoder_on

PlannedPair = Mapping[str, object]
"""One row of a plan."""


@dataclass
class Outcome:
    """What has become of one planned pair so far: its sounds, its synthesis, or the reason why there is none."""

    planned: PlannedPair
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    content: NDArray[np.float32] | None = None
    style: NDArray[np.float32] | None = None
    pair: Pair | None = None
    synthesis: Synthesis | None = None
    error_type: str | None = None
    error_message: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        """The pair's own settings."""
        return Settings.model_validate_json(str(self.planned["settings"]))

    def fail(self, error_type: str, message: str) -> None:
        """Record why there is no result; the first reason stays."""
        if self.error_type is None:
            self.error_type, self.error_message = error_type, message


def synthesise_batch(
    outcomes: Sequence[Outcome], device: str, cache: ByteLimitedCache, on_step: Callable[[], None]
) -> None:
    """Synthesise one batch on a device: each outcome gets its synthesis, or the reason why it has none.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Pairs that share a batch, with their sounds; those that have failed already are left alone.
    device : str
        As torch names it.
    cache : ByteLimitedCache
        Of encoded sounds.
    on_step : callable
        Called before each evaluation and each iteration of the phase; raises `Interrupted` to stop.

    Raises
    ------
    Interrupted
        From `on_step`.
    """
    on_step()
    waiting = [outcome for outcome in outcomes if outcome.error_type is None]
    ready = [(outcome, pair) for outcome in waiting if (pair := _encoded(outcome, device, cache)) is not None]
    _synthesise_or_split(ready, device, on_step)


def _encoded(outcome: Outcome, device: str, cache: ByteLimitedCache) -> Pair | None:
    """Encode one pair's sounds; None, with the reason in the outcome, if that fails."""
    began = time.perf_counter()
    planned, settings, content, style = outcome.planned, outcome.settings, outcome.content, outcome.style
    assert content is not None
    assert style is not None
    try:
        encoder = encoder_on(device)
        look = (device, settings.model_copy(update=dict.fromkeys(OWN_SETTINGS, 0)))
        return Pair(
            content=cache.get(
                ("content", planned["content_identity"], look),
                lambda: encode_content(encoder, _picture(content, settings, device), settings),
            ),
            style=cache.get(
                ("style", planned["style_identity"], look),
                lambda: encode_style(encoder, _picture(style, settings, device), settings),
            ),
            n_samples=len(content),
            settings=settings,
        )
    except Exception as error:  # whatever one pair does, its companions go on
        outcome.fail(error_type_of(error), f"{type(error).__name__}: {error}")
    finally:
        outcome.seconds["read"] = outcome.seconds.get("read", 0.0) + time.perf_counter() - began
    return None


def _picture(samples: NDArray[np.float32], settings: Settings, device: str) -> torch.Tensor:
    return sound_picture(torch.from_numpy(samples).to(device), settings.sample_rate)


def _synthesise_or_split(ready: Sequence[tuple[Outcome, Pair]], device: str, on_step: Callable[[], None]) -> None:
    """Synthesise a batch; if that raises, each half on its own, down to the pair that is the cause."""
    if not ready:
        return
    try:
        results = synthesise([pair for _, pair in ready], encoder_on(device), on_step)
    except Interrupted:
        raise
    except Exception as error:
        reason = error_type_of(error), f"{type(error).__name__}: {error}"
    else:
        _take_results(ready, results)
        return
    # Out of the handler: the exception held the memory of the attempt that failed.
    if len(ready) == 1:
        ready[0][0].fail(*reason)
        return
    middle = len(ready) // 2
    _synthesise_or_split(ready[:middle], device, on_step)
    _synthesise_or_split(ready[middle:], device, on_step)


def _take_results(ready: Sequence[tuple[Outcome, Pair]], results: Sequence[Synthesis]) -> None:
    for (outcome, pair), result in zip(ready, results, strict=True):
        outcome.pair, outcome.synthesis = pair, result
        outcome.seconds["optimise"] = result.seconds_optimise
        outcome.seconds["phase"] = result.seconds_phase
        if result.diverged:
            outcome.fail("diverged", f"the optimisation of {outcome.planned['pair_id']} left the finite numbers")


def error_type_of(error: Exception) -> str:
    """Return what an unexpected exception of one pair counts as: `out_of_memory` or `internal`."""
    return "out_of_memory" if isinstance(error, MemoryError | torch.OutOfMemoryError) else "internal"


def seconds_per_audio_second(settings: Settings, device: str, threads: int) -> float:
    """Measure what a second of audio costs here: some evaluations on a second of noise, scaled to all of them."""
    torch.set_num_threads(threads)
    encoder = encoder_on(device)
    noise = torch.randn(settings.sample_rate, generator=torch.Generator().manual_seed(0)).to(device)
    on_sound = min(5, settings.sound_iterations)
    short = settings.model_copy(update={"iterations": 10, "sound_iterations": on_sound, "tolerance": 0.0})
    picture = sound_picture(noise, settings.sample_rate)
    pair = Pair(
        encode_content(encoder, picture, short), encode_style(encoder, picture, short), settings.sample_rate, short
    )
    synthesise([pair], encoder)  # the first call pays for the libraries' own warming up
    result = synthesise([pair], encoder)[0]
    scale = (settings.iterations + settings.sound_iterations) / (short.iterations + short.sound_iterations)
    return result.seconds_optimise * scale + result.seconds_phase
