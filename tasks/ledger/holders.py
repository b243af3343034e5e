"""Who works on an output root: the entries of `lease.json`, and how they are changed.

The file changes only by compare-and-swap: a conditional PUT on S3, a lock locally.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from manifests.files import Files, absolute, join
from manifests.sharding import ShardSlice
from tasks.clock import clock
from tasks.host import ProcessId, is_dead
from tasks.storage.retry import retry_timeout_s
from tasks.storage.storage_errors import StorageConflict, StorageError

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

    Attributes
    ----------
    cut : str
        Digest of the layout of its shards, once that is known: slices of different layouts are no parts of one whole.
    committing : tuple of str
        Files of the history that it may be about to create, by their names below `results/` (`tasks.ledger.fencing`).
    collecting : bool
        Whether it removes files.
    over : bool
        Whether it holds nothing any more. The entry stays until what it was committing is settled; that of a collection
        for as long as its process may still be removing files.
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
    committing: tuple[str, ...] = ()
    collecting: bool = False
    over: bool = False

    @property
    def slice(self) -> ShardSlice:
        """The slice of the shards."""
        return ShardSlice.parse(self.shards)

    @property
    def alive(self) -> bool:
        """Whether it has to be reckoned with."""
        return not self.over and not self.expired and not is_dead(self.process)

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
        return replace(self, heartbeat=now_text(), beats=self.beats + 1)

    def ended(self) -> list[Holder]:
        """Return what is left of the entry in the list once it holds nothing any more."""
        return [replace(self, over=True)] if self.committing or self.collecting else []

    def __str__(self) -> str:
        return (
            f"run {self.owner} (shards {self.shards}) of {self.user} on {self.host}, process {self.process.pid}, "
            f"since {self.since}, last heard of {max(0.0, self.silent_s):.0f} s ago"
        )


def lease_uri(root: str) -> str:
    """Return where the lease of an output root lies."""
    return join(absolute(root), "lease.json")


def holders_of(files: Files, root: str) -> list[Holder]:
    """Return the entries as they are."""
    return _read(files.load(lease_uri(root)), root)


def change_holders(files: Files, root: str, change: Change) -> None:
    """Put what `change` makes of the entries in their place; again, if another process was faster.

    Raises
    ------
    StorageConflict
        If others were faster until the retry timeout: no number of slices explains that.
    """
    uri, end = lease_uri(root), clock().monotonic() + retry_timeout_s()
    while True:
        found = files.load(uri)
        before = _read(found, root)
        after = change(list(before))
        if after == before:
            return
        try:
            files.swap(uri, _written(after), found and found[1])
            return
        except StorageConflict:
            if clock().monotonic() > end:
                raise
        clock().sleep(random.uniform(0, 0.2))


def own_entry(holders: Sequence[Holder], owner: str, root: str) -> Holder:
    """Return the entry of an owner.

    Raises
    ------
    LeaseLost
        If it holds nothing any more.
    """
    for one in holders:
        if one.owner == owner and not one.over:
            return one
    others = [str(one) for one in holders if not one.over]
    now = f"; now it is held by {'; '.join(others)}" if others else ""
    raise LeaseLost(
        f"run {owner} lost its lease on {absolute(root)}: it gave no sign of life for too long{now}. What it had "
        "committed stays; the other run does the rest"
    )


def now_text() -> str:
    """Return the time as entries have it."""
    return clock().now().isoformat(timespec="milliseconds")


def _read(found: tuple[bytes, str] | None, root: str) -> list[Holder]:
    if found is None:
        return []
    try:
        return [_holder(entry) for entry in json.loads(found[0])["holders"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"'{lease_uri(root)}' is no lease of this version ({error}). Delete it if no run is at work there"
        ) from error


def _holder(entry: dict) -> Holder:
    committing = tuple(entry.get("committing", ()))
    return Holder(**{**entry, "process": ProcessId(**entry["process"]), "committing": committing})


def _written(holders: Sequence[Holder]) -> bytes:
    entries = [{**asdict(one), "process": one.process._asdict()} for one in holders]
    return json.dumps({"holders": entries}, indent=2).encode()
