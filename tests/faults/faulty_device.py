"""A device process that does to itself, for pairs of certain names, what a device, a library or a user may do to it."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from tasks.devices.executors import SynthesisRequest
from tasks.interruption import request_stop
from tasks.pair_state import PairState
from tasks.pipeline import batch_synthesis as synthesis
from tasks.pipeline.device_worker import answer
from tasks.workers.server import Tell, serve


def suffer(batch: SynthesisRequest, tell: Tell) -> list[PairState]:
    """Synthesise a batch, unless a pair's name asks for something else."""
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
        synthesis.synthesise = _without_memory_for(batch)  # type: ignore[assignment]
    made: list[PairState] = answer(batch, tell)
    return made


def _without_memory_for(batch: SynthesisRequest) -> Any:
    """Return a synthesis that asks for more memory than there is once it meets the pair called `memory`."""
    (victim,) = [outcome.settings.seed for outcome in batch.outcomes if outcome.planned["pair_id"] == "memory"]
    real = _synthesise

    def synthesise(pairs: Any, *rest: Any) -> Any:
        if any(pair.settings.seed == victim for pair in pairs):
            bytearray(1 << 60)
        return real(pairs, *rest)

    return synthesise


_synthesise = synthesis.synthesise

if __name__ == "__main__":
    serve(suffer, on_notice=lambda _: request_stop())
