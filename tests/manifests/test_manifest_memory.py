"""Where Arrow takes its memory from."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

LINUX_X86 = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="Arrow may lack jemalloc on this machine"
)


@pytest.mark.parametrize(
    ("chosen", "expected"), [pytest.param(None, "jemalloc", marks=LINUX_X86), ("system", "system")]
)
def test_arrow_gives_memory_back_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, expected: str
) -> None:
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    if chosen is not None:
        monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", chosen)
    program = "import flows.cross_synthesis, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]
