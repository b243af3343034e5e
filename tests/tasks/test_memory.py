"""Freed memory is kept: large tensors come and go without page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from tasks.devices.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
LARGE = 9_000_000  # 36 MB: the C library keeps what is smaller than 32 MB by itself
for _ in range(10):
    torch.ones(LARGE)
before = faults()
for _ in range(10):
    torch.ones(LARGE)
print(faults() - before)
"""


def _faults(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_tensors_come_and_go_without_page_faults() -> None:
    assert _faults("leave") > 1_000
    assert _faults("keep") < 100
