"""Hours and cost of a corpus on GPUs, on paper: arithmetic on what was counted and measured without any GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.markdown_tables import markdown
from benchmarks.speed.counting import Work

CORPUS = 1_000_000
GPUS = (1, 8, 64)


class Gpu(NamedTuple):
    """A kind of GPU by its data sheet: products of matrices per second (dense), and bytes of its memory per second."""

    name: str
    flops_per_s: float
    bytes_per_s: float


H100 = Gpu("H100 SXM, TF32 without sparsity", 494.7e12, 3.35e12)


class Parts(NamedTuple):
    """What a pair asks for, as measured and counted: of a device, of the host's processor, and of the storage.

    `operations_per_batch` and `operations_per_pair` make the operations that are launched for a batch of B pairs:
    the first, and B times the second.
    """

    work: Work
    operations_per_batch: float
    operations_per_pair: float
    host_cpu_s: float
    stored_bytes: float


@dataclass(frozen=True)
class Assumptions:
    """What is assumed and was not measured.

    Attributes
    ----------
    sustained : tuple of float
        Least and most of what the data sheet promises that the core sustains, 0 to 1.
    launch_s : float
        Seconds from one launched operation to the next, in PyTorch's eager mode.
    batch : int
        Pairs in a batch.
    price : float
        Of an hour of a GPU and its share of a host.
    """

    sustained: tuple[float, float]
    launch_s: float
    batch: int
    price: float


def seconds_of_pair(parts: Parts, gpu: Gpu, assumed: Assumptions, sustained: float) -> dict[str, float]:
    """Return what a pair takes by each bound, in s: products, memory and launches; the largest is what it takes.

    >>> parts = Parts(Work(100e12, 5e12, 0, 1), 1000.0, 10.0, 0.0, 0.0)
    >>> seconds_of_pair(parts, Gpu("", 100e12, 10e12), Assumptions((0.5, 0.5), 1e-5, 100, 1.0), 0.5)
    {'products': 2.0, 'memory': 1.0, 'launches': 0.0002}
    """
    return {
        "products": parts.work.flops / (sustained * gpu.flops_per_s),
        "memory": parts.work.n_bytes / (sustained * gpu.bytes_per_s),
        "launches": assumed.launch_s * (parts.operations_per_batch / assumed.batch + parts.operations_per_pair),
    }


def arithmetic(parts: Parts, gpu: Gpu, assumed: Assumptions) -> str:
    """Return each bound's arithmetic as a table, at the most and at the least that is sustained."""
    least, most = (seconds_of_pair(parts, gpu, assumed, share) for share in assumed.sustained)
    low, high = (f"{100 * share:.0f} %" for share in assumed.sustained)
    operations = parts.operations_per_batch / assumed.batch + parts.operations_per_pair
    asked = {
        "products": f"{parts.work.flops / 1e9:.0f} GFLOP / {gpu.flops_per_s / 1e12:.0f} TFLOP/s",
        "memory": f"{parts.work.n_bytes / 1e9:.1f} GB / {gpu.bytes_per_s / 1e12:.2f} TB/s",
        "launches": f"{operations:.0f} operations x {1e6 * assumed.launch_s:.0f} us",
    }
    lines = [[bound, asked[bound], f"{1e3 * most[bound]:.2f}", f"{1e3 * least[bound]:.2f}"] for bound in asked]
    lines.append(["**the largest**", "", f"{1e3 * max(most.values()):.2f}", f"{1e3 * max(least.values()):.2f}"])
    return markdown(["a pair's", "asks for", f"ms at {high}", f"ms at {low}"], lines)


def hours_table(parts: Parts, gpu: Gpu, assumed: Assumptions, pairs: int = CORPUS) -> str:
    """Return hours, cost, and what hosts and storage have to keep up with, a line per number of GPUs."""
    slow, fast = (max(seconds_of_pair(parts, gpu, assumed, share).values()) for share in assumed.sustained)
    lines = []
    for gpus in GPUS:
        hours = [seconds * pairs / gpus / 3600 for seconds in (fast, slow)]
        costs = [assumed.price * gpus * hour for hour in hours]
        cores = [gpus * parts.host_cpu_s / seconds for seconds in (fast, slow)]
        written = [gpus * parts.stored_bytes / seconds / 1e6 for seconds in (fast, slow)]
        lines.append([str(gpus), _range(hours, 2), _range(costs, 0), _range(cores, 0), _range(written, 1)])
    return markdown(["GPUs", "hours", "cost", "cores", "MB/s written"], lines)


def _range(ends: list[float], digits: int) -> str:
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"
