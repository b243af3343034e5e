"""The way through a style: against all ways there are, whatever the chunk, and what it prefers among equals."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from stylecore.path import Costs, best_way

States = tuple[tuple[int, int], ...]


def _score(scores: Tensor, costs: Costs, states: States) -> float:
    """Return the sum of scores less costs of one way, a state `(transposition, moment)` per frame."""
    total = float(scores[0][states[0]])
    for frame, (before, now) in enumerate(itertools.pairwise(states), start=1):
        total += float(scores[frame][now]) - _cost(costs, frame, before, now)
    return total


def _cost(costs: Costs, frame: int, before: tuple[int, int], now: tuple[int, int]) -> float:
    possible = [float(costs.hop[frame])]
    if now[0] == before[0]:
        possible.append(float(costs.jump[frame]))
    if now[1] == before[1] + 1 and abs(now[0] - before[0]) <= 1:
        possible.append(0.0 if now[0] == before[0] else costs.glide)
    return min(possible)


def _problem(frames: int, rows: int, columns: int, seed: int) -> tuple[Tensor, Costs]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(frames, rows, columns, generator=generator, dtype=torch.float64)
    jump, more = (torch.rand(frames, generator=generator, dtype=torch.float64) for _ in range(2))
    return scores, Costs(0.6 * jump, 0.6 * jump + 0.3 * more, 0.1)


def _way(scores: Tensor, costs: Costs, chunk: int = 64) -> States:
    way = best_way(lambda first, last: scores[first:last], len(scores), costs, chunk)
    return tuple(zip(way.transposition.tolist(), way.moment.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("frames", "rows", "columns"), [(5, 1, 4), (4, 2, 3), (4, 3, 2), (1, 3, 3), (5, 2, 2)])
def test_no_way_is_better(frames: int, rows: int, columns: int, seed: int) -> None:
    scores, costs = _problem(frames, rows, columns, seed)
    states = list(itertools.product(range(rows), range(columns)))
    best = max(_score(scores, costs, way) for way in itertools.product(states, repeat=frames))
    assert _score(scores, costs, _way(scores, costs)) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 2, 7, 39, 40])
def test_how_many_frames_are_scored_at_a_time_changes_nothing(chunk: int) -> None:
    scores, costs = _problem(40, 5, 11, seed=1)
    assert _way(scores, costs, chunk) == _way(scores, costs)


def test_going_on_wins_ties() -> None:
    scores = torch.zeros(6, 3, 9)
    scores[-1, 1, 8] = 1.0  # where it has to end; everything else is free and alike
    free = Costs(torch.zeros(6), torch.zeros(6), 0.0)
    assert _way(scores, free) == tuple((1, moment) for moment in range(3, 9))


def test_a_way_that_costs_too_much_to_leave_goes_on() -> None:
    scores, _ = _problem(5, 3, 9, seed=2)
    dear = Costs(torch.full((5,), 100.0), torch.full((5,), 100.0), 100.0)
    (row, first), *_ = _way(scores, dear)
    assert _way(scores, dear) == tuple((row, first + step) for step in range(5))


def test_a_cheap_moment_is_where_it_jumps() -> None:
    scores = torch.zeros(10, 1, 40)
    scores[:5, 0, :5], scores[5:, 0, 30:35] = 1.0, 1.0
    jump = torch.full((10,), 5.0)
    jump[3] = 0.1  # two frames before the other place fits better
    way = _way(scores, Costs(jump, jump, 0.1))
    assert [moment for _, moment in way] == [0, 1, 2, 28, 29, 30, 31, 32, 33, 34]
