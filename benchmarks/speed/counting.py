"""What a synthesis asks of a machine, counted and not timed: floating-point operations, bytes, dispatched operations.

Counted is what PyTorch dispatches, forward and backward. Floating-point operations are those of matrix products and
convolutions; Fourier transforms and elementwise operations have none in this count, but their bytes do count. Bytes are
what each operation reads and writes, as if nothing stayed in a processor's cache between two of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from stylecore.encoder import Encoder
from stylecore.synthesis import Pair, synthesise

MATRIX = 2048


class Work(NamedTuple):
    """Work of one pair from noise to sound.

    `flops` in matrix products and convolutions, `n_bytes` read and written, `operations` dispatched, and the
    `evaluations` of the objective among which they are shared.
    """

    flops: float
    n_bytes: float
    operations: float
    evaluations: float

    @property
    def flops_per_evaluation(self) -> float:
        """Floating-point operations of one evaluation, forward and backward."""
        return self.flops / self.evaluations


class Counter(TorchDispatchMode):
    """Counts what is dispatched while it is entered: operations, their bytes, and flops by PyTorch's own formulas.

    `torch.utils.flop_counter.FlopCounterMode` has the same formulas, but follows modules too, and its hooks do not bear
    a gradient that is asked for with `torch.autograd.grad`, as ours are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.n_bytes = self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        if not func.is_view:
            self.operations += 1
            self.n_bytes += sum(_bytes(leaf) for leaf in tree_leaves((args, kwargs, result)))
        return result


def _bytes(value: object) -> int:
    if not isinstance(value, Tensor):
        return 0
    return min(value.numel() * value.element_size(), value.untyped_storage().nbytes())  # expanded: less than it seems


def work_of(pairs: Sequence[Pair], encoder: Encoder) -> Work:
    """Synthesise a batch of pairs and return the work of one of them, their mean."""
    with Counter() as counter:
        results = synthesise(pairs, encoder)
    evaluations = sum(result.evaluations for result in results)
    totals = (counter.flops, counter.n_bytes, counter.operations, evaluations)
    return Work(*(total / len(pairs) for total in totals))


def matrix_rate(size: int = MATRIX, repeats: int = 5) -> float:
    """Return what a large product of float32 matrices sustains here, with the threads set now, in operations per s."""
    left, right = (torch.rand(size, size) for _ in range(2))
    return 2.0 * size**3 / _seconds(lambda: left @ right, repeats)


def memory_rate(size: int = 32 << 20, repeats: int = 5) -> float:
    """Return what adding two large vectors moves here, with the threads set now, in bytes per s."""
    left, right, out = (torch.ones(size) for _ in range(3))
    return 3.0 * out.nbytes / _seconds(lambda: torch.add(left, right, out=out), repeats)


def _seconds(function: Callable[[], object], repeats: int) -> float:
    function()
    began = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - began) / repeats
