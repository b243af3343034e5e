"""Child processes: they answer, and however they or their parents end, no one waits for ever and nothing is left."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.workers.client import Child, ChildDied, ChildError, ChildSilent
from tasks.workers.protocol import ANSWER, ResponseTimeout, content_of, packed, receive, send

MODULE = "tests.tasks.child_program"
TIMEOUT_S = 60.0
LINUX = sys.platform == "linux"


@pytest.fixture
def child() -> Iterator[Child]:
    with Child(MODULE) as child:
        yield child


def ask(child: Child, deed: str, value: Any = None, response_timeout_s: float = TIMEOUT_S, on_news: Any = None) -> Any:
    return child.request((deed, value), response_timeout_s, on_news)


def lives(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return status.stdout.strip()[:1] not in ("", "Z")


def gone(pid: int) -> bool:
    """Wait for a process to be gone."""
    deadline = time.monotonic() + 30
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not lives(pid)


# What it is asked, it answers


@pytest.mark.parametrize(
    "message", [None, {"a": [1, "é", b"\0" * 10]}, "x" * 3_000_000], ids=["none", "small", "large"]
)
def test_a_message_comes_back(child: Child, message: object) -> None:
    assert ask(child, "echo", message) == message


def test_an_array_comes_back_and_can_be_written_to(child: Child) -> None:
    array = np.random.default_rng(0).normal(size=(2, 500_000))
    same = ask(child, "echo", [array])[0]
    np.testing.assert_array_equal(same, array)
    assert same.flags.writeable


def test_many_bytes_arrive(child: Child) -> None:
    data = os.urandom(3_000_000)
    assert ask(child, "sha256", pickle.PickleBuffer(data)) == sha256(data).hexdigest()


def test_one_process_answers_all_requests_and_is_another_one(child: Child) -> None:
    pids = {ask(child, "pid") for _ in range(20)}
    assert pids == {child.pid}
    assert child.pid != os.getpid()


def test_threads_take_turns(child: Child) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda number: ask(child, "echo", number), range(200))) == list(range(200))


def test_what_it_prints_does_not_disturb(child: Child) -> None:
    ask(child, "print", "words " * 20_000)
    assert ask(child, "echo", 1) == 1


def test_an_interrupt_at_the_terminal_is_none_of_its_business(child: Child) -> None:
    assert ask(child, "ignores_sigint") == "still here"
    assert os.getsid(child.pid) != os.getsid(0)


def test_news_arrive_in_order_and_each_restarts_the_clock(child: Child) -> None:
    ask(child, "echo")
    news: list[int] = []
    assert ask(child, "tell", list(range(6)), response_timeout_s=1.5, on_news=news.append) == 6
    assert news == list(range(6))


def test_what_the_receiver_of_news_raises_passes_and_the_child_can_be_used_on(child: Child) -> None:
    def refuse(news: int) -> None:
        raise RuntimeError(f"no more after {news}")

    with pytest.raises(RuntimeError, match="no more after 1"):
        ask(child, "tell", [1, 2, 3], on_news=refuse)
    assert ask(child, "tell", [4], on_news=[].append) == 1
    assert ask(child, "echo", 5) == 5


def test_a_notice_reaches_it_while_it_works(child: Child) -> None:
    assert ask(child, "wait_for_notice", 50, on_news=lambda news: child.notify("stop")) == ["stop"]


def test_it_finds_the_modules_of_its_parent_and_not_those_of_a_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("raise RuntimeError('not ours')")
    monkeypatch.chdir(tmp_path)
    with Child(MODULE) as child:
        assert ask(child, "echo", 1) == 1


# What goes wrong in it


@pytest.mark.parametrize("error", [ValueError("what", "was", 3), FileNotFoundError(2, "gone", "a.wav"), MemoryError()])
def test_what_it_raises_is_raised_here(child: Child, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        ask(child, "raise", error)
    assert str(caught.value) == str(error)
    assert "do_raise" in caught.value.__notes__[0]
    assert ask(child, "echo", 1) == 1


@pytest.mark.parametrize(
    ("deed", "words"), [("raise_untravelling", "TwoArguments: what is wrong"), ("return_untravelling", "lock")]
)
def test_what_cannot_travel_is_told_in_words(child: Child, deed: str, words: str) -> None:
    with pytest.raises((ChildError, TypeError), match=words):
        ask(child, deed)
    assert ask(child, "echo", 1) == 1


def test_a_message_that_cannot_be_pickled_harms_nothing(child: Child) -> None:
    with pytest.raises(TypeError, match="pickle"):
        ask(child, "echo", threading.Lock())
    assert ask(child, "echo", 1) == 1


def test_silence_ends_it(child: Child) -> None:
    ask(child, "echo")
    with pytest.raises(ChildSilent, match=r"no sign of life for 0\.5 s"):
        ask(child, "sleep", 600, response_timeout_s=0.5)
    assert child.ended
    assert not lives(child.pid)
    with pytest.raises(ChildDied, match="SIGKILL"):
        ask(child, "echo", 1)


def test_one_that_takes_in_nothing_is_silent_too(child: Child) -> None:
    ask(child, "echo")
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(ChildSilent):
        ask(child, "echo", b"x" * 50_000_000, response_timeout_s=0.5)
    assert not lives(child.pid)


@pytest.mark.parametrize(
    ("signal_", "error", "words"),
    [(signal.SIGSTOP, ChildSilent, "no sign of life"), (signal.SIGKILL, ChildDied, "killed by SIGKILL")],
)
def test_one_that_ends_or_stops_in_the_middle_of_its_answer_is_not_waited_for(
    child: Child, signal_: int, error: type[ChildError], words: str
) -> None:
    def strike(news: str) -> None:
        time.sleep(0.5)  # it has begun to send, and waits for someone who reads
        os.kill(child.pid, signal_)

    ask(child, "echo")
    with pytest.raises(error, match=words):
        ask(child, "announce", 50_000_000, response_timeout_s=1.0, on_news=strike)
    assert not lives(child.pid)


def test_a_message_may_take_longer_than_the_patience_if_its_parts_do_not() -> None:
    (source, raw), (here, there) = Pipe(), Pipe()
    message = packed(ANSWER, 1, [np.arange(100), pickle.PickleBuffer(b"fixed"), np.empty(0)])
    send(source, message)
    data = os.read(raw.fileno(), 1 << 16)
    parts = [data[start : start + len(data) // 4] for start in range(0, len(data), len(data) // 4)]

    def dribble(some: list[bytes]) -> None:
        for part in some:
            time.sleep(0.4)
            os.write(there.fileno(), part)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(dribble, parts)
        numbers, fixed, nothing = content_of(receive(here, 1.2))
        writing.result()
        assert (numbers.tolist(), bytes(fixed), nothing.size) == (list(range(100)), b"fixed", 0)
        assert numbers.flags.writeable
        dribble(parts[:-2])
        with pytest.raises(ResponseTimeout):
            receive(here, 0.2)
    there.close()
    with pytest.raises(EOFError):
        receive(here, 60.0)


@pytest.mark.parametrize(
    ("deed", "value", "exit_code", "words"),
    [
        ("exit", 3, 3, "ended with exit code 3; its last words: these are my last words"),
        ("leave", 4, 4, "ended with exit code 4"),
        ("crash", None, -signal.SIGSEGV, "killed by SIGSEGV"),
    ],
)
def test_a_death_is_told_with_its_cause(child: Child, deed: str, value: object, exit_code: int, words: str) -> None:
    with pytest.raises(ChildDied, match=words) as caught:
        ask(child, deed, value)
    assert caught.value.exit_code == exit_code
    assert child.module in str(caught.value)


def test_a_death_between_requests_is_told_at_the_next(child: Child) -> None:
    ask(child, "echo")
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ChildDied, match="SIGKILL"):
        ask(child, "echo", 1)


def test_a_module_that_cannot_be_started_says_why() -> None:
    with Child("tests.tasks.no_such_module") as child, pytest.raises(ChildDied, match="No module named"):
        ask(child, "echo")


@pytest.mark.skipif(not LINUX, reason="needs a limit on address space that holds")
def test_a_limit_on_its_memory_is_an_error_and_not_its_end(child: Child) -> None:
    with pytest.raises(MemoryError):
        ask(child, "eat_memory", 1 << 30)
    assert ask(child, "echo", 1) == 1


# Nothing is left of it


def test_closing_ends_all_that_it_started_also_in_the_middle_of_a_request(child: Child) -> None:
    grandchild = ask(child, "start_another")
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            ask(child, "sleep", 600)
        except ChildDied as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    child.close()
    waiting.join(30)
    assert len(errors) == 1
    assert gone(grandchild)
    assert not lives(child.pid)


def test_one_that_nobody_refers_to_any_more_ends() -> None:
    child = Child(MODULE)
    pid = ask(child, "pid")
    pipes = len(os.listdir("/proc/self/fd")) if LINUX else 0
    del child
    assert gone(pid)
    assert not LINUX or len(os.listdir("/proc/self/fd")) < pipes


PARENT = """
import sys, threading, time
from tasks.workers.client import Child
child = Child("tests.tasks.child_program")
print(child.request(("pid", None), 60), flush=True)
print(child.request(("start_another", None), 60), flush=True)
request = (sys.argv[1], 600), 600, lambda news: print(news, flush=True)
threading.Thread(target=child.request, args=request, daemon=True).start()
if sys.argv[2] == "waits":
    time.sleep(600)
"""


def _starts_a_parent(deed: str, manner: str) -> tuple[subprocess.Popen[str], list[int]]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, deed, manner],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    if deed.startswith("hang"):
        assert parent.stdout.readline() == "hanging\n"
    return parent, pids


@pytest.mark.parametrize("deed", ["sleep", "hang_with_the_interpreter_locked"])
def test_no_orphan_survives_a_parent_that_was_killed(deed: str) -> None:
    if not LINUX and deed != "sleep":
        pytest.skip("pipes send no signals here")
    parent, pids = _starts_a_parent(deed, "waits")
    parent.kill()
    parent.communicate()
    assert gone(pids[0])
    assert not LINUX or gone(pids[1])


def test_no_orphan_survives_a_parent_that_ended_by_itself() -> None:
    parent, pids = _starts_a_parent("sleep", "goes")
    parent.communicate(timeout=60)
    assert parent.returncode == 0
    assert all(map(gone, pids))


def test_many_children_at_once_from_many_threads() -> None:
    def use(number: int) -> int:
        with Child(MODULE) as child:
            return ask(child, "echo", number)

    before = threading.active_count()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(use, range(8))) == list(range(8))
    _until(lambda: threading.active_count() <= before)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
