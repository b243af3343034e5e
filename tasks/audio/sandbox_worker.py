"""The program that decodes sounds in a child process, with limits on its address space and on its time.

It imports no more than it needs, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.audio.containers.pieces import release
from tasks.audio.decoding import DecodedContent, ResultForm, decode, decode_content, decode_style, inspect
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.lengths import LONGEST_S
from tasks.audio.streams import SoundInfo
from tasks.audio.style_pieces import HeardStyle
from tasks.workers.server import Tell, serve

MEMORY_BYTES = 3 << 29
"""Address space for the work, 1.5 GiB. The largest sound that is allowed, and the largest file, need 0.9 GiB."""

CPU_LIMIT_S = 20
"""CPU time for one sound; the slowest good ones need half a second."""


class DecodingRequest(NamedTuple):
    """What the parent asks for: the samples of an excerpt at a rate in Hz, or with the rate 0 what `inspect` says.

    A large file is given by its path, to be mapped. `longest_s` is for `inspect`. With the form of a result it is a
    content that is asked for; with `listened_s`, in s, it is a style.
    """

    uri: str
    data: memoryview | str
    sample_rate: int
    excerpt: Excerpt = WHOLE
    longest_s: float = LONGEST_S
    form: ResultForm | None = None
    listened_s: float | None = None


Answer = SoundInfo | NDArray[np.float32] | DecodedContent | HeardStyle


def fulfil(order: DecodingRequest | None, tell: Tell) -> Answer | None:
    """Inspect or decode a sound within its CPU time; no order is a question whether this program runs.

    A style may last hours: each block of it has the time of one sound anew, and tells that it is alive.

    Raises
    ------
    AudioError
        As `tasks.audio.decoding.inspect` and `decode`.
    MemoryError
        If the address space did not suffice.
    """
    if order is None:
        return None
    with _bytes_of(order.data) as data:
        return _fulfilled(order, data, tell)


def _fulfilled(order: DecodingRequest, data: memoryview, tell: Tell) -> Answer:
    allow_cpu_time()

    def on_block() -> None:
        allow_cpu_time()
        release(data)
        tell(None)

    if order.sample_rate == 0:
        return inspect(data, order.uri, order.longest_s, on_block)
    if order.listened_s is not None:
        return decode_style(data, order.uri, order.sample_rate, order.excerpt, order.listened_s, on_block)
    if order.form is not None:
        return decode_content(data, order.uri, order.sample_rate, order.form, order.excerpt)
    return decode(data, order.uri, order.sample_rate, order.excerpt)


@contextmanager
def _bytes_of(data: memoryview | str) -> Iterator[memoryview]:
    """Give the bytes of an order; a file is mapped, for which the address space may grow by its size meanwhile."""
    if not isinstance(data, str):
        yield data
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        _lower(resource.RLIMIT_AS, soft + Path(data).stat().st_size)
    try:
        with open(data, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with memoryview(mapped) as whole:
            yield whole
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def set_limits() -> None:
    """Let the address space grow by no more than `MEMORY_BYTES`, where the system says how large it is."""
    _lower(resource.RLIMIT_CORE, 0)
    statm = Path("/proc/self/statm")
    if statm.exists():
        present = int(statm.read_text().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, present + MEMORY_BYTES)


def allow_cpu_time() -> None:
    """Let the kernel end this process (SIGXCPU) once it has worked for longer than one sound may take."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + 1 + CPU_LIMIT_S)


def _lower(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    set_limits()
    serve(fulfil)
