"""Who works on an output root: a lease per slice of the shards, so that two runs never do the same work.

`lease.json` in the root lists the holders. It changes only by compare-and-swap: a conditional PUT on S3, a lock
locally. A holder renews its entry at every heartbeat; one that has missed four is given up, and one whose process is
known to be dead, at once. Whoever lost its entry, because it was paused for that long, finds out before it commits.
"""

from __future__ import annotations

import getpass
import json
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from manifests.files import Files, absolute, join
from manifests.shards import WHOLE, ShardSlice
from tasks.clock import clock
from tasks.interruption import raise_if_stopping
from tasks.logs import get_logger
from tasks.processes import ProcessId, is_dead, this_process
from tasks.storage_errors import StorageConflict, StorageError

__all__ = ["WHOLE", "Holder", "Lease", "LeaseLost", "LeaseTaken", "check_lease", "holding", "lease_uri"]

HEARTBEAT_VARIABLE = "TIMBREFLOW_HEARTBEAT_S"
DEFAULT_HEARTBEAT_S = 15.0
MISSED_BEATS = 4
"""Heartbeats after which a silent holder is given up: 60 s."""

Change = Callable[[list["Holder"]], list["Holder"]]


class LeaseTaken(StorageError):
    """Another run works on these shards."""


class LeaseLost(StorageError):
    """Another run has taken over, since this one gave no sign of life for too long."""


@dataclass(frozen=True)
class Holder:
    """An entry of `lease.json`: who works on which slice since when, and when it was last heard of.

    `cut` tells how its shards are cut, once that is known: slices of different cuts are no parts of one whole.
    """

    owner: str
    shards: str
    user: str
    host: str
    process: ProcessId
    since: str
    heartbeat: str
    heartbeat_s: float
    beats: int = 0
    closing: bool = False
    cut: str = ""

    @property
    def slice(self) -> ShardSlice:
        """The slice of the shards."""
        return ShardSlice.parse(self.shards)

    @property
    def alive(self) -> bool:
        """Whether it has to be reckoned with."""
        return not self.expired and not is_dead(self.process)

    @property
    def silent_s(self) -> float:
        """Seconds since it was last heard of, by this machine's clock and its own."""
        return (clock().now() - datetime.fromisoformat(self.heartbeat)).total_seconds()

    @property
    def expired(self) -> bool:
        """Whether it has missed too many heartbeats, if the clocks agree."""
        return self.silent_s > MISSED_BEATS * self.heartbeat_s

    def beating(self) -> Holder:
        """Return the entry with a new sign of life."""
        return replace(self, heartbeat=_now(), beats=self.beats + 1)

    def __str__(self) -> str:
        return (
            f"run {self.owner} (shards {self.shards}) of {self.user} on {self.host}, process {self.process.pid}, "
            f"since {self.since}, last heard of {max(0.0, self.silent_s):.0f} s ago"
        )


def lease_uri(root: str) -> str:
    """Return where the lease of an output root lies."""
    return join(absolute(root), "lease.json")


@dataclass(frozen=True)
class Lease:
    """A lease that is held: asked before every commit, and at the end.

    `lost` is set once a heartbeat found it gone.
    """

    files: Files
    root: str
    owner: str
    lost: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise `LeaseLost` if another run has taken over."""
        check_lease(self.files, self.root, self.owner)

    def watch(self) -> None:
        """Do `check`, but only once a heartbeat has found the lease gone: costs nothing."""
        if self.lost.is_set():
            self.check()

    def agree_on(self, cut: str) -> None:
        """Tell the other slices how the shards are cut here.

        Raises
        ------
        LeaseTaken
            If one that is at work has cut them otherwise: pairs would be in both slices, or in none.
        LeaseLost
            If another run has taken over.
        """

        def tell(holders: list[Holder]) -> list[Holder]:
            mine = _own(holders, self.owner, self.root)
            for other in holders:
                if other is not mine and other.cut not in ("", cut) and other.alive:
                    raise LeaseTaken(
                        f"{absolute(self.root)} is being worked on by {other}, whose shards are cut otherwise: give "
                        "all slices the same manifest and shard_audio_s, and let all of them reach the same sounds"
                    )
            return [replace(one, cut=cut) if one is mine else one for one in holders]

        _change(self.files, self.root, tell)

    def begin_closing(self) -> bool:
        """Return whether no other slice is at work, so that this run is to write the snapshot; give it up otherwise.

        Of slices that end at the same time, the later one waits for the earlier one's snapshot and writes its own.

        Raises
        ------
        LeaseLost
            If another run has taken over.
        """
        while True:
            verdict: list[str] = []

            def close(holders: list[Holder], verdict: list[str] = verdict) -> list[Holder]:
                mine = _own(holders, self.owner, self.root)
                others = [one for one in holders if one is not mine and one.alive]
                verdict[:] = ["wait" if any(one.closing for one in others) else "leave" if others else "close"]
                return {
                    "wait": holders,
                    "leave": [one for one in holders if one is not mine],
                    "close": [replace(one, closing=True) if one is mine else one for one in holders],
                }[verdict[0]]

            _change(self.files, self.root, close)
            if verdict != ["wait"]:
                return verdict == ["close"]
            clock().sleep(1)


@contextmanager
def holding(files: Files, root: str, owner: str, shards: ShardSlice = WHOLE) -> Iterator[Lease]:
    """Hold the lease of a slice of an output root's shards, and renew it until the block ends.

    Taking it is also the first write of a run: what makes the root impossible to write shows itself here.

    Parameters
    ----------
    files : Files
        Local and S3 storage.
    root : str
        Output root.
    owner : str
        Name of the run.
    shards : ShardSlice
        What it works on; others may hold what does not overlap.

    Raises
    ------
    LeaseTaken
        If another run holds an overlapping slice; the message names it.
    StorageError
        If the root cannot be written.
    """
    mine = _entry(owner, shards)
    _acquire(files, root, mine)
    lease, stop = Lease(files, root, owner), threading.Event()
    heart = clock().beside(lambda: _beat(lease, mine.heartbeat_s, stop), f"lease of {owner}")
    try:
        yield lease
    finally:
        stop.set()
        heart.join()
        _release(files, root, owner)


def check_lease(files: Files, root: str, owner: str) -> None:
    """Make sure that a run holds its lease, for a while longer.

    Raises
    ------
    LeaseLost
        If it does not.
    """
    holders = _holders(files.load(lease_uri(root)), root)
    # A run that was paused may find its entry untouched, and another run about to take it: renewing decides.
    if _own(holders, owner, root).silent_s > _heartbeat_s():
        _change(files, root, lambda now: _renewed(now, owner, root))


def _entry(owner: str, shards: ShardSlice) -> Holder:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        user = str(os.getuid())
    now = _now()
    return Holder(owner, str(shards), user, socket.gethostname(), this_process(), now, now, _heartbeat_s())


def _acquire(files: Files, root: str, mine: Holder) -> None:
    """Add an entry, in the place of those that are given up."""
    given_up = _given_up(files, root, mine)

    def take(holders: list[Holder]) -> list[Holder]:
        kept = []
        for other in holders:
            if is_dead(other.process) or (other.owner, other.beats) in given_up:
                get_logger("timbreflow.lease").warning("taking over from %s", other)
            elif other.slice.overlaps(mine.slice):
                raise LeaseTaken(
                    f"{absolute(root)} is being worked on by {other}. Wait for it, stop it, or choose another output "
                    f"root; if it is dead, its lease ends after {MISSED_BEATS * other.heartbeat_s:.0f} s of silence"
                )
            else:
                kept.append(other)
        return [*kept, mine]

    _change(files, root, take)


def _given_up(files: Files, root: str, mine: Holder) -> set[tuple[str, int]]:
    """Return the holders that seem silent for too long, and are still silent after another heartbeat's time.

    The clocks of two machines may differ by more than a heartbeat; whether an entry changes needs no clock.
    """
    silent = [
        one
        for one in _holders(files.load(lease_uri(root)), root)
        if one.slice.overlaps(mine.slice) and one.expired and not is_dead(one.process)
    ]
    if not silent:
        return set()
    get_logger("timbreflow.lease").warning("waiting for a sign of life of %s", "; ".join(map(str, silent)))
    end = clock().monotonic() + 4 / 3 * max(one.heartbeat_s for one in silent)
    while clock().monotonic() < end:
        raise_if_stopping()
        clock().sleep(0.1)
    return {(one.owner, one.beats) for one in silent}


def _beat(lease: Lease, heartbeat_s: float, stop: threading.Event) -> None:
    """Renew an entry until told to stop, or until it is gone; a storage that is away is tried again."""
    while not clock().wait(stop, heartbeat_s):
        try:
            _change(lease.files, lease.root, lambda holders: _renewed(holders, lease.owner, lease.root))
        except LeaseLost:
            lease.lost.set()
            return
        except OSError as error:
            get_logger("timbreflow.lease").warning("no sign of life could be given: %s", error)


def _release(files: Files, root: str, owner: str) -> None:
    """Take an entry out; if that fails, it expires."""
    try:
        _change(files, root, lambda holders: [one for one in holders if one.owner != owner])
    except OSError as error:
        get_logger("timbreflow.lease").warning("the lease was not given back, it will expire: %s", error)


def _renewed(holders: Sequence[Holder], owner: str, root: str) -> list[Holder]:
    mine = _own(holders, owner, root)
    return [one.beating() if one is mine else one for one in holders]


def _own(holders: Sequence[Holder], owner: str, root: str) -> Holder:
    for one in holders:
        if one.owner == owner:
            return one
    now = f"; now it is held by {'; '.join(map(str, holders))}" if holders else ""
    raise LeaseLost(
        f"run {owner} lost its lease on {absolute(root)}: it gave no sign of life for too long{now}. What it had "
        "committed stays; the other run does the rest"
    )


def _change(files: Files, root: str, change: Change) -> None:
    """Put what `change` makes of the holders in their place; again, if another process was faster."""
    uri = lease_uri(root)
    while True:
        found = files.load(uri)
        before = _holders(found, root)
        after = change(list(before))
        if after == before:
            return
        with suppress(StorageConflict):
            files.swap(uri, _written(after), found and found[1])
            return
        clock().sleep(random.uniform(0, 0.2))


def _holders(found: tuple[bytes, str] | None, root: str) -> list[Holder]:
    if found is None:
        return []
    try:
        entries = json.loads(found[0])["holders"]
        return [Holder(**{**entry, "process": ProcessId(**entry["process"])}) for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"'{lease_uri(root)}' is no lease of this version ({error}). Delete it if no run is at work there"
        ) from error


def _written(holders: Sequence[Holder]) -> bytes:
    entries = [{**asdict(one), "process": one.process._asdict()} for one in holders]
    return json.dumps({"holders": entries}, indent=2).encode()


def _heartbeat_s() -> float:
    return float(os.environ.get(HEARTBEAT_VARIABLE) or DEFAULT_HEARTBEAT_S)


def _now() -> str:
    return clock().now().isoformat(timespec="milliseconds")
