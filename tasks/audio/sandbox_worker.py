"""The program that decodes sounds in a child process, with limits on its address space and on its time.

It imports no more than it needs, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import resource
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.audio.containers.pieces import release
from tasks.audio.decoding import DecodedContent, ResultForm, decode, decode_content, decode_style, inspect
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.large_files import LargeFile
from tasks.audio.lengths import LONGEST_S
from tasks.audio.streams import SoundInfo
from tasks.audio.style_pieces import HeardStyle
from tasks.audio.unpacking import UnpackedSound, unpack
from tasks.workers.server import Tell, serve

MEMORY_BYTES = 3 << 29
"""Address space for the work, 1.5 GiB. The largest sound that is allowed, and the largest file, need 0.9 GiB."""

CPU_LIMIT_S = 20
"""CPU time for one sound; the slowest good ones need half a second."""

LOOKED_THROUGH_BYTES = 16 << 20
"""Of a large file, in a second: frames of FLAC and MP3 are counted."""


class DecodingRequest(NamedTuple):
    """What the parent asks for: the samples of an excerpt at a rate in Hz, or with the rate 0 what `inspect` says.

    `longest_s` is for `inspect`. With the form of a result it is a content that is asked for; with `unpacked`, the path
    of a file, a sound of any length that is written there; with `listened_s`, in s, a style.
    """

    uri: str
    data: memoryview | LargeFile
    sample_rate: int
    excerpt: Excerpt = WHOLE
    longest_s: float = LONGEST_S
    form: ResultForm | None = None
    unpacked: str | None = None
    listened_s: float | None = None

    @property
    def cpu_limit_s(self) -> int:
        """CPU time that it may take; what may be long, until its first block, and from each to the next."""
        return self.looking_s + CPU_LIMIT_S

    @property
    def looking_s(self) -> int:
        """CPU time for looking through the bytes of a large file before anything is decoded."""
        return self.data.size // LOOKED_THROUGH_BYTES if isinstance(self.data, LargeFile) else 0


Decoded = SoundInfo | NDArray[np.float32] | DecodedContent | UnpackedSound | HeardStyle


def fulfil(order: DecodingRequest | None, tell: Tell) -> Decoded | None:
    """Inspect or decode a sound within its CPU time; no order is a question whether this program runs.

    A style, or a content that is unpacked, may be long: each block of it has the time of one sound anew, and tells
    that it is alive.

    Raises
    ------
    AudioError
        As `tasks.audio.decoding.inspect` and `decode`.
    MemoryError
        If the address space did not suffice.
    """
    if order is None:
        return None
    if not isinstance(order.data, LargeFile):
        return _fulfilled(order, order.data, tell)
    allow_memory(MEMORY_BYTES + order.data.size)
    try:
        with open(order.data.path, "rb") as file:
            mapped = mmap(file.fileno(), 0, access=ACCESS_READ)  # it is closed with the last view of it
        return _fulfilled(order, memoryview(mapped), tell)
    finally:
        allow_memory(MEMORY_BYTES)


def _fulfilled(order: DecodingRequest, data: memoryview, tell: Tell) -> Decoded:
    allow_cpu_time(order.cpu_limit_s)

    def on_block() -> None:
        allow_cpu_time(order.cpu_limit_s)
        release(data)
        tell(None)

    if order.unpacked is not None:
        return unpack(data, order.uri, order.excerpt, order.unpacked, on_block)
    if order.sample_rate == 0:
        return inspect(data, order.uri, order.longest_s, on_block)
    if order.listened_s is not None:
        return decode_style(data, order.uri, order.sample_rate, order.excerpt, order.listened_s, on_block)
    if order.form is not None:
        return decode_content(data, order.uri, order.sample_rate, order.form, order.excerpt)
    return decode(data, order.uri, order.sample_rate, order.excerpt)


def set_limits() -> None:
    """Let the address space grow by no more than `MEMORY_BYTES`, and write no memory to the disk when this dies."""
    _lower(resource.RLIMIT_CORE, 0)
    allow_memory(MEMORY_BYTES)


def allow_memory(n_bytes: int) -> None:
    """Let the address space grow by no more than that from now on, where the system says how large it is."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        present = int(statm.read_text().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, present + n_bytes)


def allow_cpu_time(seconds: int) -> None:
    """Let the kernel end this process (SIGXCPU) once it has worked for longer than one sound may take."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + 1 + seconds)


def _lower(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    set_limits()
    serve(fulfil)
