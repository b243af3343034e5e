"""Messages between a process and its child, over `multiprocessing.connection`; arrays travel beside the pickle."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

PIPES = "TIMBREFLOW_CHILD_PIPES"
"""Variable that tells a child its ends: of the connection, and of the pipe that tells of its parent's end."""

REQUEST, NOTICE, NEWS, ANSWER, ERROR = range(5)
"""Kinds of messages."""


class ChildError(Exception):
    """A child gave no answer; also what it raised, where that itself cannot travel."""


class ResponseTimeout(Exception):
    """No answer within the timeout."""


class Message(NamedTuple):
    """A message as it travels: what it is, to which request it belongs, and its pickled content."""

    kind: int
    number: int
    pickled: bytes
    buffers: list[Any]


def packed(kind: int, number: int, content: Any) -> Message:
    """Return a message; its buffers are the content's own."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
    return Message(kind, number, pickled, [buffer.raw() for buffer in buffers])


def content_of(message: Message) -> Any:
    """Return what was sent; raise `ChildError` if it cannot be made here."""
    try:
        return pickle.loads(message.pickled, buffers=message.buffers)
    except MemoryError:
        raise
    except Exception as error:
        raise ChildError(f"a message cannot be unpickled here: {type(error).__name__}: {error}") from error


def send(connection: Connection, message: Message, response_timeout_s: float | None = None) -> None:
    """Send a message; raises as `receive`, if nothing of it is taken within the timeout.

    A buffer is sent as it is: within the pickle, an array would be copied first, and once more where it arrives.
    """
    with _broken_off_if_silent(connection, socket.SO_SNDTIMEO, response_timeout_s):
        connection.send((*message[:3], [buffer.readonly for buffer in message.buffers]))
        for buffer in message.buffers:
            connection.send_bytes(buffer)


def receive(connection: Connection, response_timeout_s: float | None = None) -> Message:
    """Return the next message; without a timeout wait for ever.

    Raises
    ------
    EOFError
        If the other end is gone, whether or not it was in the middle of a message.
    ResponseTimeout
        If no part of a message comes within the timeout.
    """
    with _broken_off_if_silent(connection, socket.SO_RCVTIMEO, response_timeout_s):
        kind, number, pickled, readonly = connection.recv()
        arrived = (connection.recv_bytes() for _ in readonly)
        buffers = [data if fixed else bytearray(data) for fixed, data in zip(readonly, arrived, strict=True)]
    return Message(kind, number, pickled, buffers)


@contextmanager
def _broken_off_if_silent(connection: Connection, option: int, response_timeout_s: float | None) -> Iterator[None]:
    """Have the kernel watch over every single read or write: `Connection.poll` would see the first byte alone."""
    try:
        if response_timeout_s is not None:
            end = socket.socket(fileno=connection.fileno())
            try:
                timeval = divmod(max(1, round(response_timeout_s * 1e6)), 1_000_000)  # 0 would be for ever
                end.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", *timeval))
            finally:
                end.detach()
        yield
    except BlockingIOError:
        raise ResponseTimeout from None
    except OSError as error:
        raise EOFError from error
