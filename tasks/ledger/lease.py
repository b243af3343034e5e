"""A lease per slice of the shards of an output root, so that two runs never do the same work.

A holder renews its entry in `lease.json` at every heartbeat; one that has missed four is given up, and one whose
process is known to be dead, at once. Whoever lost its entry, because it was paused for that long, finds out before it
commits; and if it was paused just then, its commit is in vain (`tasks.ledger.fencing`).
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from tenacity import retry, retry_if_exception_type, stop_after_attempt, stop_after_delay

from manifests.files import Files, absolute
from manifests.sharding import WHOLE, ShardSlice
from tasks.clock import clock
from tasks.host import is_dead, this_process
from tasks.interruption import is_stopping, raise_if_stopping, wait_for_stop
from tasks.ledger.fencing import announce, settle
from tasks.ledger.holders import (
    MISSED_BEATS,
    Holder,
    LeaseLost,
    LeaseTaken,
    change_holders,
    holders_of,
    lease_uri,
    now_text,
    own_entry,
)
from tasks.logs import get_logger
from tasks.storage.storage_errors import StorageError, StorageUnreachable

__all__ = ["WHOLE", "Holder", "Lease", "LeaseLost", "LeaseTaken", "check_lease", "holding", "lease_uri"]

HEARTBEAT_VARIABLE = "TIMBREFLOW_HEARTBEAT_S"
DEFAULT_HEARTBEAT_S = 15.0

RELEASE_S = 5.0
"""How long giving a lease back is tried again: a storage that is away has reached the retry timeout by then."""


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

    def announce(self, uri: str) -> None:
        """Say that a file of the history is about to be created; see `tasks.ledger.fencing.announce`."""
        announce(self.files, self.root, self.owner, uri)

    def agree_on(self, shard_layout: str) -> None:
        """Tell the other slices which pair is in which shard here, by a digest of it.

        Raises
        ------
        LeaseTaken
            If one that is at work has another layout: pairs would be in both slices, or in none.
        LeaseLost
            If another run has taken over.
        """

        def tell(holders: list[Holder]) -> list[Holder]:
            mine = own_entry(holders, self.owner, self.root)
            for other in holders:
                if other is not mine and other.cut not in ("", shard_layout) and other.alive:
                    raise LeaseTaken(
                        f"{absolute(self.root)} is being worked on by {other}, whose shards are cut otherwise: give "
                        "all slices the same manifest and --shard-audio-s, and let all of them reach the same sounds"
                    )
            return [replace(one, cut=shard_layout) if one is mine else one for one in holders]

        change_holders(self.files, self.root, tell)

    def begin_closing(self) -> bool:
        """Return whether no other slice is at work, so that this run is to write the snapshot; give it up otherwise.

        Of slices that end at the same time, the later one waits for the earlier one's snapshot and writes its own;
        unless it is asked to stop, and then the next run makes up for what the table lacks.

        Raises
        ------
        LeaseLost
            If another run has taken over.
        """
        while True:
            verdict: list[str] = []

            def close(holders: list[Holder], verdict: list[str] = verdict) -> list[Holder]:
                if verdict == ["leave"] and all(one.over or one.owner != self.owner for one in holders):
                    return holders  # it has left: the answer was lost, and another slice has written since
                mine = own_entry(holders, self.owner, self.root)
                others = [one for one in holders if one is not mine and one.alive]
                waiting = any(one.closing for one in others) and not is_stopping()
                verdict[:] = ["wait" if waiting else "leave" if others else "close"]
                return {
                    "wait": holders,
                    "leave": _without(holders, self.owner),
                    "close": [replace(one, closing=True) if one is mine else one for one in holders],
                }[verdict[0]]

            change_holders(self.files, self.root, close)
            if verdict != ["wait"]:
                return verdict == ["close"]
            wait_for_stop(1)


@contextmanager
def holding(
    files: Files, root: str, owner: str, shards: ShardSlice = WHOLE, collecting: bool = False
) -> Iterator[Lease]:
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
    collecting : bool
        Whether it removes files: who takes over has to reckon with a process that goes on doing so.

    Raises
    ------
    LeaseTaken
        If another run holds an overlapping slice; the message names it.
    StorageError
        If the root cannot be written.
    """
    mine = _entry(owner, shards, collecting)
    try:
        _acquire(files, root, mine)
    except (LeaseTaken, StorageUnreachable):
        raise
    except StorageError:
        with suppress(OSError):  # it may have been written all the same
            _remove(files, root, owner)
        raise
    lease, stop = Lease(files, root, owner), threading.Event()
    heart = clock().beside(lambda: _beat(lease, mine.heartbeat_s, stop), f"lease of {owner}")
    try:
        settle(files, root)
        yield lease
    finally:
        stop.set()
        heart.join()
        _release(files, root, owner)


def check_lease(files: Files, root: str, owner: str) -> list[Holder]:
    """Make sure that a run holds its lease, for a while longer; return all entries.

    Raises
    ------
    LeaseLost
        If it does not.
    """
    holders = holders_of(files, root)
    # A run that was paused may find its entry untouched, and another run about to take it: renewing decides.
    if own_entry(holders, owner, root).silent_s > _heartbeat_s():
        change_holders(files, root, lambda now: _renewed(now, owner, root))
    return holders


def _entry(owner: str, shards: ShardSlice, collecting: bool) -> Holder:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        user = str(os.getuid())
    now = now_text()
    host, process = socket.gethostname(), this_process()
    return Holder(owner, str(shards), user, host, process, now, now, _heartbeat_s(), collecting=collecting)


def _acquire(files: Files, root: str, mine: Holder) -> None:
    """Add an entry, in the place of those that are given up."""
    given_up = _given_up(files, root, mine)

    def take(holders: list[Holder]) -> list[Holder]:
        kept = []
        for other in holders:
            if other.over:
                kept.append(other)
            elif other.owner == mine.owner:
                continue  # written before: the answer was lost, and another slice has written since
            elif is_dead(other.process) or (other.owner, other.beats) in given_up:
                get_logger("timbreflow.lease").warning("taking over from %s", other)
                kept.extend(other.ended())
            elif other.slice.overlaps(mine.slice):
                raise LeaseTaken(
                    f"{absolute(root)} is being worked on by {other}. Wait for it, stop it, or choose another output "
                    f"root; if it is dead, its lease ends after {MISSED_BEATS * other.heartbeat_s:.0f} s of silence"
                )
            else:
                kept.append(other)
        return [*kept, mine]

    change_holders(files, root, take)


def _given_up(files: Files, root: str, mine: Holder) -> set[tuple[str, int]]:
    """Return the holders that seem silent for too long, and are still silent after another heartbeat's time.

    The clocks of two machines may differ by more than a heartbeat; whether an entry changes needs no clock.
    """
    silent = [
        one
        for one in holders_of(files, root)
        if not one.over and one.slice.overlaps(mine.slice) and one.expired and not is_dead(one.process)
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
            change_holders(lease.files, lease.root, lambda holders: _renewed(holders, lease.owner, lease.root))
        except LeaseLost:
            lease.lost.set()
            return
        except OSError as error:
            get_logger("timbreflow.lease").warning("no sign of life could be given: %s", error)


def _release(files: Files, root: str, owner: str) -> None:
    """Take an entry out; if that fails, it expires, and whoever comes before has to wait."""
    try:
        _remove(files, root, owner)
        settle(files, root, finished=owner)
    except OSError as error:
        get_logger("timbreflow.lease").warning("the lease was not given back, it will expire: %s", error)


@retry(
    retry=retry_if_exception_type(StorageError),
    stop=stop_after_attempt(3) | stop_after_delay(RELEASE_S),
    reraise=True,
)
def _remove(files: Files, root: str, owner: str) -> None:
    """Take an entry out; tried again, since the process may live on, and the entry with it."""
    change_holders(files, root, lambda holders: _without(holders, owner))


def _without(holders: Sequence[Holder], owner: str) -> list[Holder]:
    return [left for one in holders for left in (one.ended() if one.owner == owner else [one])]


def _renewed(holders: Sequence[Holder], owner: str, root: str) -> list[Holder]:
    mine = own_entry(holders, owner, root)
    return [one.beating() if one is mine else one for one in holders]


def _heartbeat_s() -> float:
    return float(os.environ.get(HEARTBEAT_VARIABLE) or DEFAULT_HEARTBEAT_S)
