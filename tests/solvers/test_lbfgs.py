"""Tests of L-BFGS: against SciPy's, against closed forms, and rows that stop by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from equations import equations, for_each_value
from scipy.optimize import lsq_linear, minimize
from torch import Tensor

from genrev.solvers import Search, Status, lbfgs

TOLERANCE = 1e-3


def solve(
    f: Callable[[Tensor], Tensor],
    target: Tensor,
    x: Tensor,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    scale: float | Tensor = 1.0,
    **keywords: Any,
) -> Search:
    with torch.no_grad():
        return lbfgs(
            equations(f, target, TOLERANCE), x, **for_each_value(x, low=low, high=high, scale=scale), **keywords
        )


def least(f: Callable[[Tensor], Tensor], target: Tensor, x: Tensor, **keywords: Any) -> Tensor:
    """The least cost that the search finds, where it goes by the cost."""

    def function(rows: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        def residual(x: Tensor) -> tuple[Tensor, Tensor]:
            y = f(x) - target[rows]
            return y, y.detach().norm(dim=1)

        return residual

    with torch.no_grad():
        found = lbfgs(function, x, **for_each_value(x, **keywords), aim=1e-9, steps=3000)
    return found.share.square() / 2


def scipy_least(f: Callable[[Tensor], Tensor], target: Tensor, x: Tensor, low: float, high: float) -> Tensor:
    """The same by SciPy, row by row."""

    def one(start: Tensor, goal: Tensor) -> float:
        def cost(values: Any) -> tuple[float, Any]:
            point = torch.tensor(values)[None].requires_grad_()
            value = (f(point) - goal).square().sum() / 2
            return value.item(), torch.autograd.grad(value, point)[0][0].numpy()

        bounds = [(low, high)] * len(start)
        options = {"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-12}
        return float(minimize(cost, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun)

    return torch.tensor([one(*row) for row in zip(x, target, strict=True)])


def rosenbrock(x: Tensor) -> Tensor:
    return torch.cat([10 * (x[:, 1:] - x[:, :-1] ** 2), 1 - x[:, :-1]], 1)


@pytest.mark.parametrize(("low", "high"), [(-math.inf, math.inf), (-0.3, 0.3), (0.0, 0.1)])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_of_a_convex_cost_it_finds_the_least_that_scipy_finds(low: float, high: float, spread: float) -> None:
    matrix = torch.randn(30, 12) * torch.logspace(-spread, spread, 12)
    target, start = 5 * torch.randn(6, 30), torch.zeros(6, 12)

    def f(x: Tensor) -> Tensor:
        return x @ matrix.T

    exact = [lsq_linear(matrix.numpy(), row.numpy(), (low, high), tol=1e-12).cost for row in target]
    mine = least(f, target, start, low=low, high=high, scale=1.0)
    torch.testing.assert_close(mine, torch.tensor(exact), rtol=1e-4, atol=1e-9)
    assert bool((mine <= scipy_least(f, target, start, low, high) * (1 + 1e-4)).all())


@pytest.mark.parametrize(("low", "high"), [(-math.inf, math.inf), (-0.5, 0.5), (-2.0, 0.8)])
@pytest.mark.parametrize("n", [2, 10])
def test_of_rosenbrock_s_valley_it_finds_the_least_that_scipy_finds(n: int, low: float, high: float) -> None:
    start = torch.rand(6, n) - 0.5
    target = torch.zeros(6, 2 * n - 2)
    mine = least(rosenbrock, target, start, low=low, high=high, scale=1.0)
    torch.testing.assert_close(mine, scipy_least(rosenbrock, target, start, low, high), rtol=1e-4, atol=1e-9)


def test_a_reachable_target_is_reached_in_few_steps() -> None:
    matrix = torch.randn(3, 8)
    target = 0.5 * torch.randn(30, 3)
    found = solve(lambda x: x @ matrix.T, target, torch.zeros(30, 8))
    assert bool((found.status == Status.SOLVED).all())
    assert bool(((found.x @ matrix.T - target).abs() <= 0.0101 * TOLERANCE).all())
    assert int(found.steps.max()) <= 40


def test_it_stays_in_the_box_and_moves_only_what_is_free() -> None:
    free = torch.tensor([[True, False, True]]).expand(4, 3)
    start = torch.rand(4, 3)
    found = solve(lambda x: x.sum(1, keepdim=True), torch.full((4, 1), 50.0), start, low=0.0, high=1.0, free=free)
    assert torch.equal(found.x[:, [0, 2]], torch.ones(4, 2))
    assert torch.equal(found.x[:, 1], start[:, 1])
    assert found.status.tolist() == [Status.STALLED] * 4


def test_where_nothing_may_move_it_stalls_at_once_whatever_is_preferred() -> None:
    start, free = torch.rand(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    for preference in (None, lambda rows, x: x.square().sum(1)):
        found = solve(lambda x: x, torch.full((2, 3), 5.0), start, free=free, preference=preference)
        assert torch.equal(found.x, start)
        assert found.status.tolist() == [Status.STALLED] * 2
        assert found.steps.tolist() == [0, 0]


@pytest.mark.parametrize("preference", [None, lambda rows, x: 0.1 * x.square().sum(1)])
def test_each_row_stops_by_itself_and_as_it_would_alone(preference: Any) -> None:
    target, start = 2 * torch.randn(7, 3), torch.randn(7, 6)
    target[0] = 50.0
    matrix = torch.randn(3, 6)

    def f(x: Tensor) -> Tensor:
        # Row by row, since matrix products of other sizes round otherwise.
        return torch.tanh((x[:, None] * matrix).sum(2))

    keywords = {"low": -2.0, "high": 2.0, "preference": preference, "steps": 200}
    whole = solve(f, target.tanh(), start, **keywords)
    assert len(whole.steps.unique()) > 3
    for row in range(7):
        alone = solve(f, target[row : row + 1].tanh(), start[row : row + 1], **keywords)
        torch.testing.assert_close(alone.x[0], whole.x[row], rtol=1e-9, atol=1e-9)
        assert int(alone.steps) == int(whole.steps[row])
        assert int(alone.status) == int(whole.status[row])


def test_a_slope_of_zero_stalls_at_once() -> None:
    found = solve(lambda x: x.relu(), torch.ones(2, 3), torch.full((2, 3), -1.0))
    assert found.status.tolist() == [Status.STALLED] * 2
    assert found.steps.tolist() == [0, 0]


def test_what_is_solved_takes_no_step() -> None:
    found = solve(lambda x: x, torch.ones(2, 3), torch.ones(2, 3))
    assert found.status.tolist() == [Status.SOLVED] * 2
    assert found.steps.tolist() == [0, 0]


def test_steps_that_run_out_say_so() -> None:
    found = solve(lambda x: x.sinh(), torch.full((2, 1), 1e3), torch.zeros(2, 1), steps=5)
    assert found.status.tolist() == [Status.LIMIT] * 2
    assert found.steps.tolist() == [5, 5]


def test_the_nearest_to_what_can_t_be_reached_stalls() -> None:
    found = solve(lambda x: x.tanh(), torch.full((2, 1), 1.5), torch.zeros(2, 1), low=-1.0, high=1.0)
    torch.testing.assert_close(found.x, torch.ones(2, 1))
    assert found.status.tolist() == [Status.STALLED] * 2


def test_what_is_not_finite_keeps_the_best_point_before() -> None:
    found = solve(lambda x: torch.where(x < 0.5, x, math.nan), torch.ones(1, 1), torch.zeros(1, 1), steps=50)
    assert 0 < float(found.x) < 0.5
    assert found.status.tolist() != [Status.SOLVED]
    nowhere = solve(lambda x: x * math.nan, torch.ones(1, 1), torch.zeros(1, 1), steps=5)
    assert nowhere.x.tolist() == [[0.0]]
    assert nowhere.share.tolist() == [math.inf]
    assert nowhere.status.tolist() == [Status.STALLED]


def test_one_row_that_is_not_finite_leaves_the_others_alone() -> None:
    start = torch.tensor([[0.0], [math.nan], [0.5]])
    found = solve(lambda x: x, torch.ones(3, 1), start)
    assert found.status[[0, 2]].tolist() == [Status.SOLVED] * 2
    assert found.status[1] != Status.SOLVED


def test_a_first_step_is_no_longer_than_the_rate_allows() -> None:
    visited: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        visited.append(x.detach().clone())
        return x

    solve(watched, torch.full((1, 2), 1e3), torch.zeros(1, 2), scale=torch.tensor([1.0, 100.0]), rate=0.1, steps=1)
    assert float(visited[1][0, 1]) == pytest.approx(10.0)
    assert float(visited[1][0, 0]) < 0.1


def test_a_preference_for_small_changes_ends_at_the_smallest() -> None:
    matrix, target = torch.randn(2, 6), torch.randn(5, 2)
    start = torch.randn(5, 6)
    shortest = start + (target - start @ matrix.T) @ torch.linalg.pinv(matrix).T

    def change(rows: Tensor, x: Tensor) -> Tensor:
        return (x - start[rows]).square().sum(1)

    found = solve(lambda x: x @ matrix.T, target, torch.randn(5, 6), preference=change)
    assert bool((found.status == Status.SOLVED).all())
    torch.testing.assert_close(found.x, shortest, atol=0.03, rtol=0)


def test_the_start_is_left_alone() -> None:
    start = torch.zeros(3, 2)
    solve(lambda x: x.sin(), torch.full((3, 2), 0.5), start)
    assert torch.equal(start, torch.zeros(3, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_the_precision(dtype: torch.dtype) -> None:
    found = solve(lambda x: x, torch.ones(2, 1, dtype=dtype), torch.zeros(2, 1, dtype=dtype), aim=0.1)
    assert found.x.dtype == found.share.dtype == dtype
    assert bool((found.status == Status.SOLVED).all())
