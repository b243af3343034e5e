"""A device process that does to itself, for pairs of certain names, what a device, a library or a user may do to it.

It synthesises only where its memory is to run out. Otherwise what it renders is the content itself: what becomes of a
process that dies is the same, and one that knows nothing of torch is there in a tenth of the time.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.devices.executors import SynthesisRequest
from tasks.interruption import request_stop
from tasks.pair_state import PairState, Rendered
from tasks.workers.server import Tell, serve

_TERMS = dict.fromkeys(("content", "style", "temporal", "spectral"), 1.0)


def suffer(batch: SynthesisRequest, tell: Tell) -> list[PairState]:
    """Render a batch, unless a pair's name asks for something else."""
    for outcome in batch.outcomes:
        name = str(outcome.planned["pair_id"])
        if name == "crash":
            ctypes.string_at(0)
        elif name == "kill":  # as the kernel does when memory runs out
            os.kill(os.getpid(), signal.SIGKILL)
        elif name == "hang":
            time.sleep(3_600)
        elif name == "exit":
            os._exit(3)
        elif name == "crash_once" and not (mark := Path(str(outcome.planned["content"])).parent / "crashed").exists():
            mark.touch()
            os.abort()
    if any(outcome.planned["pair_id"] == "memory" for outcome in batch.outcomes):
        return _answer_without_memory(batch, tell)
    return [_rendered(outcome) for outcome in batch.outcomes]


def _rendered(outcome: PairState) -> PairState:
    assert outcome.content is not None
    sound = Rendered(outcome.content, 1.0, _TERMS, _TERMS, [1.0], 1, "iterations", None)
    return replace(outcome, content=None, style=None, voices=(), rendered=sound)


def _answer_without_memory(batch: SynthesisRequest, tell: Tell) -> list[PairState]:
    """Synthesise as a device does, but ask for more memory than there is once it comes to the pair called `memory`."""
    from tasks.pipeline import batch_synthesis
    from tasks.pipeline.device_worker import answer

    (victim,) = [outcome.settings.seed for outcome in batch.outcomes if outcome.planned["pair_id"] == "memory"]
    real = batch_synthesis.synthesise

    def synthesise(pairs: Any, *rest: Any) -> Any:
        if any(pair.settings.seed == victim for pair in pairs):
            bytearray(1 << 60)
        return real(pairs, *rest)

    batch_synthesis.synthesise = synthesise  # type: ignore[assignment]
    try:
        made: list[PairState] = answer(batch, tell)
        return made
    finally:
        batch_synthesis.synthesise = real


if __name__ == "__main__":
    serve(suffer, on_notice=lambda _: request_stop())
