"""Options are the fields of two models and nothing is said twice; every option that any text names is there."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from flows import cli
from flows.cli import app
from flows.command_options import chosen_settings
from flows.cross_synthesis import cross_synthesis
from flows.model_options import EXPERT, fields_of, takes
from flows.on_ray import on_ray
from stylecore.settings import Settings, SettingsError, preset
from tasks.options import RunOptions

ROOT = Path(__file__).parents[2]
MODELS = {RunOptions: "Where and how", Settings: "Sound"}
"""Models, and the panels of the help in which their fields are."""

COMMAND: Any = typer.main.get_command(app)
FIELDS = [pytest.param(model, name, id=name) for model in MODELS for name in model.model_fields]


@cache
def options(command: str = "") -> dict[str, Any]:
    """Return the options of a command, `manifest build` for example, by the words that name them."""
    found = COMMAND
    for part in command.split():
        found = found.commands[part]
    return {word: one for one in found.params for word in one.opts}


@cache
def commands() -> list[str]:
    return ["", *_commands_in(COMMAND)]


def _commands_in(group: Any, path: str = "") -> Iterator[str]:
    for name, one in group.commands.items():
        yield f"{path}{name}"
        if hasattr(one, "commands"):
            yield from _commands_in(one, f"{path}{name} ")


# A field is an option


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_every_field_is_an_option_of_run_with_its_text_and_default(model: type[BaseModel], name: str) -> None:
    field, option = model.model_fields[name], options("run")[f"--{name.replace('_', '-')}"]
    text = str(field.description).removeprefix(EXPERT)
    panel = MODELS[model] if text == field.description else "Expert"
    assert option.help == f"{text[0].upper()}{text[1:]}."
    assert option.rich_help_panel == panel
    if option.default is None:
        assert field.default is None
    else:
        typed = option.default.split(",") if isinstance(field.default, tuple) else option.default
        assert getattr(model.model_validate({name: typed}), name) == field.default


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_the_bounds_of_a_field_are_shown_and_hold(
    model: type[BaseModel], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "set_defaults", lambda: None)  # they are for a process of its own
    bounds = {
        kind: getattr(one, kind)
        for one in model.model_fields[name].metadata
        for kind in ("ge", "gt", "le", "lt")
        if hasattr(one, kind)
    }
    word = f"--{name.replace('_', '-')}"
    for kind, bound in bounds.items():
        assert f"{bound:.0f}" in options("run")[word].metavar.strip("<>").split()
        beyond = {"ge": bound - 1, "gt": bound, "le": bound + 1, "lt": bound}[kind]
        result = CliRunner().invoke(app, ["run", "m.parquet", "out", word, str(beyond)])
        assert result.exit_code == 2
        assert result.output.startswith(f"Error: {name}='{beyond}': input should be ")


def test_pair_takes_every_setting_the_device_and_the_weights() -> None:
    here, there = options("pair"), options("run")
    assert {f"--{name.replace('_', '-')}" for name in Settings.model_fields} < set(here)
    assert there.keys() - here.keys() - {"manifest", "output", "--dry-run", "--json"} == {
        f"--{name.replace('_', '-')}" for name in RunOptions.model_fields if name not in ("device", "weights")
    }
    assert all(here[word].help == there[word].help for word in here.keys() & there.keys())


@pytest.mark.parametrize("flow", [cross_synthesis, on_ray], ids=lambda flow: flow.fn.__name__)
@pytest.mark.parametrize("model", MODELS)
def test_prefects_form_shows_the_same(flow: Any, model: type[BaseModel]) -> None:
    form = flow.parameters.definitions[model.__name__]["properties"]
    assert form == model.model_json_schema()["properties"]
    assert all(field["description"] for field in form.values())


class Oven(BaseModel):
    """Some fields."""

    heat: float = Field(180.0, gt=0, description="how hot")
    fan_on: bool = Field(False, description="whether air moves")
    minutes: int | None = Field(None, ge=1, description="Expert: how long")


def test_a_command_is_given_what_was_typed_and_nothing_else() -> None:
    own = typer.Typer()

    @own.command()
    @takes(oven=fields_of(Oven, "Oven"))
    def bake(cake: Annotated[str, typer.Argument()], oven: Mapping[str, Any], twice: bool = False) -> None:
        print(json.dumps([cake, twice, oven]))

    def said(*arguments: str) -> object:
        return json.loads(CliRunner().invoke(own, list(arguments)).output)

    assert said("plum") == ["plum", False, {}]
    assert said("plum", "--heat", "180.0", "--fan-on") == ["plum", False, {"heat": "180.0", "fan_on": True}]
    assert said("--twice", "--minutes", "5", "plum") == ["plum", True, {"minutes": "5"}]


def test_an_option_that_was_typed_stands_above_the_preset_also_if_it_is_the_default() -> None:
    default = str(Settings().alpha)
    assert preset("paper").alpha != Settings().alpha
    chosen = chosen_settings("paper", ["beta=3"], {"alpha": default, "style_layers": "1, 2"})
    assert chosen == preset("paper").resolve({"alpha": Settings().alpha, "beta": 3, "style_layers": (1, 2)})


def test_a_setting_that_is_given_both_ways_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"--set 'style_bands=3': --style-bands says 4; give one of the two"):
        chosen_settings("default", ["style_bands=3"], {"style_bands": "4"})


# What a text names is there


OTHERS = ("prefect ", "pip ", "ray ", "sox ", "apt-get ")
"""Programs whose options are their own business."""

NAMED = re.compile(
    r"timbreflow (?P<ours>(?:(?:manifest|export) )?[a-z]+)|python -m (?P<benchmark>benchmarks[.\w]+)|(?P<other>"
    + "|".join(OTHERS)
    + r")|(?<![\w-])(?P<word>--[a-z][a-z-]*)"
)


def unknown(snippet: str, bare: set[str]) -> list[str]:
    """Return the options in a command or a sentence that the program before them does not have.

    One without a program must be among `bare`.
    """
    wrong, known = [], bare
    for found in NAMED.finditer(snippet):
        if (word := found["word"]) is None:
            known = _options_after(found)
        elif word not in known and "--any" not in known:
            wrong.append(word)
    return wrong


def _options_after(program: re.Match[str]) -> set[str]:
    if program["other"]:
        return {"--any"}
    if program["benchmark"]:
        return benchmarks()
    return {*options(program["ours"]), "--help"} if program["ours"] in commands() else {"--any"}


@cache
def benchmarks() -> set[str]:
    """Return every word that a benchmark's program has of its own; some are in a module that several share."""
    nodes = (node for path in (ROOT / "benchmarks").rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@cache
def ours() -> set[str]:
    return {word for command in commands() for word in options(command)} | {"--help"}


def sentences(path: Path) -> Iterator[str]:
    """Give every string of a module, with an X for each value in it; not the words of command lines in lists."""
    tree = ast.parse(path.read_text())
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts and " " in node.value:
            yield node.value


def commands_in(document: str) -> Iterator[str]:
    """Give what a document shows as typed: between backticks, and the lines that are set off."""
    text = document.replace("```", "")
    yield from re.findall(r"`([^`]+)`", text)
    yield from re.findall(r"^(?: {4}|RUN |# )((?:.*\\\n)*.*)", text, re.MULTILINE)


MODULES = sorted(
    path for package in ("flows", "tasks", "manifests", "stylecore") for path in (ROOT / package).rglob("*.py")
)
DOCUMENTS = sorted(
    [*ROOT.glob("docs/*.md"), *ROOT.glob("stylecore/**/*.md"), ROOT / "README.md", ROOT / "prefect.yaml"]
)


def test_every_option_in_a_message_exists() -> None:
    said = [(path.name, unknown(sentence, ours())) for path in MODULES for sentence in sentences(path)]
    assert [each for each in said if each[1]] == []


def test_every_option_in_a_document_exists() -> None:
    said = [
        (path.name, snippet, unknown(snippet, ours() | benchmarks()))
        for path in DOCUMENTS
        for snippet in commands_in(path.read_text())
    ]
    assert [each for each in said if each[2]] == []
    assert sum("--" in snippet for _, snippet, _ in said) > 50


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("say --replace, or --replac", ["--replac"]),
        ("`timbreflow run m out --keep-days 3`", ["--keep-days"]),
        ("pip install --upgrade x; timbreflow manifest build --form m.csv", ["--form"]),
        ("python -m benchmarks.sound.quality --jobs 2 --job 3", ["--job"]),
        ("prefect worker start --pool local", []),
    ],
)
def test_an_option_that_does_not_exist_is_found(text: str, wrong: list[str]) -> None:
    assert unknown(text, ours()) == wrong
