"""The way into the command: modules of the user's that Python takes for ours, or for its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.deployment import ROOT
from tests.flows.processes import environment, run

PACKAGES = ("flows", "tasks", "stylecore", "manifests")


def called(folder: Path, *arguments: str, python_path: str | None = None) -> tuple[int, str]:
    """Call the command with a folder before ours on Python's path."""
    found = os.pathsep.join([python_path or str(folder), str(ROOT)])
    return run(
        "python", "-P", "-m", "timbreflow_main", *arguments, env=environment(folder, PYTHONPATH=found), cwd=folder
    )


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("kind", ["file", "package"])
def test_what_shadows_a_package_is_named(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / (f"{name}.py" if kind == "file" else f"{name}/__init__.py")
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise RuntimeError('mine')")
    code, said = called(tmp_path, "--help")
    assert code == 2, said
    assert f"'{path if kind == 'file' else path.parent}'" in said
    assert "PYTHONPATH" in said
    assert len(said.splitlines()) == 1


def test_what_shadows_the_standard_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataclasses.py").write_text("print('mine')")
    code, said = called(tmp_path, "--help")
    assert code == 2, said
    assert f"'{tmp_path / 'dataclasses.py'}' is taken for a module of Python's standard library" in said
    assert "Traceback" not in said


def test_other_folders_on_the_path_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("raise RuntimeError('mine')")  # of the working directory
    (tmp_path / "lib" / "tasks").mkdir(parents=True)  # no package of Python's
    (tmp_path / "lib" / "helpers.py").write_text("")
    code, said = called(tmp_path, "--help", python_path=str(tmp_path / "lib"))
    assert code == 0, said
    assert "Usage" in said
