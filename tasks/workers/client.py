"""Child processes that answer requests: what may hang, crash or eat memory does so where it harms nothing else.

The child is a program of its own (`tasks.workers.server`), started anew and not forked, and leads a session of its own:
the terminal's Ctrl-C reaches the parent alone, which decides. It ends with its parent, however that ends.

This guards against accidents and against files made to cause them. It is no jail: code that takes the child over has
the user's rights.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, BinaryIO, Self

from tasks.workers.protocol import (
    ANSWER,
    ERROR,
    NOTICE,
    PIPES,
    REQUEST,
    ChildError,
    ResponseTimeout,
    content_of,
    packed,
    receive,
    send,
)

__all__ = ["Child", "ChildDied", "ChildError", "ChildSilent"]

_CHUNK_BYTES = 1 << 16
_TAIL_BYTES = 4_000
_NOTICE_TIMEOUT_S = 10.0
_EXIT_TIMEOUT_S = 2.0


class ChildSilent(ChildError):
    """The child gave no sign of life for as long as it was allowed to, and was killed."""


class ChildDied(ChildError):
    """The child ended before it answered.

    Attributes
    ----------
    exit_code : int
        As `subprocess` counts: `-9` is signal 9.
    output : str
        The end of what it wrote to its standard output and error.
    """

    def __init__(self, process: str, exit_code: int, output: str) -> None:
        super().__init__(process, exit_code, output)
        self.process = process
        self.exit_code = exit_code
        self.output = output

    @property
    def how(self) -> str:
        """The exit code in words."""
        if self.exit_code < 0:
            return f"killed by {signal.Signals(-self.exit_code).name}"
        return f"ended with exit code {self.exit_code}"

    def __str__(self) -> str:
        return f"{self.process}: {self.how}{'; its last words: ' if self.output else ''}{self.output}"


class Child:
    """A process that runs a module, which calls `serve`, and answers one request at a time.

    Any thread may use it; requests wait for each other. After `ChildSilent` or `ChildDied` it is of no more use. It
    is killed when it is closed, when nothing refers to it any more, and when this process ends.

    Parameters
    ----------
    module : str
        Run as `python -m module`; found where this process finds its own modules.
    environment : mapping
        Variables set beside those of this process.
    inherited : collection of str, optional
        Names of the variables of this process that the child is given; by default all of them.
    """

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str] | None = None,
        inherited: Collection[str] | None = None,
    ) -> None:
        self.module = module
        self._requesting, self._writing, self._ending = threading.Lock(), threading.Lock(), threading.Lock()
        self._number = 0
        self._tail: deque[bytes] = deque(maxlen=1)
        self._process, self._connection, life = _started(module, environment or {}, inherited)
        self._draining = threading.Thread(
            target=_keep_tail, args=(self._process.stdout, self._tail), name=f"output of {module}", daemon=True
        )
        self._draining.start()
        # They are closed only here: while anything refers to the child, a thread may be reading from them.
        weakref.finalize(self, _end, self._process, self._ending, (self._connection, life))

    @property
    def pid(self) -> int:
        """Number of the process, and of its group."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it was killed, closed or found dead."""
        return self._process.returncode is not None

    def request(self, message: Any, response_timeout_s: float, on_news: Callable[[Any], None] | None = None) -> Any:
        """Send a message and return the answer.

        Parameters
        ----------
        message : picklable
            What the child's `handle` is given. Many bytes travel uncopied in a `pickle.PickleBuffer`, and arrive as a
            memoryview; arrays travel so by themselves.
        response_timeout_s : float
            How long the child may be without any sign of life: news, a part of the answer, or taking in a part of
            the message. Starting up counts.
        on_news : callable
            Given what the child tells meanwhile, in this thread. What it raises passes through; the answer, when it
            comes, is then thrown away.

        Raises
        ------
        ChildSilent
            At the timeout; the child has been killed, with all that it started.
        ChildDied
            If the child ended.
        ChildError
            If `handle` raised or returned what cannot travel.
        Exception
            Whatever else `handle` raised, as it was, with the child's traceback as a note.
        """
        with self._requesting:
            self._number += 1
            self._send(REQUEST, self._number, message, response_timeout_s)
            while True:
                with self._killed_if_broken_off(response_timeout_s):
                    message = receive(self._connection, response_timeout_s)
                if message.number != self._number:  # left over from a request that was given up
                    continue
                content = content_of(message)
                if message.kind == ANSWER:
                    return content
                if message.kind == ERROR:
                    raise content
                if on_news is not None:
                    on_news(content)

    def notify(self, message: Any) -> None:
        """Send a message to the child's `on_notice` while it works; a child that has ended is past hearing it."""
        with suppress(ChildError):
            self._send(NOTICE, 0, message, _NOTICE_TIMEOUT_S)

    def close(self) -> None:
        """Kill the child and all that it started, at once; any thread may, also while another waits for an answer."""
        _end(self._process, self._ending)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, kind: int, number: int, content: Any, response_timeout_s: float) -> None:
        message = packed(kind, number, content)
        with self._writing, self._killed_if_broken_off(response_timeout_s):
            send(self._connection, message, response_timeout_s)

    @contextmanager
    def _killed_if_broken_off(self, response_timeout_s: float) -> Iterator[None]:
        """Let the child not outlive a message that was sent or read in part, and say how it ended."""
        try:
            yield
        except ResponseTimeout:
            self.close()
            raise ChildSilent(f"{self._name}: no sign of life for {response_timeout_s:g} s, so it was killed") from None
        except EOFError:
            _await_exit(self._process)  # else it would seem to have died of being closed
            self.close()
            raise self._death() from None
        except BaseException:
            self.close()
            raise

    def _death(self) -> ChildDied:
        self._draining.join(_EXIT_TIMEOUT_S)
        output = b"".join(self._tail).decode(errors="replace").strip()
        return ChildDied(self._name, self._process.returncode, output)

    @property
    def _name(self) -> str:
        return f"process {self.pid} of {self.module}"


def _started(
    module: str, environment: Mapping[str, str], inherited: Collection[str] | None
) -> tuple[subprocess.Popen[bytes], Connection, Connection]:
    """Start a child; return it with this side of the connection, and of the pipe that tells of our end."""
    (theirs, ours), (theirs_life, ours_life) = Pipe(), Pipe(duplex=False)
    ends = (theirs.fileno(), theirs_life.fileno())
    # -P and not the working directory, in which a user may have a folder of the same name.
    found = os.pathsep.join(path or str(os.getcwd()) for path in sys.path)
    given = {name: value for name, value in os.environ.items() if inherited is None or name in inherited}
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**given, "PYTHONPATH": found, **environment, PIPES: ",".join(map(str, ends))},
            pass_fds=ends,
            start_new_session=True,
        )
    finally:
        theirs.close()
        theirs_life.close()
    return process, ours, ours_life


def _end(process: subprocess.Popen[bytes], ending: threading.Lock, connections: tuple[Connection, ...] = ()) -> None:
    with ending:
        if process.returncode is None:
            # Before it is waited for: until then no other group can have its number.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for connection in connections:
        connection.close()


def _await_exit(process: subprocess.Popen[bytes]) -> None:
    """Wait a moment for a process that is ending, and leave it to be waited for."""
    deadline = time.monotonic() + _EXIT_TIMEOUT_S
    while process.returncode is None and time.monotonic() < deadline:
        if hasattr(os, "waitid"):  # macOS has it from Python 3.13 on
            with suppress(ChildProcessError):
                if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    return
        time.sleep(0.01)


def _keep_tail(stream: BinaryIO, tail: deque[bytes]) -> None:
    """Read all that a child writes, lest it wait for a reader, and keep the end."""
    kept = b""
    with stream:
        while chunk := os.read(stream.fileno(), _CHUNK_BYTES):
            kept = (kept + chunk)[-_TAIL_BYTES:]
            tail.append(kept)
