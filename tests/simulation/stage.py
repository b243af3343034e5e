"""The project's own flow and collection on the stage of a `World`: what they import from the machine is replaced.

Replaced are the storage below `Storage`, processes and their numbers, threads and queues, the devices, decoders, and
Prefect. Planning, leases, commits, snapshots, publishing and collection are the real ones.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext
from hashlib import sha256
from queue import Empty
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from flows.execution_backend import ExecutionBackend
from manifests.results.history import PART_SCHEMA
from manifests.schema import RESULT_SCHEMA
from tasks.audio.decoding import DecodedContent, SoundInfo
from tasks.audio.style_pieces import HeardStyle
from tasks.clock import another_clock
from tasks.devices.executors import SynthesisRequest
from tasks.interruption import request_stop
from tasks.ledger.close import Run
from tasks.ledger.commit import ResultRow
from tasks.pair_state import Measurement, PairState, Rendered
from tasks.pipeline.rows import RowContext, rows_of
from tasks.pipeline.shards import Committed, compute_shards, shard_groups
from tasks.planning.plan import Plan, plan_run
from tasks.storage.storage import Storage
from tests.simulation.memory import MemoryFiles
from tests.simulation.world import World

WIDTH = 2
"""Groups of shards at a time."""

_COLUMNS = (
    *("pair_id", "content", "style", "output", "status", "error_type", "error_message", "fingerprint"),
    *("seconds_total", "duration_s", "sample_rate", "file_sha256", "run_id", "shard", "finished_at"),
)
NARROW = pa.schema([RESULT_SCHEMA.field(name) for name in _COLUMNS], metadata=RESULT_SCHEMA.metadata)
"""Columns that modules or rules look at; a hundred of them would take most of the time."""

_PART = NARROW.set(NARROW.get_field_index("run_id"), PART_SCHEMA.field("run_id"))
_TERMS = dict.fromkeys(("content", "style", "temporal", "spectral"), 1.0)


class Inline:
    """A pool without threads: what is submitted is done at once."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *_: object) -> None: ...

    def shutdown(self) -> None:
        """Wait for nothing."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Do some work."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Do some work for each item."""
        return map(work, items)


class Queue:
    """A queue whose readers give their turn away."""

    def __init__(self, world: World) -> None:
        self._world, self._items = world, list[Any]()

    def put(self, item: object) -> None:
        """Add an item."""
        self._items.append(item)

    def get(self, timeout: float) -> Any:
        """Take the first item; raise Empty if there is none in time."""
        if not self._world.wait_until(lambda: bool(self._items), timeout):
            raise Empty
        return self._items.pop(0)


class EventOfProcess:
    """A flag that each process has for itself."""

    def __init__(self, world: World) -> None:
        self._world, self._set = world, set[int]()

    def is_set(self) -> bool:
        """Whether the process whose turn it is has set it."""
        return self._world.current.number in self._set

    def set(self) -> None:
        """Set it for the process whose turn it is."""
        self._set.add(self._world.current.number)

    def clear(self) -> None:
        """Take it back."""
        self._set.discard(self._world.current.number)


class Device:
    """Computes nothing, slowly (`tasks.devices.executors.Executor`): what a pair becomes follows from its name.

    As on a GPU, the same pair may get other bytes each time: `variants` is how many.
    """

    def __init__(self, world: World, variants: int) -> None:
        self._world, self._variants = world, variants
        slot = SimpleNamespace(name="cpu", device="cpu")
        self.devices: Any = type("Slots", (), {"__len__": lambda _: 1})()
        self.devices.opened = nullcontext
        self.devices.borrowed = lambda: nullcontext(slot)

    def synthesise(self, batch: SynthesisRequest, slot: object) -> None:
        """Take some time."""
        self._world.sleep(self._world.random.uniform(1, 20))

    def measure(self, outcomes: Sequence[PairState]) -> None:
        """Give each outcome a file, or a reason why it has none."""
        for outcome in outcomes:
            name = str(outcome.planned["pair_id"])
            if "silent" in name:
                outcome.fail("silent", "silence")
            elif "hard" in name and self._world.random.random() < 0.5:
                outcome.fail("out_of_memory", "no room")
            else:
                self._succeed(outcome)

    def _succeed(self, outcome: PairState) -> None:
        flac = f"{outcome.planned['fingerprint']} {self._world.random.randrange(self._variants)}".encode()
        samples = np.zeros(8, np.float32)
        outcome.rendered = Rendered(samples, 1.0, _TERMS, _TERMS, [1.0], 1, "iterations", 0.0)
        outcome.measurement = Measurement(
            flac, sha256(flac).hexdigest(), sha256(flac).hexdigest(), 16_000, 1, 1, 1.0, {}, {}
        )


def _narrow_rows(outcomes: Sequence[PairState], run: RowContext) -> list[ResultRow]:
    return [ResultRow({name: one.row.get(name) for name in NARROW.names}, one.audio) for one in rows_of(outcomes, run)]


@contextmanager
def stage(world: World, files: MemoryFiles, variants: int, many: int) -> Iterator[None]:
    """Let the project's modules play in a world; so many parts are folded."""
    device = Device(world, variants)
    names = random.Random(world.random.random())
    replaced: dict[str, object] = {
        "tasks.storage.storage.Storage._at": lambda *_: files,
        "tasks.ledger.lease.this_process": world.this_process,
        **{f"tasks.ledger.{module}.is_dead": world.is_dead for module in ("lease", "holders", "fencing")},
        "tasks.interruption.STOP_REQUESTED": EventOfProcess(world),
        "tasks.audio.catalog.probe_identified": _probe,
        "tasks.audio.style_clips.read_planned_style": lambda *_: HeardStyle(np.zeros(8, np.float32), 1),
        "tasks.pipeline.inputs.read_planned_content": lambda *_: DecodedContent(np.zeros(8, np.float32), 8, None),
        "tasks.pipeline.shards.rows_of": _narrow_rows,
        **dict.fromkeys(_VERSIONED, lambda _: "1"),
        "flows.bounded_submission.queue": SimpleNamespace(SimpleQueue=lambda: Queue(world), Empty=Empty),
        "flows.bounded_submission.time": SimpleNamespace(monotonic=world.monotonic),
        "flows.cross_synthesis.plan": plan_run,
        "flows.cross_synthesis.execution_backend": lambda run, planned: nullcontext(_crew(world, device, run, planned)),
        "flows.cross_synthesis.shown_progress": lambda _: nullcontext(_Display()),
        "flows.cross_synthesis.publish": lambda *_: None,
        "flows.cross_synthesis.name_run": lambda *_: None,
        "flows.cross_synthesis.get_run_logger": _Quiet,
        "tasks.ledger.lease.get_logger": lambda _: _Quiet(),
        "flows.snapshot_refresher.get_logger": lambda _: _Quiet(),
        "tasks.ledger.close.get_logger": lambda _: _Quiet(),
        "tasks.ledger.folding.MANY": many,
        "secrets.token_hex": lambda count: f"{names.getrandbits(8 * count):0{2 * count}x}",
        "secrets.randbelow": names.randrange,
        "random.uniform": names.uniform,
        **{f"{module}.ThreadPoolExecutor": Inline for module in _POOLS},
        **{f"manifests.results.{module}.RESULT_SCHEMA": NARROW for module in _WIDE},
        **{f"manifests.results.{module}.PART_SCHEMA": _PART for module in ("history", "layout", "compaction")},
    }
    with ExitStack() as entered:
        for name, value in replaced.items():
            entered.enter_context(patch(name, value))
        entered.enter_context(another_clock(world))
        yield


_POOLS = (
    "manifests.results.history",
    "manifests.results.prefetch",
    "tasks.audio.catalog",
    "tasks.pipeline.shards",
    "tasks.ledger.gc",
    "tasks.ledger.folding",
)
_WIDE = ("history", "layout", "compaction", "snapshots")
_VERSIONED = ("tasks.ledger.close.version", "tasks.pipeline.rows._version")
"""They look up versions of installed packages, in files, time and again."""


def _probe(uri: str, files: Storage, longest_s: float) -> tuple[SoundInfo, str]:
    return SoundInfo(1.0, 16_000, 16_000, 1), sha256(files.read(uri)).hexdigest()


def _crew(world: World, device: Device, run: Run, planned: Plan) -> ExecutionBackend:
    def submit(shards: Sequence[int]) -> Any:
        future: Future[Committed] = Future()

        def work() -> None:
            try:
                future.set_result(compute_shards(planned.uri, shards, run.output, run.run_id, run.options, device))
            except Exception as error:
                future.set_exception(error)

        world.beside(work, f"shards {shards}")
        return future

    return ExecutionBackend(WIDTH, shard_groups(planned.shards), submit, lambda _: None, request_stop)


class _Display:
    def tick(self) -> None: ...

    def at_least(self, share: float) -> None: ...


class _Quiet:
    def warning(self, *_: object) -> None: ...
