"""The page of a report: a template, a style sheet and scripts of this folder, put together into one file.

One file, so that a single signed address of a private bucket opens it. Whatever comes from a table is text to the
template, which escapes it, and JSON to the scripts, in which no character ends a script.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files as package_files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from tasks.clock import duration

_FOLDER = "page"

SCRIPTS = (
    "elements.js",
    "rows.js",
    "judging.js",
    "sounds.js",
    "engine.js",
    "notes.js",
    "lanes.js",
    "player.js",
    "list.js",
    "matrix.js",
    "binomial.js",
    "blind.js",
    "keys.js",
    "main.js",
)
"""In the order in which the page runs them: each uses what is before it."""


def rendered_page(told: Mapping[str, Any], data: Mapping[str, Any]) -> bytes:
    """Return the page.

    Parameters
    ----------
    told : mapping
        What the template shows.
    data : mapping
        What the scripts need, as JSON.
    """
    page = (
        _environment()
        .get_template("report.html")
        .render(
            **told,
            style=Markup(_part("report.css")),
            scripts=[(name, Markup(_part(name))) for name in SCRIPTS],
            data=htmlsafe_json_dumps(data, allow_nan=False, separators=(",", ":")),
        )
    )
    return page.encode()


@cache
def _environment() -> Environment:
    loader = PackageLoader("tasks.reporting", _FOLDER)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["duration"] = duration
    return environment


def _part(name: str) -> str:
    return (package_files("tasks.reporting") / _FOLDER / name).read_text(encoding="utf-8")
