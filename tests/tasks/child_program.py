"""What the tests run in a child process: it does what the message says, faults included."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import threading
import time
from hashlib import sha256
from typing import Any

from tasks.workers.server import Tell, serve

NOTICES: list[Any] = []
NOTICED = threading.Event()


class TwoArguments(Exception):
    """Cannot be unpickled: only one of its arguments is kept."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def on_notice(message: Any) -> None:
    NOTICES.append(message)
    NOTICED.set()


def handle(message: tuple[str, Any], tell: Tell) -> Any:
    deed, value = message
    return globals()[f"do_{deed}"](value, tell)


def do_echo(value: Any, tell: Tell) -> Any:
    return value


def do_sha256(value: memoryview, tell: Tell) -> str:
    return sha256(value).hexdigest()


def do_pid(value: None, tell: Tell) -> int:
    return os.getpid()


def do_ignores_sigint(value: None, tell: Tell) -> Any:
    os.kill(os.getpid(), 2)
    time.sleep(0.1)
    return "still here"


def do_print(value: str, tell: Tell) -> None:
    print(value, flush=True)
    os.write(1, value.encode())
    os.write(2, value.encode())
    subprocess.run([sys.executable, "-c", f"print({value!r})"], check=True)
    assert sys.stdin.read() == ""


def do_tell(values: list[Any], tell: Tell) -> int:
    for value in values:
        tell(value)
        time.sleep(0.3)
    return len(values)


def do_announce(n_bytes: int, tell: Tell) -> bytes:
    tell("the answer comes")
    return bytes(n_bytes)


def do_sleep(seconds: float, tell: Tell) -> None:
    time.sleep(seconds)


def do_hang_with_the_interpreter_locked(value: None, tell: Tell) -> None:
    tell("hanging")
    re.match(r"(a+)+$", "a" * 60 + "b")


def do_raise(error: Exception, tell: Tell) -> None:
    raise error


def do_raise_untravelling(value: None, tell: Tell) -> None:
    raise TwoArguments("kind", "what is wrong")


def do_return_untravelling(value: None, tell: Tell) -> Any:
    return threading.Lock()


def do_exit(code: int, tell: Tell) -> None:
    print("these are my last words", flush=True)
    os._exit(code)


def do_leave(code: int, tell: Tell) -> None:
    sys.exit(code)


def do_crash(value: None, tell: Tell) -> None:
    ctypes.string_at(0)


def do_eat_memory(limit_bytes: int, tell: Tell) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    hoard = []
    while True:
        hoard.append(bytearray(1 << 24))


def do_start_another(value: None, tell: Tell) -> int:
    return subprocess.Popen(["sleep", "600"]).pid


def do_wait_for_notice(response_timeout_s: float, tell: Tell) -> list[Any]:
    tell("waiting")
    NOTICED.wait(response_timeout_s)
    return NOTICES


if __name__ == "__main__":
    serve(handle, on_notice)
