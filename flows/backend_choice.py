"""The choice between the backends of a run; the rest of a run is the same."""

from __future__ import annotations

from contextlib import AbstractContextManager

from flows.execution_backend import ExecutionBackend
from flows.thread_backend import thread_backend
from tasks.ledger.close import Run
from tasks.planning.plan import Plan


def execution_backend(run: Run, planned: Plan) -> AbstractContextManager[ExecutionBackend]:
    """Return the backend that the options of a run name; it ends with the block."""
    if run.options.runner == "ray":
        from flows.ray_backend import ray_backend  # an extra, which need not be installed

        return ray_backend(run, planned)
    return thread_backend(run, planned)
