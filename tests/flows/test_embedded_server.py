"""Prefect's server of a run's own: what stands in its way is named at once, in one sentence."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_HOME, PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings

from flows.embedded_server import EmbeddedServer, ServerError, explained
from tests.flows.processes import environment, run
from tests.flows.sounds import pair, write_manifest

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


def test_files_of_the_working_directory_are_no_modules_of_the_server(
    home: Path,
    server: EmbeddedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL", logger="prefect")  # as the command line has it, whatever tests before this one did
    for name in ("queue", "uvicorn", "flows"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('mine')")
    monkeypatch.chdir(tmp_path)
    server.start(FAR)
    assert (home / "prefect.db").exists()
    server.stop()
    assert capfd.readouterr() == ("", "")


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


def test_an_address_from_a_profile_is_named_as_such(tmp_path: Path, sounds: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    profile = '[profiles.work]\nPREFECT_API_URL = "http://name:hidden@127.0.0.1:9/api"\n'
    (home / "profiles.toml").write_text(f'active = "work"\n{profile}')
    env = environment(home, PREFECT_CLIENT_MAX_RETRIES="0")
    code, said = run("timbreflow", "run", write_manifest(sounds / "m.parquet", [pair()]), "out", env=env, cwd=sounds)
    assert code == 2, said
    assert "profile 'work'" in said
    assert "http://127.0.0.1:9/api" in said
    assert "prefect config" in said
    assert "hidden" not in said


@pytest.mark.parametrize("address", [{"PREFECT_API_URL": "http://127.0.0.1:9/api"}, {}], ids=["named", "embedded"])
def test_no_run_imports_prefects_server(address: dict[str, str], embedded: Path) -> None:
    """It would double what a run takes to begin."""
    look = "import sys; from flows.environment import reach_server as r; print(r(), 'prefect.server' in sys.modules)"
    env = environment(embedded, **address, PREFECT_CLIENT_MAX_RETRIES="0")
    code, said = run("python", "-c", look, env=env)
    assert (code, said.split()[-1]) == (0, "False"), said
    assert said.startswith("Prefect's server at http://127.0.0.1:9/api does not answer" if address else "None")
