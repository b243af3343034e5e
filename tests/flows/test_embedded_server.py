"""Prefect's server of a run's own: what stands in its way is named at once, in one sentence."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pandas as pd
import pytest
from prefect.context import refresh_global_settings_context
from prefect.settings import PREFECT_HOME, PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings

from flows import cli
from flows.embedded_server import EmbeddedServer, ServerError, explained
from flows.environment import reach_server
from tests.conftest import Typed
from tests.faults.trees import marked
from tests.flows.processes import TIMEOUT_S, end, environment, run, start, wait_for
from tests.flows.sounds import QUICK, cut_sounds, pair, write_manifest

NOBODY = "http://127.0.0.1:9/api"
SHADOWS = ("queue", "uvicorn", "flows")
FAR = 120
"""Seconds that a server which does not start is waited for, if nobody looks at its process."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return Prefect's home for this test."""
    folder = tmp_path / "home"
    url = f"sqlite+aiosqlite:///{folder}/prefect.db"
    with temporary_settings({PREFECT_HOME: folder, PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
        yield folder


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer()
    yield server
    server.stop()


def refused(server: EmbeddedServer) -> str:
    began = time.monotonic()
    with pytest.raises(ServerError) as caught:
        server.start(FAR)
    assert time.monotonic() - began < FAR / 2
    assert not server.running
    assert server.server_process is None
    return str(caught.value)


def test_a_database_of_another_prefect_is_named(home: Path, server: EmbeddedServer) -> None:
    home.mkdir()
    with sqlite3.connect(home / "prefect.db") as database:
        database.execute("create table alembic_version (version_num varchar(32) not null)")
        database.execute("insert into alembic_version values ('abcdef123456')")
    said = refused(server)
    assert "another version of Prefect" in said
    assert f"'{home}/prefect.db'" in said
    assert "\n" not in said


@pytest.mark.parametrize("made", ["a file", "below a file"])
def test_a_home_that_cannot_be_written_is_named(home: Path, server: EmbeddedServer, made: str) -> None:
    home.write_text("no folder")
    with temporary_settings({PREFECT_HOME: home if made == "a file" else home / "below"}):
        said = refused(server)
    assert f"'{home}" in said
    assert "PREFECT_HOME" in said


TRACEBACK = "Traceback (most recent call last):\n  File 'x.py', line 1, in <module>\n    from y import z\n"


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("sqlite3.OperationalError: attempt to write a readonly database", "cannot be written"),
        ("(sqlite3.OperationalError) database or disk is full", "the disk of"),
        ("sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked", "is in use"),
        ("sqlite3.DatabaseError: file is not a database", "is damaged"),
        ("ImportError: cannot import name 'Empty' from 'queue' (/home/me/queue.py)", "/home/me/queue.py"),
        ("TypeError: Body() got an unexpected keyword argument 'min_items'", "min_items"),
    ],
)
def test_the_cause_is_told_whatever_is_around_it(cause: str, words: str) -> None:
    said = explained(f"{TRACEBACK}{cause}\n\nERROR:    Application startup failed. Exiting.\n")
    assert words in said
    assert "Traceback" not in said


def test_a_server_that_says_nothing_is_told_of() -> None:
    assert "without a word" in explained("")


@pytest.fixture
def nobody_named(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process's environment name a server that does not answer."""
    with monkeypatch.context() as changed:
        changed.setenv("PREFECT_API_URL", NOBODY)
        changed.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
        refresh_global_settings_context()
        yield
    refresh_global_settings_context()


@pytest.mark.usefixtures("nobody_named")
def test_a_server_that_does_not_answer_is_named(typed: Typed, sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "reach_server", reach_server)
    code, said = typed("run", write_manifest(sounds / "m.parquet", [pair()]), str(sounds / "out"))
    assert code == 2, said
    assert said.count("Error") == 1
    assert f"Prefect's server at {NOBODY} does not answer" in said
    assert "Its address is from PREFECT_API_URL: correct it, or unset it" in said
    assert not (sounds / "out").exists()


def test_an_address_from_a_profile_is_named_as_such(tmp_path: Path) -> None:
    profile = f'[profiles.work]\nPREFECT_API_URL = "{NOBODY.replace("//", "//name:hidden@")}"\n'
    (tmp_path / "profiles.toml").write_text(f'active = "work"\n{profile}')
    look = "from flows.environment import reach_server; print(reach_server())"
    code, said = run("python", "-c", look, env=environment(tmp_path, PREFECT_CLIENT_MAX_RETRIES="0"))
    assert code == 0, said
    assert "profile 'work'" in said
    assert NOBODY in said
    assert "prefect config" in said
    assert "hidden" not in said


WATCHED = """
import sys
from timbreflow_main import main
try:
    main()
finally:
    print("modules of the server:", [name for name in sys.modules if name.startswith("prefect.server")])
"""
"""The command; at its end it tells which modules of Prefect's server it has imported."""


class OwnRun(NamedTuple):
    """A run with nothing set up: its exit code, what it said, its folder, and Prefect's home."""

    code: int
    said: str
    folder: Path
    home: Path


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> OwnRun:
    """Run where modules of the server have namesakes, and send Ctrl-C to the server meanwhile, as a terminal does."""
    folder, home, mark = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("home"), uuid4().hex
    cut_sounds(folder)
    for name in SHADOWS:
        (folder / f"{name}.py").write_text("raise SystemExit('mine')")
    manifest = write_manifest(folder / "m.parquet", [pair("harp_phrase", pair_id="harp")])
    chosen = [part for name, value in QUICK.items() for part in ("--set", f"{name}={value}")]
    env = environment(home, TIMBREFLOW_TEST=mark)
    process = start("python", "-P", "-c", WATCHED, "run", manifest, "out", *chosen, env=env, cwd=folder)
    try:
        wait_for(lambda: _servers(mark) or process.poll() is not None, "the server")
        for server in _servers(mark):
            os.kill(server, signal.SIGINT)
        said, _ = process.communicate(timeout=TIMEOUT_S)
        assert not marked(mark)
    finally:
        end(process)
    return OwnRun(process.returncode, said, folder, home)


def _servers(mark: str) -> list[int]:
    return [pid for pid, program in marked(mark).items() if " uvicorn " in program]


def test_a_run_with_nothing_set_up_starts_a_server_and_ends_it(own_run: OwnRun) -> None:
    """Also if the server gets Ctrl-C: it is the run that then ends it, once it is closed (test_interruption.py)."""
    assert own_run.code == 0, own_run.said
    assert "harp" in own_run.said
    assert "1 pairs computed" in own_run.said
    assert (own_run.home / "prefect.db").exists()
    assert list(pd.read_parquet(own_run.folder / "out" / "results.parquet")["pair_id"]) == ["harp"]


def test_files_of_the_working_directory_are_no_modules_of_the_server(own_run: OwnRun) -> None:
    assert own_run.code == 0, own_run.said
    assert {path.stem for path in own_run.folder.glob("*.py")} == set(SHADOWS)
    assert "mine" not in own_run.said


def test_what_the_server_prints_is_not_shown(own_run: OwnRun) -> None:
    first, *_, last = own_run.said.splitlines()
    assert first.startswith("Transferred: ")  # the table of results
    assert last.startswith("modules of the server: ")


def test_no_run_imports_prefects_server(own_run: OwnRun) -> None:
    """It would double what a run takes to begin."""
    assert own_run.said.rstrip().endswith("modules of the server: []")
