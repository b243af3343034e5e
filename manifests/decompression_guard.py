"""Columns whose size in memory their file does not tell: lists, structs, binaries. A kilobyte can hold a billion.

They are decoded first in a process of its own with a limit on its address space; what passes there is safe here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pyarrow as pa

from manifests.schema import ManifestError

MEMORY_BYTES = 3 << 30
MAX_FILE_BYTES = 256 << 20
TIMEOUT_S = 120.0

_PROGRAM = """
import io, os, resource, sys
import pyarrow.parquet as pq
data, memory, columns = sys.stdin.buffer.read(), int(sys.argv[1]), sys.argv[2:]
try:
    pages = int(open("/proc/self/statm").read().split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, hard))
except FileNotFoundError:
    pass
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
pq.ParquetFile(io.BytesIO(data)).read(columns, use_threads=False)
os._exit(0)
"""
"""It leaves at once: now and then Arrow's threads do not end in order, which is no fault of the file."""


def may_swell(kind: pa.DataType) -> bool:
    """Return whether the values of a type may take any number of bytes, other than text that comes as a dictionary."""
    if pa.types.is_dictionary(kind):
        return may_swell(kind.value_type)
    return not (
        pa.types.is_primitive(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )


def refuse_swelling(data: bytes, columns: Sequence[str], uri: str) -> None:
    """Decode columns of a Parquet file in a process of its own.

    Parameters
    ----------
    data : bytes
        The whole file.
    columns : sequence of str
        Names of columns of which `may_swell` is true.
    uri : str
        Its name, for messages.

    Raises
    ------
    ManifestError
        If they take more than `MEMORY_BYTES` to decode, or are damaged.
    """
    command = [sys.executable, "-P", "-c", _PROGRAM, str(MEMORY_BYTES), *columns]
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=TIMEOUT_S, env=environment)
        why = (
            "" if done.returncode == 0 else (done.stderr.decode(errors="replace").strip() or "crashed").splitlines()[-1]
        )
    except subprocess.TimeoutExpired:
        why = f"not done in {TIMEOUT_S:.0f} s"
    if why:
        named = ", ".join(f"'{name}'" for name in columns[:5])
        bound = f"cannot be decoded within {MEMORY_BYTES / 2**30:g} GiB ({why[:200]})"
        raise ManifestError(f"{uri}: {named} {bound}. Leave such columns out, or make plain ones of them")
