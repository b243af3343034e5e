"""A measurement worker that dies of results of certain lengths, as of a file that a library cannot bear.

It says of others what is easily said: one that knows nothing of librosa is there in a tenth of the time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from hashlib import sha256

from tasks.interruption import request_stop
from tasks.pair_state import Measurement, MeasurementRequest
from tasks.workers.server import Tell, serve

DEADLY, ENDLESS = 8_001, 8_002
"""Lengths in samples of a result that kills the measurement worker, and of one that it never gets done with."""


def suffer(orders: Sequence[MeasurementRequest], tell: Tell) -> list[Measurement]:
    """Measure, unless a result's length asks for something else."""
    for order in orders:
        if len(order.samples) == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        if len(order.samples) == ENDLESS:
            time.sleep(3_600)
    return [_measured(order) for order in orders]


def _measured(order: MeasurementRequest) -> Measurement:
    data = order.samples.tobytes()
    digest = sha256(data).hexdigest()
    return Measurement(data, digest, digest, order.sample_rate, len(order.samples), 1, 1.0, {}, {})


if __name__ == "__main__":
    serve(suffer, on_notice=lambda _: request_stop())
