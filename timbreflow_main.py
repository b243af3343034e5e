"""The way into the `timbreflow` command: makes sure that the packages it is about to import are its own.

They have common names (`tasks`, `flows`), and Python takes the first of a name that it meets on its path: a file
`tasks.py` in a folder of PYTHONPATH comes before ours. This module has a name that nobody else has.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("flows", "tasks", "stylecore", "manifests")
EXIT_REFUSED = 2


def main() -> None:
    """Run the command line; if other modules are in the way of ours, or of Python's own, say which, and exit with 2."""
    in_the_way = list(shadows())
    if in_the_way:
        _refuse(in_the_way, "one of timbreflow's packages")
    try:
        from flows.cli import app

        app()
    except (ImportError, AttributeError):
        in_the_way = list(shadows_of_the_standard_library())
        if in_the_way:
            _refuse(in_the_way, "a module of Python's standard library")
        raise


def shadows() -> Iterator[tuple[str, Path]]:
    """Give name and place of each module that Python takes in the place of one of our packages."""
    own = Path(__file__).resolve().parent
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        places = [*((spec and spec.submodule_search_locations) or ()), (spec and spec.origin) or str(own / name)]
        found = Path(places[0]).resolve()
        if found != own / name:
            yield name, found


def shadows_of_the_standard_library() -> Iterator[tuple[str, Path]]:
    """Give name and place of each module in a folder of PYTHONPATH that is called as one of Python's own."""
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        for name in sorted(sys.stdlib_module_names):
            for path in (Path(folder, f"{name}.py"), Path(folder, name, "__init__.py")):
                if path.is_file():
                    yield name, path


def _refuse(in_the_way: list[tuple[str, Path]], what: str) -> None:
    names = ", ".join(f"'{path}'" for _, path in in_the_way)
    folders = os.environ.get("PYTHONPATH")
    where = (
        f"PYTHONPATH is '{folders}': take its folder out" if folders else "Rename it, or move it out of Python's path"
    )
    sys.stderr.write(f"Error: {names} is taken for {what} of that name. {where}\n")
    raise SystemExit(EXIT_REFUSED)


if __name__ == "__main__":
    main()
