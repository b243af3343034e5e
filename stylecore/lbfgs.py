"""L-BFGS and Adam for a batch of independent problems: one evaluation serves all, every pair goes its own way.

`torch.optim.LBFGS` sees one long vector: its step, history and stop would couple the pairs of a batch. Here each pair
has its own direction, step length, curvature and stop, and the loop never reads a value back from the device except
every `CHECK_EVERY` evaluations.

The two-loop recursion starts from a diagonal: the inverse root mean square of each unknown's recent gradients, as Adam
has it, scaled by the last curvature. Energies as logarithms pull at a few loud bins a thousand times harder than at the
rest; from a multiple of the identity, the textbook's choice, four times as many evaluations reach the same loss
(docs/experiments.md).

References: Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 7.4 (two-loop recursion, any positive diagonal
as its start) and section 3.1 (backtracking under the Armijo condition, with quadratic interpolation); Kingma & Ba 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

HISTORY = 10
ARMIJO = 1e-4
FIRST_STEP_RMS = 0.1
"""The first step moves a log-spectrogram by this much (root mean square): no curvature is known yet."""
SMALLEST_STEP = 1e-6
GRADIENT_MEMORY = 0.9
GRADIENT_FLOOR = 1e-3
"""An unknown counts as if its gradient were at least this share of the largest: where nothing pulls, nothing jumps."""
STALLED_EVALUATIONS = 10
CHECK_EVERY = 10

RUNNING, LIMIT, CONVERGED, STUCK, DIVERGED = range(5)
STOP_REASONS = ("running", "iterations", "tolerance", "no further descent", "diverged")


class Evaluation(NamedTuple):
    """Objective at a batch of points: total `[B]`, gradient `[B, ...]`, single terms `[B, K]`."""

    total: Tensor
    gradient: Tensor
    terms: Tensor


Evaluate = Callable[[Tensor], Evaluation]


@dataclass(frozen=True)
class Minimum:
    """Where each problem of a batch ended.

    `point` `[B, ...]`; `first_terms`, `last_terms` `[B, K]`; `curve` `[E, B]`, the total of the point held after each
    evaluation of the batch; `evaluations` `[B]`; `stop` `[B]`, indices into `STOP_REASONS`.
    """

    point: Tensor
    first_terms: Tensor
    last_terms: Tensor
    curve: Tensor
    evaluations: Tensor
    stop: Tensor

    def own_curve(self, item: int) -> list[float]:
        """Return the totals of one problem, one per evaluation of its own."""
        return self.curve[: int(self.evaluations[item]), item].tolist()


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)


def minimise_lbfgs(
    evaluate: Evaluate,
    start: Tensor,
    limits: Tensor,
    tolerance: float,
    sizes: Tensor | None = None,
) -> Minimum:
    """Minimise a batch of independent functions by L-BFGS with backtracking.

    Parameters
    ----------
    evaluate : callable
        From points `[B, ...]` to an `Evaluation`.
    start : Tensor
        `[B, ...]`.
    limits : Tensor
        Evaluations allowed per problem, `[B]`.
    tolerance : float
        A problem stops when its last ten evaluations lowered its total by less than this share.
    sizes : Tensor, optional
        Unknowns of each problem, `[B]`, where some of a point are padding: the first step is measured over a problem's
        own. None when none is.

    Returns
    -------
    Minimum
        The best point of each problem.
    """
    shape = start.shape
    first = evaluate(start)
    point, gradient = start.flatten(1), first.gradient.flatten(1)
    total, terms = first.total, first.terms
    history = _History(gradient)
    direction = history.direction(gradient)
    unknowns = total.new_full((shape[0],), point.shape[1]) if sizes is None else sizes
    step = FIRST_STEP_RMS / (_dot(direction, direction) / unknowns).sqrt().clamp_min(1e-12)
    stop = torch.where(torch.isfinite(total) & torch.isfinite(gradient).all(1), RUNNING, DIVERGED)
    evaluations = torch.ones_like(limits)
    curve = [total]
    stop = torch.where((stop == RUNNING) & (limits <= 1), LIMIT, stop)
    for count in range(1, int(limits.max())):
        running = stop == RUNNING
        slope = _dot(gradient, direction)
        trial = torch.where(running[:, None], point + step[:, None] * direction, point)
        found = evaluate(trial.reshape(shape))
        finite = torch.isfinite(found.total) & torch.isfinite(found.gradient.flatten(1)).all(1)
        accept = running & finite & (found.total <= total + ARMIJO * step * slope)
        found_gradient = found.gradient.flatten(1)
        taken = accept[:, None]
        history.push(torch.where(taken, trial - point, 0.0), torch.where(taken, found_gradient - gradient, 0.0))
        history.weigh(torch.where(taken, found_gradient, gradient), accept)
        step = torch.where(accept, 1.0, _shorter(step, total, slope, found.total, finite))
        point = torch.where(taken, trial, point)
        gradient = torch.where(taken, found_gradient, gradient)
        terms = torch.where(taken, found.terms, terms)
        total = torch.where(accept, found.total, total)
        direction = torch.where(taken, history.direction(gradient), direction)
        evaluations = evaluations + running
        curve.append(total)
        stuck = running & ~accept & (step < SMALLEST_STEP)
        stop = _stopped(stop, curve, evaluations, limits, tolerance)
        stop = torch.where(stuck, torch.where(finite, STUCK, DIVERGED), stop)
        if count % CHECK_EVERY == 0 and not bool((stop == RUNNING).any()):
            break
    return Minimum(point.reshape(shape), first.terms, terms, torch.stack(curve), evaluations, stop)


def _shorter(step: Tensor, total: Tensor, slope: Tensor, found: Tensor, finite: Tensor) -> Tensor:
    """Return the minimiser of the parabola through both values and the slope, within a tenth and a half of the step."""
    curvature = 2.0 * (found - total - step * slope)
    parabola = -slope * step.square() / curvature.clamp_min(1e-30)
    return torch.where(finite, parabola.clamp(0.1 * step, 0.5 * step), 0.1 * step)


def _stopped(stop: Tensor, curve: list[Tensor], evaluations: Tensor, limits: Tensor, tolerance: float) -> Tensor:
    if len(curve) > STALLED_EVALUATIONS:
        before, now = curve[-1 - STALLED_EVALUATIONS], curve[-1]
        converged = (stop == RUNNING) & (before - now < tolerance * before.abs())
        stop = torch.where(converged, CONVERGED, stop)
    return torch.where((stop == RUNNING) & (evaluations >= limits), LIMIT, stop)


class _History:
    """The last `HISTORY` steps and gradient differences of each problem, and the inverse Hessian they imply."""

    def __init__(self, gradient: Tensor) -> None:
        self.steps: list[Tensor] = []
        self.differences: list[Tensor] = []
        self.inverse_curvatures: list[Tensor] = []
        self.squares = gradient.square()
        self.scale = gradient.new_ones(len(gradient))
        self.diagonal = self._inverse_rms()

    def push(self, step: Tensor, difference: Tensor) -> None:
        """Remember one step `[B, N]`; problems that made none (zeros), or met no curvature, get a weight of zero.

        The slot is spent whether or not an item used it: what an item remembers never depends on its companions.
        """
        curvature = _dot(step, difference)
        useful = curvature > 1e-10 * _dot(difference, difference).clamp_min(1e-30)
        self.inverse_curvatures.append(torch.where(useful, 1.0 / curvature.clamp_min(1e-30), 0.0))
        self.steps.append(step)
        self.differences.append(difference)
        for entries in (self.steps, self.differences, self.inverse_curvatures):
            del entries[:-HISTORY]

    def weigh(self, gradient: Tensor, accept: Tensor) -> None:
        """Renew the diagonal of the problems that made a step, scaled by the curvature `s y / y D y` of that step."""
        squares = GRADIENT_MEMORY * self.squares + (1.0 - GRADIENT_MEMORY) * gradient.square()
        self.squares = torch.where(accept[:, None], squares, self.squares)
        self.diagonal = self._inverse_rms()
        difference, inverse = self.differences[-1], self.inverse_curvatures[-1]
        scale = 1.0 / (inverse * _dot(difference, self.diagonal * difference)).clamp_min(1e-30)
        self.scale = torch.where(inverse > 0.0, scale, self.scale)

    def _inverse_rms(self) -> Tensor:
        rms = self.squares.sqrt()
        return 1.0 / (rms + GRADIENT_FLOOR * rms.amax(1, keepdim=True)).clamp_min(1e-30)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return `-H g`, `[B, N]` (two-loop recursion)."""
        q = gradient.clone()
        shares: list[Tensor] = []
        entries = list(zip(self.steps, self.differences, self.inverse_curvatures, strict=True))
        for step, difference, inverse in reversed(entries):
            share = inverse * _dot(step, q)
            q.addcmul_(share[:, None], difference, value=-1.0)
            shares.append(share)
        q *= self.scale[:, None] * self.diagonal
        for (step, difference, inverse), share in zip(entries, reversed(shares), strict=True):
            q.addcmul_((share - inverse * _dot(difference, q))[:, None], step)
        return -q


def minimise_adam(
    evaluate: Evaluate,
    start: Tensor,
    limits: Tensor,
    tolerance: float,
    learning_rate: float,
) -> Minimum:
    """Minimise a batch of independent functions by Adam (Kingma & Ba 2015, algorithm 1).

    Parameters and result as for `minimise_lbfgs`; `learning_rate` is in units of the picture. The best point of each
    problem is kept, since Adam may rise.
    """
    decay_first, decay_second, epsilon = 0.9, 0.999, 1e-8
    point = start
    first = found = evaluate(point)
    best, total, terms = point, first.total, first.terms
    per_item = (-1,) + (1,) * (start.dim() - 1)
    moment, square = torch.zeros_like(point), torch.zeros_like(point)
    stop = torch.where(torch.isfinite(total), RUNNING, DIVERGED)
    stop = torch.where((stop == RUNNING) & (limits <= 1), LIMIT, stop)
    evaluations = torch.ones_like(limits)
    curve = [total]
    for count in range(1, int(limits.max())):
        running = (stop == RUNNING).reshape(per_item)
        moment = decay_first * moment + (1 - decay_first) * found.gradient
        square = decay_second * square + (1 - decay_second) * found.gradient.square()
        rate = learning_rate / (1 - decay_first**count)
        move = rate * moment / ((square / (1 - decay_second**count)).sqrt() + epsilon)
        point = torch.where(running, point - move, point)
        found = evaluate(point)
        finite = torch.isfinite(found.total) & torch.isfinite(found.gradient.flatten(1)).all(1)
        stop = torch.where((stop == RUNNING) & ~finite, DIVERGED, stop)
        better = (stop == RUNNING) & (found.total < total)
        best = torch.where(better.reshape(per_item), point, best)
        terms = torch.where(better[:, None], found.terms, terms)
        total = torch.where(better, found.total, total)
        evaluations = evaluations + running.flatten()
        curve.append(total)
        stop = _stopped(stop, curve, evaluations, limits, tolerance)
        if count % CHECK_EVERY == 0 and not bool((stop == RUNNING).any()):
            break
    return Minimum(best, first.terms, terms, torch.stack(curve), evaluations, stop)
