"""What a run must not create any more once another one has taken over, it cannot create.

A process may be paused at any moment, also after it has looked at its lease and before it writes. So it says first, in
its entry of `lease.json`, which file of the history it is about to create. Whoever takes its lease over finds that
there, and before it plans it creates the same file itself, empty. Of the two one is first: either the rows are there,
and are planned with, or they never will be.
"""

from __future__ import annotations

from dataclasses import replace

from manifests.files import Files, absolute, join
from manifests.results.layout import seal_part
from tasks.host import is_dead
from tasks.ledger.holders import Holder, change_holders, holders_of, own_entry


def announce(files: Files, root: str, owner: str, uri: str) -> None:
    """Say that a file of the history is about to be created by `Files.create`, or in the place of none.

    Raises
    ------
    LeaseLost
        If another run has taken over: nothing may be created.
    """
    name = uri.removeprefix(_below(root, ""))

    def say(holders: list[Holder]) -> list[Holder]:
        mine = own_entry(holders, owner, root)
        left = [other for other in mine.committing if other != name and not files.exists(_below(root, other))]
        return [replace(one.beating(), committing=(*left, name)) if one is mine else one for one in holders]

    change_holders(files, root, say)


def settle(files: Files, root: str, finished: str = "") -> None:
    """Let nothing be created any more of what was announced by those who hold nothing any more, and forget them.

    Not forgotten is a collection that was taken over, unless it is `finished` or known to be dead: it may go on
    removing files that it has found to be garbage.
    """
    ended = {one.owner: one for one in holders_of(files, root) if one.over}
    for one in ended.values():
        for name in one.committing:
            seal_part(files, _below(root, name))

    def forget(holders: list[Holder]) -> list[Holder]:
        return [one for holder in holders for one in (_left(holder) if holder == ended.get(holder.owner) else [holder])]

    def _left(holder: Holder) -> list[Holder]:
        going_on = holder.collecting and holder.owner != finished and not is_dead(holder.process)
        return [replace(holder, committing=())] if going_on else []

    if ended:
        change_holders(files, root, forget)


def _below(root: str, name: str) -> str:
    return join(absolute(root), "results", name)
