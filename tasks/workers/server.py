"""The child's side: answer the requests of `tasks.workers.client` for as long as the parent lives."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NoReturn

from tasks.workers.protocol import (
    ANSWER,
    ERROR,
    NEWS,
    PIPES,
    REQUEST,
    ChildError,
    Message,
    content_of,
    packed,
    receive,
    send,
)

Tell = Callable[[Any], None]
"""Sends news to the parent while a request is being worked on; any thread of the child may call it."""


def serve(handle: Callable[[Any, Tell], Any], on_notice: Callable[[Any], None] | None = None) -> NoReturn:
    """Answer the parent's requests in this process, one after another, for as long as the parent lives.

    Parameters
    ----------
    handle : callable
        Takes a message and `tell`, and returns the answer. What it raises is raised in the parent; what is no
        `Exception` (`SystemExit`) ends this process.
    on_notice : callable
        Given what `Child.notify` sends, at once and in another thread, whether or not a request is being worked on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection, life = (Connection(int(end)) for end in os.environ.pop(PIPES).split(","))
    for end in (connection, life):
        os.set_inheritable(end.fileno(), False)
    _end_with_parent(life)
    requests: SimpleQueue[Message] = SimpleQueue()
    listening = (connection, requests, on_notice)
    threading.Thread(target=_listen, args=listening, name="requests", daemon=True).start()
    sending = threading.Lock()

    def reply(kind: int, number: int, content: Any) -> None:
        message = packed(kind, number, content)
        with sending:
            send(connection, message)

    while True:
        _answer(requests.get(), handle, reply)


def _answer(message: Message, handle: Callable[[Any, Tell], Any], reply: Callable[[int, int, Any], None]) -> None:
    """Work on one request; in a function of its own, so that nothing of it stays in memory."""
    number = message.number
    try:
        reply(ANSWER, number, handle(content_of(message), lambda news: reply(NEWS, number, news)))
    except Exception as error:
        reply(ERROR, number, _travelling(error))


def _travelling(error: Exception) -> Exception:
    """Return an exception that arrives whole: itself with its traceback as a note, or its text."""
    trace = "".join(traceback.format_exception(error)).rstrip()
    with suppress(Exception):
        error.add_note(f"In process {os.getpid()}:\n{trace}")
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    return ChildError(f"{type(error).__module__}.{type(error).__qualname__}: {error}\n{trace}")


def _listen(connection: Connection, requests: SimpleQueue[Message], on_notice: Callable[[Any], None] | None) -> None:
    """Take in what the parent sends, also during work; the end of it is the end of the parent, and of this process."""
    try:
        while True:
            message = receive(connection)
            if message.kind == REQUEST:
                requests.put(message)
            elif on_notice is not None:
                on_notice(content_of(message))
            del message
    except EOFError:
        os._exit(0)
    except BaseException:  # without its listener the process would be deaf, and live on
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _end_with_parent(life: Connection) -> None:
    """Let the kernel kill this process and its group once the parent is gone: a thread could be kept from running.

    Not `PR_SET_PDEATHSIG`, which goes by the parent's thread. Where pipes send no signals the listener must do.
    """
    if hasattr(fcntl, "F_SETSIG") and os.getpgrp() == os.getpid():
        end = life.fileno()
        fcntl.fcntl(end, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)
    if life.poll():  # nothing is ever written to it: the parent is gone already
        os._exit(0)
