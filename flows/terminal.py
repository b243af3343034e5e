"""What the commands share: the terminal, tables that stay readable in it, and refusals of one line with exit code 2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.ray_cluster import RunnerError
from manifests.files import UriError
from manifests.schema import ManifestError
from stylecore.errors import StylecoreError
from tasks.exporting.export_errors import ExportError
from tasks.options import DeviceError
from tasks.reporting.report_errors import ReportError

EXIT_PROBLEMS = 1
EXIT_REFUSED = 2

ANY_WIDTH = 1_000_000

LINE_EVERY_S = 30.0
"""How often a line tells how far something is, where there is no terminal for a bar."""


def _console(to_errors: bool) -> Console:
    """Return a terminal as wide as it is or as COLUMNS says; a pipe or a file has lines of any length."""
    made = Console(stderr=to_errors)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = ANY_WIDTH
    return made


console, errors = _console(to_errors=False), _console(to_errors=True)


def show(table: Table) -> None:
    """Print a table as wide as it is: a terminal that is too narrow breaks its lines, and nothing is cut."""
    console.print(table, crop=False)


def say_note(sentence: str) -> None:
    """Say what is no fault and yet should be known."""
    errors.print(f"[yellow]Note:[/] {escape(sentence)}", highlight=False, soft_wrap=True)


def refuse(message: object) -> NoReturn:
    """Print an error and end the command."""
    errors.print(f"[bold red]Error:[/] {escape(str(message))}", highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_REFUSED)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn every error that a user can repair into one line and exit code 2."""
    try:
        yield
    except (
        ManifestError,
        UriError,
        StylecoreError,
        DeviceError,
        RunnerError,
        ExportError,
        ReportError,
        OSError,
    ) as error:
        refuse(error)
    except ValidationError as error:
        refuse("; ".join(_explained(detail["loc"][0], detail["input"], detail["msg"]) for detail in error.errors()))


def _explained(name: object, value: object, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{name}={value!r}: {message[0].lower()}{message[1:]}"
