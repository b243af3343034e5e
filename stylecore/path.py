"""The way through a style that follows a content: dynamic programming over transpositions and moments (Bellman 1957).

A state is a transposition `k` and a frame `n` of the style. A way likes to go on where it is, since that is how the
style sounds; to leave costs, less where the content begins something new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

GO_ON, GLIDE_UP, GLIDE_DOWN, JUMP, HOP = range(5)
"""How a state is reached: from the frame before in the same transposition, in the one below, in the one above; from
anywhere in the same transposition; from anywhere."""


class Costs(NamedTuple):
    """What leaving costs. `jump` and `hop` `[T]`: to another moment, in the same transposition or in any; `glide`."""

    jump: Tensor
    hop: Tensor
    glide: float


class Way(NamedTuple):
    """Index of the transposition and frame of the style for each frame of the content, int64 `[T]` each."""

    transposition: Tensor
    moment: Tensor


def best_way(scores: Callable[[int, int], Tensor], n_frames: int, costs: Costs, chunk: int = 64) -> Way:
    """Return the way of the highest sum of scores minus costs (Viterbi 1967).

    Parameters
    ----------
    scores : callable
        From a first and a last frame of the content to how well each state fits, `[last - first, K, N]`: a few frames
        at a time, since all at once take gigabytes.
    n_frames : int
        Of the content.
    costs : Costs
        Of leaving.
    chunk : int
        Frames at a time.

    Returns
    -------
    Way
        Deterministic: of equals the first, and going on before leaving.
    """
    steps = _frame_by_frame(scores, n_frames, chunk)
    value = next(steps)
    moves, jumped_from, hopped_from = [], [], []
    for frame, score in enumerate(steps, start=1):
        move, best, jumps, hop = _step(value, float(costs.jump[frame]), float(costs.hop[frame]), costs.glide)
        moves.append(move)
        jumped_from.append(jumps)
        hopped_from.append(hop)
        value = score + best
    return _traced(value, moves, jumped_from, hopped_from)


def _frame_by_frame(scores: Callable[[int, int], Tensor], n_frames: int, chunk: int) -> Iterator[Tensor]:
    for first in range(0, n_frames, chunk):
        yield from scores(first, min(first + chunk, n_frames))


def _step(value: Tensor, jump: float, hop: float, glide: float) -> tuple[Tensor, Tensor, Tensor, int]:
    """Return how each state `[K, N]` is reached best, with what value, and where jumps `[K]` and hops come from."""
    rows, columns = value.shape
    highest, where = value.max(1)
    top = int(highest.argmax())
    left, hopped = highest - jump, highest[top] - hop
    best = torch.maximum(left, hopped)[:, None].repeat(1, columns)
    move = torch.where(left >= hopped, JUMP, HOP).to(torch.uint8)[:, None].repeat(1, columns)
    if rows > 1:
        for target, source, how in (
            (slice(1, None), slice(None, -1), GLIDE_UP),
            (slice(-1), slice(1, None), GLIDE_DOWN),
        ):
            _prefer(best[target, 1:], move[target, 1:], value[source, :-1] - glide, how)
    _prefer(best[:, 1:], move[:, 1:], value[:, :-1], GO_ON)
    return move, best, where, top * columns + int(where[top])


def _prefer(best: Tensor, move: Tensor, other: Tensor, how: int) -> None:
    """Take another origin where it is as good or better, in place."""
    move.masked_fill_(other >= best, how)
    torch.maximum(best, other, out=best)


def _traced(value: Tensor, moves: list[Tensor], jumped_from: list[Tensor], hopped_from: list[int]) -> Way:
    columns = value.shape[1]
    state = int(value.argmax())
    states = [state]
    for move, jumps, hop in zip(reversed(moves), reversed(jumped_from), reversed(hopped_from), strict=True):
        row, column = divmod(state, columns)
        how = int(move[row, column])
        if how == HOP:
            state = hop
        elif how == JUMP:
            state = row * columns + int(jumps[row])
        else:
            state = (row + {GO_ON: 0, GLIDE_UP: -1, GLIDE_DOWN: 1}[how]) * columns + column - 1
        states.append(state)
    way = torch.tensor(states[::-1])
    return Way(way // columns, way % columns)
