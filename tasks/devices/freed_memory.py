"""Keep the memory that tensors give back: asking the system for it again costs more than the arithmetic.

A layer's activations are tens of megabytes. glibc gives blocks of that size back to the system as soon as they are
freed, and the next layer's arrive as fresh pages, each of them a page fault: 49,000 in a step of training, a third of
its time; ten thousand in an evaluation of the objective for a batch of four, a tenth of its time.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameters of mallopt(3)."""


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, for the rest of the process; return whether it understood.

    The process then holds on to its peak. Other C libraries than glibc know nothing of it and go on as before.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    largest = 2**31 - 1
    wishes = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, largest), (M_TOP_PAD, 256 * 2**20))
    return all([mallopt(parameter, value) == 1 for parameter, value in wishes])
