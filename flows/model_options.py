"""Options of a command that are the fields of a pydantic model: their text, range and default stand there alone.

They are read from the model's JSON schema, as Prefect's form reads them. The values are passed on as they were typed:
the model checks them, so that they are refused in the same words wherever they come from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer
from pydantic import BaseModel

EXPERT = "Expert: "
"""Begins the description of a field that few will need; such options are shown together, below the others."""

Fields = Mapping[str, inspect.Parameter]
"""Fields of a model by their names, as parameters that typer makes options of."""


def fields_of(model: type[BaseModel], panel: str) -> Fields:
    """Return a parameter for every field of a model; the help shows them in a panel of this name."""
    return {name: _parameter(name, schema, panel) for name, schema in model.model_json_schema()["properties"].items()}


def takes(**groups: Fields) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take the fields of models as options.

    Parameters
    ----------
    **groups
        Fields, by the name of the command's parameter that is given a dictionary of those that were typed. The others
        are left out, since their defaults may depend on a preset.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(typer_context: typer.Context, **values: Any) -> None:
            for group, fields in groups.items():
                given = {name: values.pop(name) for name in fields}
                values[group] = {name: given[name] for name in fields if _was_typed(typer_context, name)}
            command(**values)

        own = [one for one in inspect.signature(command, eval_str=True).parameters.values() if one.name not in groups]
        context = inspect.Parameter("typer_context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [context, *own, *(field for fields in groups.values() for field in fields.values())]
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorated


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _parameter(name: str, schema: Mapping[str, Any], panel: str) -> inspect.Parameter:
    text, default, is_flag = schema["description"], schema["default"], schema.get("type") == "boolean"
    if text.startswith(EXPERT):
        panel, text = "Expert", text.removeprefix(EXPERT)
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=f"{text[0].upper()}{text[1:]}.",
        metavar=None if is_flag else f"<{form_of(schema)}>",
        rich_help_panel=panel,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default if is_flag else as_typed(default),
        annotation=Annotated[bool if is_flag else str | None, option],
    )


def as_typed(default: object) -> str | None:
    """Return a default as one would type it.

    >>> as_typed(None), as_typed(0.5), as_typed([1, 2])
    (None, '0.5', '1,2')
    """
    if isinstance(default, list):
        return ",".join(map(str, default))
    return None if default is None else str(default)


def form_of(schema: Mapping[str, Any]) -> str:
    """Say what the value of an option looks like.

    >>> form_of({"enum": ["log", "level"]}), form_of({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
    ('log|level', 'int from 1')
    >>> form_of({"type": "number", "exclusiveMinimum": 0, "maximum": 1e4}), form_of({"type": "array", "items": {}})
    ('float above 0 to 10000', 'int,int,...')
    """
    schema = schema.get("anyOf", [schema])[0]
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema["type"] == "array":
        return "int,int,..."
    words = [{"integer": "int", "number": "float", "string": "str"}[schema["type"]]]
    for bound, word in BOUNDS.items():
        if bound in schema:
            words += [word, f"{schema[bound]:.0f}"]
    return " ".join(words)


BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
"""Words for the bounds of a JSON schema."""
