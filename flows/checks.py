"""One finding of the doctor, and all of them as a table with the commands that repair what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

State = Literal["ok", "attention", "problem"]

COLOURS: dict[State, str] = {"ok": "green", "attention": "yellow", "problem": "bold red"}


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do about it.

    Attributes
    ----------
    name : str
        What was looked at.
    state : str
        `ok`; `attention`, something works otherwise than one may expect; `problem`, something will fail.
    found : str
        What was found. Never a secret.
    remedy : str
        The command that repairs it, for the user to type.
    repair : callable, optional
        Repairs it from here, if that is possible; called by `--fix`.
    """

    name: str
    state: State
    found: str
    remedy: str = ""
    repair: Callable[[], None] | None = None

    def filled(self, **values: object) -> Check:
        """Return the finding with values put where its words name them, `{so}`: a table of findings has such words."""
        return replace(self, found=self.found.format(**values), remedy=self.remedy.format(**values))


def checks_table(checks: Sequence[Check]) -> Table:
    """Return the checks in the order in which they were made."""
    table = Table("", "check", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("found", overflow="fold")
    for check in checks:
        table.add_row(Text(check.state, style=COLOURS[check.state]), check.name, Text(check.found))
    return table


def checks_remedies(checks: Sequence[Check]) -> Text:
    """Return the commands that repair what is not ok, a line each; to be printed without wrapping."""
    text = Text()
    for check in checks:
        if check.remedy:
            text.append(f"{check.name}: ").append(f"{check.remedy}\n", style="bold")
    if any(check.repair for check in checks):
        text.append("`timbreflow doctor --fix` does what can be done from here.\n")
    return text
