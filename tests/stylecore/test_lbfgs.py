"""The batched optimisers: to scipy's optimum, each problem as if it were alone, and why each one stopped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from stylecore.lbfgs import STOP_REASONS, Evaluate, Evaluation, Minimum, minimise_adam, minimise_lbfgs

Function = Callable[[Tensor], Tensor]


def _evaluation(function: Function) -> Evaluate:
    """Return the evaluation of a function from `[B, ...]` to `[B]`."""

    def evaluate(points: Tensor) -> Evaluation:
        points = points.detach().requires_grad_()
        totals = function(points)
        (gradients,) = torch.autograd.grad(totals.sum(), points)
        return Evaluation(totals.detach(), gradients, torch.stack([totals, 2 * totals], 1).detach())

    return evaluate


def _each(*functions: Function) -> Evaluate:
    """Return one batch of different problems, each a function of `[N]`."""
    return _evaluation(lambda points: torch.stack([f(p) for f, p in zip(functions, points, strict=True)]))


def _quadratic(seed: int, size: int = 6) -> Function:
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    matrix = basis @ torch.diag(torch.logspace(-1, 1.5, size, dtype=torch.float64)) @ basis.T
    centre = torch.randn(size, generator=generator, dtype=torch.float64)
    return lambda x: 0.5 * (x - centre) @ matrix @ (x - centre) + 1.0


def _rosenbrock(x: Tensor) -> Tensor:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def _breaking(after: float) -> Function:
    """Return a bowl around 3 that is not a number beyond `after`: a step across it cannot be taken."""
    return lambda x: torch.where(x > after, torch.nan, (x - 3.0) ** 2).sum()


def _hopeless(x: Tensor) -> Tensor:
    return (x * torch.nan).sum()


def _start(batch: int, size: int = 6) -> Tensor:
    return torch.randn(batch, size, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def _limits(batch: int, limit: int = 300) -> Tensor:
    return torch.full((batch,), limit)


def _stops(minimum: Minimum) -> list[str]:
    return [STOP_REASONS[int(stop)] for stop in minimum.stop]


def _scipy(function: Function, start: Tensor) -> np.ndarray:
    def both(x: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        value = function(point)
        value.backward()
        return value.item(), point.grad.numpy()

    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1_000}
    return minimize(both, start.numpy(), jac=True, method="L-BFGS-B", options=options).x


def test_a_batch_of_different_problems_ends_at_scipys_optima() -> None:
    problems = [_quadratic(0), _rosenbrock, _quadratic(1), _rosenbrock]
    start = _start(4)
    minimum = minimise_lbfgs(_each(*problems), start, _limits(4), 0.0)
    for item, problem in enumerate(problems):
        expected = _scipy(problem, start[item])
        np.testing.assert_allclose(minimum.point[item].numpy(), expected, rtol=0, atol=1e-5)
        assert minimum.curve[-1, item].item() == pytest.approx(problem(torch.tensor(expected)).item(), abs=1e-9)


def test_it_needs_about_as_many_evaluations_as_scipy() -> None:
    """Steepest descent would need thousands on these: the curvature is really used."""
    minimum = minimise_lbfgs(_each(_quadratic(0), _rosenbrock), _start(2), _limits(2, 80), 0.0)
    assert minimum.curve[40, 0].item() - 1.0 < 1e-8
    assert minimum.curve[-1, 1].item() < 1e-8


def test_points_keep_their_shape() -> None:
    target = torch.arange(24.0, dtype=torch.float64).reshape(2, 3, 4)
    evaluate = _evaluation(lambda points: (points - target).square().sum((1, 2)))
    minimum = minimise_lbfgs(evaluate, torch.zeros_like(target), _limits(2), 0.0)
    torch.testing.assert_close(minimum.point, target)


@pytest.mark.parametrize("companion", [_rosenbrock, _hopeless, _breaking(0.5)], ids=["sound", "hopeless", "breaking"])
def test_companions_do_not_matter(companion: Function) -> None:
    start = _start(3)
    start[1] = start[1].clamp_max(0.4)
    own = [_quadratic(0), _rosenbrock]
    together = minimise_lbfgs(_each(own[0], companion, own[1]), start, _limits(3, 60), 1e-6)
    for item, problem in zip((0, 2), own, strict=True):
        alone = minimise_lbfgs(_each(problem), start[item : item + 1], _limits(1, 60), 1e-6)
        torch.testing.assert_close(together.point[item], alone.point[0], rtol=1e-9, atol=1e-9)
        assert together.evaluations[item] == alone.evaluations[0]
        assert together.stop[item] == alone.stop[0]
        count = int(alone.evaluations[0])
        torch.testing.assert_close(together.curve[:count, item], alone.curve[:count, 0], rtol=1e-9, atol=1e-12)


def test_padding_does_not_change_the_first_step() -> None:
    """Unknowns without a gradient stand beside a problem's own in a batch of different lengths."""
    start = _start(1)
    alone = minimise_lbfgs(_each(_rosenbrock), start, _limits(1, 15), 0.0)
    padded = torch.nn.functional.pad(start, (0, 40))
    beside = minimise_lbfgs(_each(lambda x: _rosenbrock(x[:6])), padded, _limits(1, 15), 0.0, torch.tensor([6]))
    torch.testing.assert_close(beside.point[:, :6], alone.point, rtol=1e-9, atol=1e-9)
    assert not beside.point[:, 6:].any()


def test_the_first_step_moves_by_a_tenth() -> None:
    points: list[Tensor] = []
    evaluate = _evaluation(lambda p: 1e3 * (p - 50.0).square().sum(1))

    def watched(p: Tensor) -> Evaluation:
        points.append(p.clone())
        return evaluate(p)

    minimise_lbfgs(watched, _start(2), _limits(2, 2), 0.0)
    moved = (points[1] - points[0]).square().mean(1).sqrt()
    torch.testing.assert_close(moved, torch.full((2,), 0.1, dtype=torch.float64))


@pytest.mark.parametrize("factor", [1e-5, 1e6])
def test_the_scale_of_a_loss_does_not_matter(factor: float) -> None:
    start = _start(1)
    plain = minimise_lbfgs(_each(_rosenbrock), start, _limits(1, 30), 1e-6)
    scaled = minimise_lbfgs(_each(lambda x: factor * _rosenbrock(x)), start, _limits(1, 30), 1e-6)
    torch.testing.assert_close(scaled.point, plain.point, rtol=1e-6, atol=1e-6)


def test_each_problem_has_its_own_limit() -> None:
    limits = torch.tensor([1, 7, 30])
    start = _start(3)
    minimum = minimise_lbfgs(_each(_rosenbrock, _rosenbrock, _rosenbrock), start, limits, 0.0)
    assert minimum.evaluations.tolist() == [1, 7, 30]
    assert _stops(minimum) == ["iterations"] * 3
    assert minimum.curve.shape == (30, 3)
    torch.testing.assert_close(minimum.point[0], start[0], rtol=0, atol=0)
    assert bool((minimum.curve[6:, 1] == minimum.curve[6, 1]).all())  # held where it stopped
    assert minimum.curve[29, 2] < minimum.curve[6, 2]


def test_a_problem_that_no_longer_gains_stops_by_the_tolerance() -> None:
    problems = (_quadratic(0), lambda x: 1.0 + _rosenbrock(x))  # a share of a loss that ends at 0 never gets small
    minimum = minimise_lbfgs(_each(*problems), _start(2), _limits(2), 1e-3)
    assert _stops(minimum) == ["tolerance", "tolerance"]
    assert bool((minimum.evaluations < 300).all())
    for item in range(2):
        curve = minimum.curve[: int(minimum.evaluations[item]), item]
        assert curve[-11] - curve[-1] < 1e-3 * curve[-11]
        shares = (curve[:-11] - curve[10:-1]) / curve[:-11]
        assert bool((shares >= 1e-3).all())  # and not a moment sooner


def test_no_value_is_read_back_between_checks_yet_all_stop_soon() -> None:
    minimum = minimise_lbfgs(_each(_quadratic(0)), _start(1), _limits(1), 1e-3)
    assert 0 <= len(minimum.curve) - int(minimum.evaluations[0]) <= 10


def test_a_false_gradient_leads_nowhere_and_is_said() -> None:
    def uphill(points: Tensor) -> Evaluation:
        totals = points.square().sum(1)
        return Evaluation(totals, -2.0 * points, totals[:, None])

    start = _start(1)
    minimum = minimise_lbfgs(uphill, start, _limits(1), 0.0)
    assert _stops(minimum) == ["no further descent"]
    assert torch.equal(minimum.point, start)


def test_a_problem_that_is_no_number_from_the_start_has_diverged_at_once() -> None:
    minimum = minimise_lbfgs(_each(_hopeless, _quadratic(0)), _start(2), _limits(2), 1e-6)
    assert _stops(minimum) == ["diverged", "tolerance"]
    assert minimum.evaluations[0] == 1


@pytest.mark.parametrize("optimise", [minimise_lbfgs, lambda *a: minimise_adam(*a, 0.1)], ids=["lbfgs", "adam"])
def test_a_gradient_that_is_no_number_has_diverged(optimise: Callable[..., Minimum]) -> None:
    def evaluate(points: Tensor) -> Evaluation:
        totals = points.square().sum(1)
        return Evaluation(totals, torch.full_like(points, torch.nan), totals[:, None])

    minimum = optimise(evaluate, _start(1), _limits(1, 50), 0.0)
    assert _stops(minimum) == ["diverged"]
    assert bool(torch.isfinite(minimum.point).all())


@pytest.mark.parametrize("broken", ["total", "gradient"])
def test_a_tempting_point_that_is_no_number_is_not_taken(broken: str) -> None:
    """A total of minus infinity, or a gradient of NaN beside a low total, would pass the test of descent."""

    def evaluate(points: Tensor) -> Evaluation:
        beyond = points.sum(1) > 0.5
        totals = (points - 3.0).square().sum(1)
        gradients = 2.0 * (points - 3.0)
        if broken == "total":
            totals = torch.where(beyond, -torch.inf, totals)
        else:
            gradients = torch.where(beyond[:, None], torch.nan, gradients)
        return Evaluation(totals, gradients, totals[:, None])

    minimum = minimise_lbfgs(evaluate, torch.zeros(1, 1, dtype=torch.float64), _limits(1), 0.0)
    assert 0.3 < minimum.point.item() <= 0.5
    assert bool(torch.isfinite(minimum.curve).all())


def test_a_wall_of_no_numbers_is_reached_and_not_crossed() -> None:
    start = torch.zeros(1, 1, dtype=torch.float64)
    minimum = minimise_lbfgs(_each(_breaking(0.5)), start, _limits(1), 0.0)
    assert 0.3 < minimum.point.item() <= 0.5
    assert bool(torch.isfinite(minimum.curve).all())
    assert _stops(minimum) == ["diverged"]


def test_the_curve_never_rises_and_ends_at_the_point() -> None:
    problems = [_quadratic(0), _rosenbrock, _quadratic(2)]
    minimum = minimise_lbfgs(_each(*problems), _start(3), _limits(3, 70), 0.0)
    assert bool((minimum.curve[1:] <= minimum.curve[:-1]).all())
    for item, problem in enumerate(problems):
        assert problem(minimum.point[item]).item() == pytest.approx(minimum.curve[-1, item].item(), rel=1e-12)
        assert problem(_start(3)[item]).item() == pytest.approx(minimum.curve[0, item].item(), rel=1e-12)


@pytest.mark.parametrize("optimise", [minimise_lbfgs, lambda *a: minimise_adam(*a, 0.1)], ids=["lbfgs", "adam"])
def test_terms_are_those_of_the_first_and_the_best_point(optimise: Callable[..., Minimum]) -> None:
    minimum = optimise(_each(_quadratic(0), _rosenbrock), _start(2), _limits(2, 25), 0.0)
    torch.testing.assert_close(minimum.first_terms[:, 1], 2 * minimum.curve[0])
    torch.testing.assert_close(minimum.last_terms[:, 0], minimum.curve[-1])
    torch.testing.assert_close(minimum.last_terms[:, 1], 2 * minimum.curve[-1])


def test_the_optimum_as_a_start_is_left_alone() -> None:
    minimum = minimise_lbfgs(_each(_rosenbrock), torch.ones(1, 6, dtype=torch.float64), _limits(1, 30), 1e-4)
    assert torch.equal(minimum.point, torch.ones(1, 6, dtype=torch.float64))


class TestAdam:
    """Adam in a batch."""

    def test_it_is_torchs(self) -> None:
        start = _start(1)
        point = start[0].clone().requires_grad_()
        optimiser = torch.optim.Adam([point], lr=0.05)
        for _ in range(20):
            optimiser.zero_grad()
            _quadratic(0)(point).backward()
            optimiser.step()
        minimum = minimise_adam(_each(_quadratic(0)), start, _limits(1, 21), 0.0, 0.05)
        assert bool((minimum.curve[1:] < minimum.curve[:-1]).all())  # it never rose: the last point is the best
        torch.testing.assert_close(minimum.point[0], point.detach(), rtol=1e-9, atol=1e-9)

    def test_it_reaches_the_optimum(self) -> None:
        problems = [_quadratic(0), _quadratic(1)]
        minimum = minimise_adam(_each(*problems), _start(2), _limits(2, 600), 0.0, 0.3)
        for item, problem in enumerate(problems):
            np.testing.assert_allclose(minimum.point[item].numpy(), _scipy(problem, _start(2)[item]), atol=1e-2)

    def test_the_best_point_is_kept_when_it_rises(self) -> None:
        minimum = minimise_adam(_each(_quadratic(0)), _start(1), _limits(1, 40), 0.0, 5.0)
        assert bool((minimum.curve[1:] <= minimum.curve[:-1]).all())
        assert _quadratic(0)(minimum.point[0]).item() == pytest.approx(minimum.curve[-1, 0].item())

    @pytest.mark.parametrize(
        "companion", [_rosenbrock, _hopeless, _breaking(0.5)], ids=["sound", "hopeless", "breaking"]
    )
    def test_companions_do_not_matter(self, companion: Function) -> None:
        start = _start(2)
        start[1] = start[1].clamp_max(0.4)
        together = minimise_adam(_each(_quadratic(0), companion), start, _limits(2, 40), 1e-6, 0.1)
        alone = minimise_adam(_each(_quadratic(0)), start[:1], _limits(1, 40), 1e-6, 0.1)
        torch.testing.assert_close(together.point[0], alone.point[0], rtol=1e-12, atol=1e-12)
        assert together.evaluations[0] == alone.evaluations[0]
        assert together.stop[0] == alone.stop[0]

    def test_it_stops_by_limit_tolerance_and_divergence(self) -> None:
        start = _start(3)
        start[2] = 0.4
        limits = torch.tensor([5, 2_000, 50])
        minimum = minimise_adam(_each(_rosenbrock, _quadratic(0), _breaking(0.5)), start, limits, 1e-3, 0.1)
        assert _stops(minimum) == ["iterations", "tolerance", "diverged"]
        assert minimum.evaluations[0] == 5
        assert minimum.evaluations[1] < 2_000
        assert bool(torch.isfinite(minimum.point).all())
