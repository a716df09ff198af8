"""One softened layer: against SciPy's least squares on the stacked system, and by the conditions of the minimum."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import lsq_linear
from torch import Tensor

from genrev.solvers.boxed_layer import Asked, BoxedLayer


def layer(m: int, n: int, *, condition: float = 1e2, seed: int = 0) -> BoxedLayer:
    torch.manual_seed(seed)
    root = torch.randn(n, n) / math.sqrt(n) * torch.logspace(0, math.log10(condition) / 2, n)
    return BoxedLayer(torch.randn(m, n) / math.sqrt(n), torch.randn(m), root @ root.T + 0.1 * torch.eye(n))


def asked_for(one: BoxedLayer, rows: int, slack: float, *, points: bool, spread: bool = True) -> Asked:
    """Random goals, of which some may be anything on one side, in the box from 0 to 1 or without an upper end."""
    m, n = one.weight.shape
    least = torch.randn(rows, m)
    most = least.clone()
    if not points:
        most = least + torch.rand(rows, m)
        least[:, 0], most[::2, -1] = -math.inf, math.inf
    slacks = slack * (10 ** torch.rand(rows, m) if spread else torch.ones(rows, m))
    high = torch.ones(rows, n) if points else torch.full((rows, n), math.inf)
    return Asked(least, most, slacks, torch.randn(rows, n), torch.zeros(rows, n), high)


def cost(one: BoxedLayer, x: Tensor, asked: Asked) -> Tensor:
    """What is minimised, ``(rows,)``."""
    away = x - asked.centre
    return (one.miss(x, asked.least, asked.most) / asked.slack).square().sum(1) + ((away @ one.precision) * away).sum(1)


@pytest.mark.parametrize(("m", "n"), [(3, 12), (12, 12), (20, 8), (1, 1)])
@pytest.mark.parametrize("slack", [1.0, 1e-2])
@pytest.mark.parametrize("spread", [True, False])
def test_for_points_it_is_the_bounded_least_squares_solution_of_the_stacked_system(
    m: int, n: int, slack: float, spread: bool
) -> None:
    one = layer(m, n)
    asked = asked_for(one, 5, slack, points=True, spread=spread)
    found = cost(one, one.nearest(asked), asked)
    root = torch.linalg.cholesky(one.precision).T
    for row in range(5):
        stacked = torch.cat([one.weight / asked.slack[row][:, None], root])
        right = torch.cat([(asked.least[row] - one.bias) / asked.slack[row], root @ asked.centre[row]])
        other = torch.from_numpy(lsq_linear(stacked.numpy(), right.numpy(), (0, 1), tol=1e-14).x)
        assert float(found[row]) <= float((stacked @ other - right).square().sum()) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize(("m", "n"), [(6, 15), (15, 6), (10, 10), (40, 60)])
@pytest.mark.parametrize("slack", [0.1, 1e-2])
@pytest.mark.parametrize("condition", [1.0, 1e4])
@pytest.mark.parametrize("points", [True, False])
def test_inside_the_box_the_slope_is_zero_and_on_a_bound_it_points_out(
    m: int, n: int, slack: float, condition: float, points: bool
) -> None:
    one = layer(m, n, condition=condition)
    asked = asked_for(one, 20, slack, points=points)
    x = one.nearest(asked).requires_grad_()
    (down,) = torch.autograd.grad(cost(one, x, asked).sum(), x)
    size = one.precision.abs().sum() + one.weight.abs().sum() / slack**2
    inside, top = (x > asked.low) & (x < asked.high), x == asked.high
    assert bool(((x >= asked.low) & (x <= asked.high)).all())
    assert float(down[inside].abs().max()) < 1e-9 * float(size)
    assert float(down[x == asked.low].min()) > -1e-9 * float(size)
    assert not bool(top.any()) or float(down[top].max()) < 1e-9 * float(size)


def test_without_bounds_it_is_the_solution_of_the_normal_equations() -> None:
    one = layer(4, 9)
    asked = asked_for(one, 6, 0.1, points=True, spread=False)
    none = torch.full((6, 9), math.inf)
    x = one.nearest(asked._replace(low=-none, high=none))
    normal = one.precision + one.weight.T @ one.weight / 0.01
    right = asked.centre @ one.precision + (asked.least - one.bias) @ one.weight / 0.01
    torch.testing.assert_close(x, torch.linalg.solve(normal, right.T).T)


def test_inputs_without_room_stay_and_the_others_do_their_best() -> None:
    one = layer(3, 6)
    asked = asked_for(one, 4, 0.1, points=True, spread=False)
    low, high = asked.low - math.inf, asked.high + math.inf
    low[:, :2] = high[:, :2] = 0.7
    x = one.nearest(asked._replace(low=low, high=high))
    assert bool((x[:, :2] == 0.7).all())
    normal = one.precision + one.weight.T @ one.weight / 0.01
    right = asked.centre @ one.precision + (asked.least - one.bias) @ one.weight / 0.01
    rest = right[:, 2:] - 0.7 * normal[:2, 2:].sum(0)
    torch.testing.assert_close(x[:, 2:], torch.linalg.solve(normal[2:, 2:], rest.T).T)


def test_where_anything_will_do_the_centre_is_the_answer() -> None:
    one = layer(4, 6)
    asked = asked_for(one, 3, 0.1, points=True)
    none = torch.full((3, 4), math.inf)
    centre = torch.rand(3, 6)
    torch.testing.assert_close(one.nearest(asked._replace(least=-none, most=none, centre=centre)), centre)


@pytest.mark.parametrize("points", [True, False])
def test_rows_do_not_mind_each_other(points: bool) -> None:
    one = layer(4, 6)
    asked = asked_for(one, 5, 0.05, points=points)
    together = one.nearest(asked)
    for row in range(5):
        torch.testing.assert_close(one.nearest(asked.rows(torch.tensor([row]))), together[row : row + 1])


def test_the_smaller_the_slack_the_smaller_the_miss() -> None:
    one = layer(3, 10)
    none = torch.full((2, 10), math.inf)
    goal = torch.ones(2, 3)
    misses = []
    for slack in (1.0, 1e-1, 1e-2, 1e-3):
        asked = Asked(goal, goal, slack * goal, torch.zeros(2, 10), -none, none)
        misses.append(float(one.miss(one.nearest(asked), goal, goal).abs().max()))
    assert misses == sorted(misses, reverse=True)
    assert misses[-1] < 1e-3


def test_a_layer_of_zeros_leaves_the_centre_alone() -> None:
    one = BoxedLayer(torch.zeros(2, 3), torch.zeros(2), torch.eye(3))
    goal, centre = torch.ones(1, 2), torch.full((1, 3), 0.5)
    for most in (goal, goal + 1):
        asked = Asked(goal, most, 0.1 * goal, centre, torch.zeros(1, 3), torch.ones(1, 3))
        torch.testing.assert_close(one.nearest(asked), centre)
