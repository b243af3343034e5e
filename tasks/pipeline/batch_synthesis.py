"""Synthesise pairs on a device: encode, optimise, find the phase. One bad pair never stops its companions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from stylecore.analysis import Analysis, analyse
from stylecore.encoder import Encoder
from stylecore.errors import Interrupted
from stylecore.pairing import paired
from stylecore.synthesis import Pair, synthesise
from stylecore.weights import Weights
from tasks.cache import ByteLimitedCache
from tasks.devices.hardware import encoder_on, end_if_lost, free_bytes, on_device
from tasks.pair_state import PairState, Voice, error_type_of
from tasks.pipeline.rendering import Made, render

BYTES_PER_SAMPLE = 3_300
"""Of memory that optimising a pair takes, per sample of its content: twice what it takes on a processor, since a GPU's
libraries want room to work in. Where that is too little the batch is halved."""

FILLED = 0.8
"""Share of the free memory that a batch may take: the cache of analysed sounds grows beside it."""

Ready = tuple[PairState, Pair]


def synthesise_batch(
    outcomes: Sequence[PairState],
    device: str,
    weights: Weights,
    cache: ByteLimitedCache,
    on_step: Callable[[], None],
) -> None:
    """Synthesise one batch on a device: each outcome is rendered, or gets the reason why it is not.

    Parameters
    ----------
    outcomes : sequence of PairState
        Pairs that share a batch, with their sounds; those that have failed already are left alone.
    device : str
        As torch names it.
    weights : Weights
        Of the network.
    cache : ByteLimitedCache
        Of analysed sounds.
    on_step : callable
        Called before each evaluation and each iteration of the phase; raises `Interrupted` to stop.

    Raises
    ------
    Interrupted
        From `on_step`.
    """
    on_step()
    waiting = [outcome for outcome in outcomes if outcome.error_type is None]
    ready = [(outcome, pair) for outcome in waiting if (pair := _encoded(outcome, device, weights, cache)) is not None]
    for part in _parts_that_fit(ready, _room(device)):
        _synthesise_or_split(part, device, weights, on_step)


def _room(device: str) -> int | None:
    """Return `free_bytes`; None if the device does not tell: what does not fit is halved."""
    try:
        return free_bytes(device)
    except Exception:
        end_if_lost(device)
        return None


def pairs_that_fit(n_samples: int, free: int | None) -> int | None:
    """Return how many pairs of contents so long a device with so many free bytes holds; None for no limit.

    >>> pairs_that_fit(41_120, 80 << 30), pairs_that_fit(480_000, 1 << 30), pairs_that_fit(41_120, None)
    (506, 1, None)
    """
    return None if free is None else max(1, int(FILLED * free) // (BYTES_PER_SAMPLE * n_samples))


def _parts_that_fit(ready: Sequence[Ready], free: int | None) -> Iterator[Sequence[Ready]]:
    """Cut a batch into equal parts that fit on the device; a processor's memory is not looked at."""
    if not ready:
        return
    room = pairs_that_fit(max(pair.n_samples for _, pair in ready), free) or len(ready)
    parts = -(-len(ready) // room)
    for part in range(parts):
        yield ready[part * len(ready) // parts : (part + 1) * len(ready) // parts]


def _encoded(outcome: PairState, device: str, weights: Weights, cache: ByteLimitedCache) -> Pair | None:
    """Encode one pair's sounds; None, with the reason in the outcome, if that fails."""
    began = time.perf_counter()
    settings, content = outcome.settings, outcome.content
    assert content is not None

    def analysis(voice: Voice) -> Analysis:
        key = (voice.identity, voice.is_pieced, device, settings.analysis_rate)
        return cache.get(key, partial(_analysed, voice, settings.analysis_rate, device))

    try:
        own = analysis(Voice(outcome.heard("content"), content))
        styles = [(voice.share, analysis(voice)) for voice in outcome.style_voices]
        return paired(own, styles, len(content), encoder_on(device, weights), settings)
    except Exception as error:  # whatever one pair does, its companions go on
        end_if_lost(device)
        outcome.fail(error_type_of(error), f"{type(error).__name__}: {error}")
    finally:
        outcome.take_time("read", time.perf_counter() - began)
    return None


def _analysed(voice: Voice, sample_rate: int, device: str) -> Analysis:
    found = analyse(on_device(voice.samples, device), sample_rate)
    return replace(found, bank_frames=found.n_frames) if voice.is_pieced else found


def _synthesise_or_split(ready: Sequence[Ready], device: str, weights: Weights, on_step: Callable[[], None]) -> None:
    """Synthesise a batch; if that raises, each half on its own, down to the pair that is the cause."""
    if not ready:
        return
    try:
        encoder = encoder_on(device, weights)
        results = synthesise([pair for _, pair in ready], encoder, on_step)
        _take_results([(*one, result) for one, result in zip(ready, results, strict=True)], device, encoder)
    except Interrupted:
        raise
    except Exception as error:
        end_if_lost(device)
        reason = error_type_of(error), f"{type(error).__name__}: {error}"
    else:
        return
    # Out of the handler: the exception held the memory of the attempt that failed.
    if len(ready) == 1:
        ready[0][0].fail(*reason)
        return
    middle = len(ready) // 2
    _synthesise_or_split(ready[:middle], device, weights, on_step)
    _synthesise_or_split(ready[middle:], device, weights, on_step)


def _take_results(made: Sequence[Made], device: str, encoder: Encoder) -> None:
    whole = [one for one in made if not one[2].diverged]
    render(whole, encoder, device)
    for outcome, _, result in made:
        outcome.take_time("optimise", result.seconds_optimise)
        outcome.take_time("phase", result.seconds_phase)
        if result.diverged:
            outcome.fail("diverged", f"the optimisation of {outcome.planned['pair_id']} left the finite numbers")
