"""The course of a seed: users who run, slice and collect on one output root, among faults, until all is quiet.

`python -m tests.simulation SEED` plays one seed and prints every step of it.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import flows.cross_synthesis as flow
from flows.cross_synthesis import NothingComputed
from manifests.files import join
from manifests.results.layout import latest_uri
from manifests.schema import ManifestError
from stylecore.settings import Settings
from tasks.ledger.gc import collect
from tasks.ledger.lease import LeaseLost, LeaseTaken, lease_uri
from tasks.options import RunOptions
from tests.simulation.checker import Checker, Row, Violation, rows_of
from tests.simulation.memory import MemoryFiles
from tests.simulation.stage import stage
from tests.simulation.world import Faults, Process, World

IN, OUT = "s3://memory/in", "s3://memory/out"
NAMES = ("a", "b", "c", "d-hard", "e-silent", "f", "f-again")
QUIET_S = 400.0
"""Longer than any process stands still, and any lease lasts."""

TIMEOUT_S = (30.0, 100.0, 1500.0)
"""After how long a user takes a command for hung."""

FAULTS = (
    Faults(),
    Faults(pause=0.02),
    Faults(pause=0.01, kill=0.003),
    Faults(kill=0.008),
    Faults(pause=0.01, kill=0.002, interrupt=0.005, skew_s=5.0),
    Faults(pause=0.02, skew_s=100.0),
)


@dataclass(frozen=True)
class Command:
    """What a user types: a run of a manifest's slice, or a collection."""

    manifest: str
    shards: str = "0/1"
    keep_days: float | None = None

    def __str__(self) -> str:
        return f"gc {self.keep_days}" if self.keep_days is not None else f"run {self.manifest} {self.shards}"


_ALL, _MOST, _GC = Command("all"), Command("most"), Command("all", keep_days=0.0)
PROGRAMMES: tuple[tuple[tuple[Command, ...], ...], ...] = (
    ((_ALL,), (_ALL,)),
    ((Command("all", "0/2"),), (Command("all", "1/2"),)),
    ((Command("all", "0/2"), _GC), (Command("all", "1/2"),)),
    ((_ALL, _MOST, _GC, _ALL), (_MOST,)),
    ((_ALL, _GC), (_MOST, _GC, _ALL)),
)
"""What users do, each one command after the other."""


class Course:
    """One seed: a world, a storage, users."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed, FAULTS[seed % len(FAULTS)])
        self.files = MemoryFiles(self.world.step, self._effect)
        self.checker = Checker(self.files.bodies, OUT)
        self.many = self.world.random.choice((2, 3, 256))
        self.variants = 1 + (seed // len(FAULTS)) % 2
        self.programme = PROGRAMMES[(seed // (2 * len(FAULTS))) % len(PROGRAMMES)]
        self.table_by: Process | None = None
        self.held, self.lost = dict[int, int](), dict[int, int]()
        self.hosts = self.world.random.choice([("studio",), ("studio", "attic")])
        self._write_corpus()

    def play(self) -> None:
        """Play it to its end.

        Raises
        ------
        Violation
            If something happens that never must.
        """
        with stage(self.world, self.files, self.variants, self.many):
            for number, commands in enumerate(self.programme):
                self.world.process(f"user {number}", "elsewhere", lambda commands=commands: self._user(commands))
            self.world.run()
            self._last_word()

    def _write_corpus(self) -> None:
        for name in (*NAMES, "style"):
            self.files.bodies[join(IN, f"{name}.wav")] = name.removesuffix("-again").encode()
        for manifest, names in (("all", NAMES), ("most", NAMES[:5])):
            rows = [{"pair_id": n, "content": f"{n}.wav", "style": "style.wav", "seed": 7, "mood": n} for n in names]
            sink = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows), sink)
            self.files.bodies[join(IN, f"{manifest}.parquet")] = sink.getvalue()

    def _effect(self, uri: str, data: bytes | None) -> None:
        process = self.world.current
        self.world.say(process, f"  DONE {uri} {'deleted' if data is None else ''}")
        self.checker.may_drop = "gc" in process.name
        self.checker.effect(uri, data)
        if uri == lease_uri(OUT):
            self._note_holders()
        if uri == latest_uri(OUT):
            self._check_writer(process)

    def _note_holders(self) -> None:
        """Remember since when each process has had its lease, and when it lost it."""
        now = self._holders()
        for number in now:
            self.held.setdefault(number, self.world.steps)
        for number in self.held.keys() - now:
            self.lost.setdefault(number, self.world.steps)

    def _check_writer(self, process: Process) -> None:
        """Assert that who has lost its lease does not replace the table of who has had it since."""
        last, lost = self.table_by, self.lost.get(process.number)
        if last is not None and lost is not None and self.held[last.number] >= lost:
            raise Violation(f"{process.name} has lost its lease, and replaces the table of {last.name}")
        self.table_by = process

    def _user(self, commands: tuple[Command, ...]) -> None:
        """Give commands, each again until it has gone through; who hangs is left alone, and another one started."""
        world = self.world
        world.sleep(world.random.uniform(0, 60))
        for command in commands:
            for _ in range(4):
                done: list[str] = []
                host = world.random.choice(self.hosts)
                process = world.process(
                    f"{command} ({len(world.processes)})", host, lambda c=command, d=done: self._act(c, d)
                )
                patience = world.random.choice(TIMEOUT_S)
                world.wait_until(lambda p=process: not p.alive, patience)
                if done == ["through"]:
                    break
                world.sleep(world.random.uniform(1, 90))

    def _act(self, command: Command, done: list[str]) -> None:
        """Do a command, in its process."""
        process = self.world.current
        try:
            self._command(command)
            done.append("through")
        except (LeaseTaken, LeaseLost, NothingComputed, KeyboardInterrupt) as error:
            self.world.say(process, f"{type(error).__name__}: {error}")
        except (ManifestError, OSError) as error:
            self.world.say(process, f"{type(error).__name__}: {error}")
            too_early = isinstance(error, FileNotFoundError) and command.keep_days is not None
            if not too_early and process.number in self._holders():
                raise Violation(f"{process.name}: {type(error).__name__}: {error}") from error

    def _command(self, command: Command) -> None:
        if command.keep_days is not None:
            collect(OUT, command.keep_days)
            return
        # No listening report: nothing that it meets can decide how a run ends, and it takes as long as the run.
        options = RunOptions(device="cpu", shards=command.shards, shard_audio_s=2.0, snapshot_every_s=15, report=0)
        flow.cross_synthesis.fn(join(IN, f"{command.manifest}.parquet"), OUT, Settings(), options)

    def _holders(self) -> set[int]:
        """Return the numbers of the processes that hold a lease."""
        found = self.files.bodies.get(lease_uri(OUT))
        holders: list[dict[str, Any]] = json.loads(found)["holders"] if found else []
        return {int(one["process"]["pid"]) for one in holders if not one["over"]}

    def _last_word(self) -> None:
        """Run once more without faults, collect, and look at what is there."""
        world = self.world
        world.faults = Faults()
        world.time += QUIET_S
        for command in (Command("all"), Command("all", keep_days=0.0), Command("all")):
            done: list[str] = []
            world.process(f"last {command}", "studio", lambda c=command, d=done: self._act(c, d))
            world.run()
            if done != ["through"]:
                raise Violation(f"{command} does not go through in the end")
        table = rows_of(self.files.bodies[latest_uri(OUT)])
        self.checker.check_table(table, "the last table")
        self._check_last(table)

    def _check_last(self, table: list[Row]) -> None:
        if [row.pair_id for row in table] != list(NAMES):
            raise Violation(f"the last table holds {[row.pair_id for row in table]}, not {list(NAMES)}")
        for row in table:
            if row.status != "succeeded" and "hard" not in row.pair_id and "silent" not in row.pair_id:
                raise Violation(f"{row.pair_id} has {row.error_type}")
        audio = {uri for uri in self.files.bodies if uri.startswith(join(OUT, "audio", ""))}
        if audio != {row.output for row in table if row.status == "succeeded"}:
            raise Violation(f"audio left or lost: {sorted(audio)}")


def play(seed: int) -> Course:
    """Play a seed; what it raises has the course as its last argument."""
    course = Course(seed)
    try:
        course.play()
    except BaseException as error:
        error.add_note(f"seed {seed}: python -m tests.simulation {seed}")
        error.course = course  # type: ignore[attr-defined]
        raise
    return course
