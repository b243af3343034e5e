"""Messages between a process and its child: a pickle behind its length; arrays travel beside it, uncopied."""

from __future__ import annotations

import os
import pickle
import select
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

PIPES = "TIMBREFLOW_CHILD_PIPES"
"""Variable that tells a child its ends of the pipes: requests, answers, and the one that tells of its parent's end."""

REQUEST, NOTICE, NEWS, ANSWER, ERROR = range(5)
"""Kinds of messages."""

_HEAD = struct.Struct("<BQQQ")
_LENGTH = struct.Struct("<Q")
_SMALL_BYTES = 1 << 16


class ChildError(Exception):
    """A child gave no answer; also what it raised, where that itself cannot travel."""


class ResponseTimeout(Exception):
    """Patience ran out."""


class Frame(NamedTuple):
    """A message as it travels: what it is, to which request it belongs, and its pickled content."""

    kind: int
    number: int
    pickled: bytearray
    buffers: list[bytearray]


def packed(kind: int, number: int, content: Any) -> list[Any]:
    """Return the parts of a message: head and lengths, pickle, buffers."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    head = _HEAD.pack(kind, number, len(pickled), len(raw)) + b"".join(_LENGTH.pack(part.nbytes) for part in raw)
    return [head + pickled, *raw] if len(pickled) < _SMALL_BYTES else [head, pickled, *raw]


def write(pipe: int, parts: Sequence[Any], response_timeout_s: float | None = None) -> None:
    """Write to a pipe; raise `ResponseTimeout` if one that does not block takes nothing of it within the patience."""
    for part in parts:
        rest = memoryview(part)
        while rest:
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                if not ready(pipe, select.POLLOUT, response_timeout_s):
                    raise ResponseTimeout from None


def read(pipe: int, response_timeout_s: float | None = None) -> Frame:
    """Read the next message; raise `EOFError` at the end, `ResponseTimeout` if no part of it comes within the patience.

    Without a patience wait for ever.
    """
    kind, number, length, n_buffers = _HEAD.unpack(_filled(pipe, _HEAD.size, response_timeout_s))
    lengths = _LENGTH.iter_unpack(_filled(pipe, _LENGTH.size * n_buffers, response_timeout_s))
    pickled = _filled(pipe, length, response_timeout_s)
    return Frame(kind, number, pickled, [_filled(pipe, size, response_timeout_s) for (size,) in lengths])


def _filled(pipe: int, size: int, response_timeout_s: float | None) -> bytearray:
    """Read so many bytes; raises as `read`."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        if response_timeout_s is not None and not ready(pipe, select.POLLIN, response_timeout_s):
            raise ResponseTimeout
        count = os.readv(pipe, [rest])
        if count == 0:
            raise EOFError
        rest = rest[count:]
    return data


def content_of(frame: Frame) -> Any:
    """Return what was sent; raise `ChildError` if it cannot be made here."""
    try:
        return pickle.loads(frame.pickled, buffers=frame.buffers)
    except MemoryError:
        raise
    except Exception as error:
        raise ChildError(f"a message cannot be unpickled here: {type(error).__name__}: {error}") from error


def ready(pipe: int, event: int, response_timeout_s: float | None) -> bool:
    """Wait until a pipe can be read or written (`select.POLLIN`, `POLLOUT`), and return whether it can."""
    poll = select.poll()
    poll.register(pipe, event)
    return bool(poll.poll(None if response_timeout_s is None else response_timeout_s * 1_000))
