"""Tests of Levenberg-Marquardt: against closed forms and SciPy, and in every place where a Newton step breaks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from equations import equations, for_each_value
from scipy.optimize import least_squares
from torch import Tensor, nn

from genrev.solvers import Search, Status, levenberg_marquardt

TOLERANCE = 1e-6


def solve(
    f: Callable[[Tensor], Tensor],
    target: Tensor,
    x: Tensor,
    *,
    low: float | Tensor = -math.inf,
    high: float | Tensor = math.inf,
    metric: float | Tensor = 1.0,
    **keywords: Any,
) -> Search:
    with torch.no_grad():
        return levenberg_marquardt(
            equations(f, target, TOLERANCE), x, **for_each_value(x, low=low, high=high, metric=metric), **keywords
        )


def cost(f: Callable[[Tensor], Tensor], x: Tensor, target: Tensor) -> Tensor:
    return (f(x).detach() - target).square().sum(1) / 2


def tanh_network(n: int, m: int, seed: int, gain: float = 1.5) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(n, 8), nn.Tanh(), nn.Linear(8, m))
    with torch.no_grad():
        network[0].weight.mul_(gain)
        network[2].weight.mul_(gain)
    return network.requires_grad_(False)


# Closed forms


def test_a_linear_equation_is_solved_by_the_pseudo_inverse() -> None:
    matrix, start, target = torch.randn(3, 8), torch.randn(20, 8), torch.randn(20, 3)
    found = solve(lambda x: x @ matrix.T, target, start, aim=1e-5)
    assert bool((found.status == Status.SOLVED).all())
    nearest = start + (target - start @ matrix.T) @ torch.linalg.pinv(matrix).T
    torch.testing.assert_close(found.x, nearest, rtol=1e-6, atol=1e-6)


def test_the_metric_says_which_values_move() -> None:
    matrix, start, target = torch.randn(2, 5), torch.randn(9, 5), torch.randn(9, 2)
    metric = torch.tensor([1.0, 10.0, 0.1, 3.0, 1e-3])
    found = solve(lambda x: x @ matrix.T, target, start, metric=metric, aim=1e-5)
    weighted = matrix * metric
    nearest = start + (target - start @ matrix.T) @ torch.linalg.inv(weighted @ matrix.T).T @ weighted
    torch.testing.assert_close(found.x, nearest, rtol=1e-5, atol=1e-5)


def test_a_quadratic_has_its_roots() -> None:
    target = torch.tensor([[2.0], [9.0], [1e-4], [1e6]])
    found = solve(lambda x: x**2, target, torch.ones(4, 1), low=0.0)
    assert bool((found.status == Status.SOLVED).all())
    torch.testing.assert_close(found.x, target.sqrt(), rtol=1e-6, atol=1e-6)


def test_where_the_linear_model_holds_trust_changes_nothing() -> None:
    matrix, start, target = torch.randn(3, 8), torch.randn(20, 8), torch.randn(20, 3)
    ends = [solve(lambda x: x @ matrix.T, target, start, trust=trust) for trust in (1e-6, math.inf)]
    assert torch.equal(ends[0].x, ends[1].x)
    assert torch.equal(ends[0].steps, ends[1].steps)


def test_no_step_is_taken_that_the_linear_model_did_not_foresee() -> None:
    # From here a step by the slope leads over many waves, to one where the sine happens to fit.
    start = torch.tensor([[1.56]])
    far, near = (solve(torch.sin, torch.tensor([[0.3]]), start, trust=trust) for trust in (math.inf, 0.5))
    assert float((far.x - start).abs()) > 40
    assert abs(float(near.x) - math.asin(0.3)) < 1e-6


def test_a_circle_is_met_on_the_ray_through_the_start() -> None:
    start = torch.randn(30, 2)
    found = solve(lambda x: x.square().sum(1, keepdim=True), torch.ones(30, 1), start, aim=1e-4)
    torch.testing.assert_close(found.x, start / start.norm(dim=1, keepdim=True), rtol=1e-6, atol=1e-6)


def test_lines_that_miss_each_other_are_met_at_the_least_squares_point() -> None:
    matrix, target = torch.randn(7, 3), torch.randn(5, 7)
    found = solve(lambda x: x @ matrix.T, target, torch.zeros(5, 3))
    assert bool((found.status == Status.STALLED).all())
    best = target @ torch.linalg.pinv(matrix).T
    # The best point by the greatest residual is kept: it is not above that of least squares.
    assert bool((found.share <= (best @ matrix.T - target).abs().amax(1) / TOLERANCE * (1 + 1e-6)).all())


def test_what_is_solved_where_it_stands_takes_no_step() -> None:
    start = torch.randn(4, 3)
    found = solve(lambda x: x.sin(), start.sin(), start)
    assert found.steps.tolist() == [0] * 4
    assert torch.equal(found.x, start)
    assert bool((found.status == Status.SOLVED).all())


# Corrections


def test_a_damped_step_is_corrected_to_the_end_where_all_directions_are_alike() -> None:
    turned, _ = torch.linalg.qr(torch.randn(5, 3))
    found = solve(lambda x: x @ turned, torch.randn(40, 3), torch.randn(40, 5))
    assert bool((found.status == Status.SOLVED).all())
    assert bool((found.steps == 1).all())


def test_two_jacobians_are_enough_where_they_hardly_change() -> None:
    straight = torch.randn(5, 3)
    found = solve(lambda x: (x + 0.03 * x.sin()) @ straight, torch.randn(40, 3), torch.randn(40, 5))
    assert bool((found.status == Status.SOLVED).all())
    assert bool((found.steps == 2).all())


# Against SciPy


@pytest.mark.parametrize(("n", "m"), [(3, 1), (6, 2), (5, 5), (3, 6), (1, 1), (1, 3)])
def test_it_finds_what_scipy_finds_from_the_same_starts_in_a_box(n: int, m: int) -> None:
    f = tanh_network(n, m, seed=10 * n + m)
    low, high = -1.0, 1.0
    starts = 1.8 * torch.rand(16, n) - 0.9
    # Half are outputs of some input, the others may be anything.
    target = torch.cat([f(1.8 * torch.rand(8, n) - 0.9), 2 * torch.randn(8, m)])
    found = solve(f, target, starts, low=low, high=high, steps=400)
    worse = 0
    for row in range(16):

        def residual(x: Any, row: int = row) -> Any:
            return (f(torch.from_numpy(x)[None])[0] - target[row]).numpy()

        best = least_squares(residual, starts[row].numpy(), bounds=(low, high), xtol=1e-13, ftol=1e-13, gtol=1e-13)
        ours = float(cost(f, found.x[row : row + 1], target[row]))
        if best.cost < 1e-16 or found.status[row] == Status.SOLVED:
            worse += int(found.status[row] != Status.SOLVED)
            continue
        # By squares as good as SciPy's, or better by the greatest residual, which is what the search keeps.
        greatest = float(np.abs(best.fun).max()) / TOLERANCE
        worse += not (ours <= best.cost * (1 + 1e-4) or float(found.share[row]) <= greatest * (1 + 1e-4))
    # From one start each may end in another valley than the other, but not often.
    assert worse <= 2


@pytest.mark.parametrize(("n", "m"), [(1, 1), (6, 2), (5, 5), (3, 6)])
def test_without_bounds_it_reaches_what_scipy_reaches(n: int, m: int) -> None:
    f = tanh_network(n, m, seed=10 * n + m)
    starts, target = 1.8 * torch.rand(16, n) - 0.9, f(1.8 * torch.rand(16, n) - 0.9)
    found = solve(f, target, starts, steps=400)
    theirs = 0
    for row in range(16):

        def residual(x: Any, row: int = row) -> Any:
            return (f(torch.from_numpy(x)[None])[0] - target[row]).numpy()

        theirs += least_squares(residual, starts[row].numpy(), xtol=1e-13, ftol=1e-13, gtol=1e-13).cost < 1e-16
    assert int((found.status == Status.SOLVED).sum()) >= theirs - 1


def test_reachable_targets_are_reached() -> None:
    f = tanh_network(12, 4, seed=1)
    target = f(2 * torch.rand(200, 12) - 1)
    found = solve(f, target, torch.zeros(200, 12), low=-1.0, high=1.0)
    assert float((found.status == Status.SOLVED).double().mean()) >= 0.99


# The box, and values that are not free


def test_it_stays_in_the_box_and_moves_only_what_is_free() -> None:
    f = tanh_network(9, 3, seed=2)
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return f(x)

    low, high = torch.linspace(-1, -0.1, 9), torch.linspace(0.1, 1, 9)
    starts = low + (high - low) * torch.rand(40, 9)
    free = torch.rand(40, 9) > 0.4
    found = solve(watched, 3 * torch.randn(40, 3), starts, low=low, high=high, free=free)
    assert all(bool(((low <= x) & (x <= high)).all()) for x in seen)
    assert torch.equal(torch.where(free, 0.0, found.x), torch.where(free, 0.0, starts))


def test_a_box_of_one_point_leaves_that_point() -> None:
    f = tanh_network(3, 2, seed=3)
    found = solve(f, torch.randn(4, 2), torch.full((4, 3), 0.5), low=0.5, high=0.5)
    assert torch.equal(found.x, torch.full((4, 3), 0.5))
    assert bool((found.status == Status.STALLED).all())


def test_nothing_free_leaves_everything() -> None:
    f = tanh_network(3, 2, seed=3)
    start = torch.randn(4, 3)
    found = solve(f, torch.randn(4, 2), start, free=torch.zeros(4, 3, dtype=torch.bool))
    assert torch.equal(found.x, start)
    assert bool((found.status == Status.STALLED).all())


def test_a_bound_where_the_solution_lies_is_reached() -> None:
    found = solve(lambda x: x.sum(1, keepdim=True), torch.tensor([[3.0]]), torch.zeros(1, 3), low=0.0, high=1.0)
    assert found.status.tolist() == [Status.SOLVED]
    torch.testing.assert_close(found.x, torch.ones(1, 3))


def test_just_beyond_the_box_the_nearest_corner_is_found() -> None:
    found = solve(lambda x: x.sum(1, keepdim=True), torch.tensor([[3.1]]), torch.full((1, 3), 0.2), low=0.0, high=1.0)
    assert found.status.tolist() == [Status.STALLED]
    torch.testing.assert_close(found.x, torch.ones(1, 3))


# Where Newton steps break


@pytest.mark.parametrize("f", [lambda x: 0 * x[:, :2] + 1.0, lambda x: x[:, :2].relu()], ids=["constant", "dead ReLU"])
def test_a_slope_of_zero_stalls_where_it_stands(f: Callable[[Tensor], Tensor]) -> None:
    start = torch.full((3, 4), -1.0)
    found = solve(f, torch.full((3, 2), 5.0), start)
    assert torch.equal(found.x, start)
    assert bool((found.status == Status.STALLED).all())


@pytest.mark.parametrize("copies", [2, 5])
def test_outputs_that_are_copies_of_one_another_do_no_harm(copies: int) -> None:
    f = tanh_network(6, 1, seed=4)
    target = f(torch.rand(10, 6)).repeat(1, copies)
    found = solve(lambda x: f(x).repeat(1, copies), target, torch.zeros(10, 6))
    assert bool((found.status == Status.SOLVED).all())


def test_copies_that_are_asked_for_different_values_meet_in_the_middle() -> None:
    found = solve(lambda x: x.sum(1, keepdim=True).repeat(1, 2), torch.tensor([[1.0, 3.0]]), torch.zeros(1, 3))
    assert found.status.tolist() == [Status.STALLED]
    torch.testing.assert_close(found.x.sum(1), torch.tensor([2.0]), rtol=1e-6, atol=1e-6)


def test_inputs_without_any_slope_stay() -> None:
    f = tanh_network(3, 2, seed=5)
    start = torch.cat([torch.zeros(4, 3), torch.randn(4, 2)], 1)
    found = solve(lambda x: f(x[:, :3]), f(torch.rand(4, 3)), start)
    assert bool((found.status == Status.SOLVED).all())
    assert torch.equal(found.x[:, 3:], start[:, 3:])


def test_saturated_units_stall_or_solve_and_stay_finite() -> None:
    found = solve(lambda x: torch.sigmoid(40 * x), torch.full((5, 3), 0.5), torch.linspace(-1, 1, 15).reshape(5, 3))
    assert bool(found.x.isfinite().all())
    assert set(found.status.tolist()) <= {Status.SOLVED, Status.STALLED, Status.LIMIT}
    moderate = solve(lambda x: torch.sigmoid(4 * x), torch.full((5, 3), 0.5), torch.linspace(-1, 1, 15).reshape(5, 3))
    assert bool((moderate.status == Status.SOLVED).all())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_function_that_is_never_finite_ends(bad: float) -> None:
    start = torch.randn(3, 4)
    found = solve(lambda x: x[:, :2] * bad, torch.zeros(3, 2), start, steps=50)
    assert torch.equal(found.x, start)
    assert bool((found.status != Status.SOLVED).all())


def test_a_function_that_is_finite_in_part_is_kept_within_it() -> None:
    # The logarithm is NaN below zero: steps that go there are taken back.
    target = torch.tensor([[-3.0], [0.0], [2.0]])
    found = solve(lambda x: x.log(), target, torch.full((3, 1), 5.0))
    assert bool((found.status == Status.SOLVED).all())
    torch.testing.assert_close(found.x, target.exp(), rtol=1e-5, atol=1e-6)


def test_one_row_that_is_not_finite_leaves_the_others_alone() -> None:
    f = tanh_network(4, 2, seed=6)
    start = torch.zeros(5, 4)
    start[2] = math.nan
    target = f(torch.rand(5, 4))
    found = solve(f, target, start, steps=60)
    others = torch.tensor([0, 1, 3, 4])
    alone = solve(f, target[others], start[others], steps=60)
    assert bool((found.status[others] == Status.SOLVED).all())
    torch.testing.assert_close(found.x[others], alone.x)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_the_scale_of_the_inputs_does_not_matter(scale: float) -> None:
    f = tanh_network(5, 2, seed=7)
    target = f(torch.rand(8, 5))
    found = solve(lambda x: f(x * scale), target, torch.zeros(8, 5))
    assert bool((found.status == Status.SOLVED).all())


def test_the_best_point_is_kept_whatever_comes_after() -> None:
    shares: list[float] = []
    f = tanh_network(3, 5, seed=8)
    target = torch.randn(1, 5)

    def watched(x: Tensor) -> Tensor:
        y = f(x)
        shares.append(float((y.detach() - target).abs().amax()) / TOLERANCE)
        return y

    found = solve(watched, target, torch.zeros(1, 3))
    assert float(found.share) == pytest.approx(min(shares))
    assert float((f(found.x) - target).abs().amax()) / TOLERANCE == pytest.approx(min(shares))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_the_precision(dtype: torch.dtype) -> None:
    matrix = torch.randn(2, 5, dtype=dtype)
    found = solve(lambda x: x @ matrix.T, torch.randn(6, 2, dtype=dtype), torch.zeros(6, 5, dtype=dtype), aim=10.0)
    assert found.x.dtype == found.share.dtype == dtype
    assert bool((found.status == Status.SOLVED).all())


# Rows are independent


@pytest.mark.parametrize("at_once", [1, 3, 4, 50, 1000])
def test_how_many_rows_are_at_work_changes_nothing(at_once: int) -> None:
    f = tanh_network(6, 3, seed=9)
    target = torch.cat([f(torch.rand(15, 6)), 3 * torch.randn(15, 3)])[torch.randperm(30)]
    start = torch.randn(30, 6).clamp(-1, 1)
    whole = solve(f, target, start, low=-1.0, high=1.0)
    parts = solve(f, target, start, low=-1.0, high=1.0, at_once=at_once)
    solved = whole.status == Status.SOLVED
    assert torch.equal(parts.status == Status.SOLVED, solved)
    torch.testing.assert_close(parts.x[solved], whole.x[solved], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parts.share[~solved], whole.share[~solved], rtol=1e-3, atol=1e-3)


def test_a_row_alone_ends_where_it_ends_in_a_batch() -> None:
    f = tanh_network(6, 3, seed=9)
    target, start = f(torch.rand(10, 6)), torch.zeros(10, 6)
    whole = solve(f, target, start)
    for row in (0, 4, 9):
        alone = solve(f, target[row : row + 1], start[row : row + 1])
        torch.testing.assert_close(alone.x[0], whole.x[row], rtol=1e-9, atol=1e-9)
        assert int(alone.steps) == int(whole.steps[row])


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("at_once", [4, 50])
def test_that_rows_share_their_first_jacobian_changes_nothing(same: bool, at_once: int) -> None:
    f = tanh_network(6, 3, seed=9)
    target = f(torch.rand(30, 6))
    start = torch.full((30, 6), 0.25) if same else torch.rand(30, 6)
    settings = {"low": 0.0, "high": 1.0, "at_once": at_once, "free": torch.rand(30, 6) < 0.8}
    shared = solve(f, target, start, **settings, alike=True)
    own = solve(f, target, start, **settings)
    torch.testing.assert_close(shared.x, own.x, rtol=1e-9, atol=1e-9)
    assert torch.equal(shared.steps, own.steps)


def test_a_jacobian_that_rows_share_is_computed_once() -> None:
    def rows_asked(**keywords: bool) -> list[int]:
        asked: list[int] = []

        def counting(x: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                asked.append(len(x))
            return x @ torch.ones(4, 2).triu()

        solve(counting, torch.arange(1.0, 49.0).reshape(24, 2), torch.zeros(24, 4), **keywords)
        return asked

    shared, own = rows_asked(alike=True), rows_asked()
    # Each Jacobian of two residuals is computed with a copy of every row for each.
    assert own[:2] == [24, 48]
    assert shared == [1, 2, *own[2:]]


def test_rows_that_run_out_of_steps_say_so() -> None:
    found = solve(lambda x: x**3, torch.full((4, 1), 1e6), torch.ones(4, 1), steps=2)
    assert found.status.tolist() == [Status.LIMIT] * 4
    assert found.steps.tolist() == [2] * 4


def test_no_rows_give_no_rows() -> None:
    assert solve(lambda x: x, torch.zeros(0, 3), torch.zeros(0, 3)).x.shape == (0, 3)


def test_the_start_is_left_alone() -> None:
    start = torch.zeros(3, 2)
    solve(lambda x: x.sin(), torch.full((3, 2), 0.5), start)
    assert torch.equal(start, torch.zeros(3, 2))
