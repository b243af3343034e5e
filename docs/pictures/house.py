"""Draw the two pictures of docs/architecture.md: `python docs/pictures/house.py`.

The house is drawn from what imports what. A room is a package of `tasks` or `manifests`, or a package as a whole. An
arrow leads from a room to one that it imports, unless it gets there by another arrow already.

The way of a pair is a list of functions, and each of them must exist.
"""

from __future__ import annotations

import re
from pathlib import Path

import grimp

DOCUMENT = Path(__file__).parents[1] / "architecture.md"
PACKAGES = ("flows", "tasks", "manifests", "stylecore")
WITH_ROOMS = ("tasks", "manifests")

WAY = {
    "the flow": (
        ("manifests.reading.reader", "read_whole", "the manifest, checked"),
        ("tasks.planning.plan", "plan_run", "the pairs that are due, in shards"),
        ("tasks.pipeline.inputs", "read_pair", "two decoded sounds"),
    ),
    "a device worker": (
        ("stylecore.analysis", "analyse", "what each sound is, once"),
        ("stylecore.pairing", "paired", "the style laid along the content"),
        ("stylecore.synthesis", "synthesise", "the optimised sound"),
        ("tasks.pipeline.rendering", "render", "at the content's level, in 24 bits"),
    ),
    "a measurement worker": (
        ("tasks.pipeline.placing", "placed_in", "the content's rate, channels and level"),
        ("tasks.pipeline.measurement", "measure", "a file, decoded again, and figures"),
    ),
    "the flow again": (
        ("tasks.pipeline.rows", "rows_of", "a row of the results"),
        ("tasks.ledger.commit", "commit_shard", "audio, then rows, under the lease"),
        ("tasks.ledger.close", "close_run", "results.parquet, replaced whole"),
    ),
}
"""The functions that a pair passes, by the process they run in, and what comes out of each."""


def arrows() -> dict[str, set[str]]:
    """Return for each room those that it imports, without those that it reaches by way of others."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if room(module) != room(imported):
                found.setdefault(room(module), set()).add(room(imported))
    return {one: others - set().union(*(_reached(other, found) for other in others)) for one, others in found.items()}


def room(module: str) -> str:
    """Return the room of a module.

    >>> room("tasks.ledger.lease"), room("tasks.clock"), room("stylecore.terms.style"), room("manifests.schema")
    ('tasks/ledger', 'tasks', 'stylecore', 'manifests')
    """
    package, *rest = module.split(".")
    is_room = package in WITH_ROOMS and rest and (Path(__file__).parents[2] / package / rest[0]).is_dir()
    return f"{package}/{rest[0]}" if is_room else package


def _reached(start: str, arrows: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(arrows.get(start, ()))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += arrows.get(one, ())
    return found


def house() -> str:
    """Return the picture of the rooms as a Mermaid flow chart."""
    lines = [
        f"    {_name(one)}[{_label(one)}] --> {_name(other)}[{_label(other)}]"
        for one, others in sorted(arrows().items())
        for other in sorted(others)
    ]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])


def way() -> str:
    """Return the picture of a pair's way as a Mermaid flow chart.

    Raises
    ------
    LookupError
        If one of the functions is not there.
    """
    lines, steps = [], []
    for number, (process, functions) in enumerate(WAY.items()):
        lines.append(f'    subgraph process_{number}["{process}"]')
        for module, function, result in functions:
            path = Path(__file__).parents[2] / (module.replace(".", "/") + ".py")
            if not re.search(rf"^def {function}\(", path.read_text(), re.MULTILINE):
                raise LookupError(f"{path} has no function {function}")
            steps.append(f"{module}.{function}".replace(".", "_"))
            lines.append(f'        {steps[-1]}["{module}<br/><b>{function}</b><br/>{result}"]')
        lines.append("    end")
    return "\n".join(["```mermaid", "flowchart TD", *lines, f"    {' --> '.join(steps)}", "```", ""])


def _label(room: str) -> str:
    return f"{room}/*.py" if room in WITH_ROOMS else f"{room}/"


def _name(room: str) -> str:
    return room.replace("/", "_")


def rendered(text: str) -> str:
    """Return the document with the pictures between their markers."""
    for name, picture in (("house", house()), ("way", way())):
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text = block.sub(lambda found, picture=picture: f"{found[1]}{picture}{found[2]}", text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(rendered(DOCUMENT.read_text()))
