"""The program of a device process: it synthesises the batches that it is sent, and says at every step that it lives."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch

from tasks.cache import ByteLimitedCache
from tasks.devices.executors import DeviceQuery, SynthesisRequest
from tasks.devices.freed_memory import keep_freed_memory
from tasks.devices.hardware import present_devices
from tasks.interruption import clear_stop, raise_if_stopping, request_stop
from tasks.pair_state import PairState
from tasks.pipeline.batch_synthesis import synthesise_batch
from tasks.workers.server import Tell, serve


def answer(message: SynthesisRequest | DeviceQuery, tell: Tell) -> list[PairState] | list[str]:
    """Synthesise a batch, or say which devices there are.

    Raises
    ------
    Interrupted
        If the parent asked for it.
    """
    if isinstance(message, DeviceQuery):
        return present_devices()
    clear_stop()
    prepare(message.device)

    def on_step() -> None:
        tell("step")
        raise_if_stopping()

    torch.set_num_threads(message.threads)  # equal batches then give identical samples
    synthesise_batch(message.outcomes, message.device, message.weights, analyses(message.cache_bytes), on_step)
    return [replace(outcome, content=None, style=None, voices=()) for outcome in message.outcomes]


@lru_cache(maxsize=1)
def prepare(device: str) -> None:
    """Make this process ready for its device, once: a processor's tensors come and go without page faults."""
    if device == "cpu":
        keep_freed_memory()


@lru_cache(maxsize=1)
def analyses(limit_bytes: int) -> ByteLimitedCache:
    """Return the one cache of analysed sounds in this process."""
    return ByteLimitedCache(limit_bytes)


if __name__ == "__main__":
    serve(answer, on_notice=lambda _: request_stop())
