"""The program of a device process: it computes the batches that it is sent, and says that it lives at every step."""

from __future__ import annotations

from tasks.computing import Batch, compute_batch
from tasks.interruption import clear_stop, raise_if_stopping, request_stop
from tasks.measurement import Measured
from tasks.serving import Tell, serve


def compute(batch: Batch, tell: Tell) -> list[Measured]:
    """Compute a batch.

    Raises
    ------
    Interrupted
        If the parent asked for it.
    """
    clear_stop()

    def on_step() -> None:
        tell("step")
        raise_if_stopping()

    return compute_batch(batch, on_step)


if __name__ == "__main__":
    serve(compute, on_notice=lambda _: request_stop())
