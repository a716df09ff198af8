"""Tests of the smallest change: against SciPy's SLSQP, against closed forms, and what it may never spoil."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from genrev.solvers import Search, Status, levenberg_marquardt, shorten
from genrev.solvers.jacobian import Function

TOLERANCE = 1e-6


def solve_and_shorten(f: Callable[[Tensor], Tensor], target: Tensor, start: Tensor, **keywords: Any) -> tuple[Any, ...]:
    """Return the search, what it found before it was shortened, and how many rounds were kept."""
    n = start.shape[1]

    def function(rows: Tensor) -> Function:
        def residual(x: Tensor) -> tuple[Tensor, Tensor]:
            y = f(x) - target[rows]
            return y, y.detach().abs().amax(1) / TOLERANCE

        return residual

    bounds = (keywords.pop("low", -math.inf), keywords.pop("high", math.inf), keywords.pop("metric", 1.0))
    low, high, metric = (torch.as_tensor(value, dtype=start.dtype).expand(n) for value in bounds)
    free = keywords.pop("free", torch.ones_like(start, dtype=torch.bool))
    box = {"low": low, "high": high, "metric": metric, "free": free}
    with torch.no_grad():
        search = levenberg_marquardt(function, start, **box)
        first = Search(search.x.clone(), search.share.clone(), search.status.clone(), search.steps.clone())
        kept = shorten(function, search, start, **box, **keywords)
    return search, first, kept


def smooth_network(kind: str, n: int, m: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    act = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid}[kind]
    network = nn.Sequential(nn.Linear(n, 8), act(), nn.Linear(8, 8), act(), nn.Linear(8, m))
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(2.0 if kind == "tanh" else 3.0)
    return network.requires_grad_(False)


def slsqp(f: nn.Module, target: Tensor, goal: Any, begin: Any, bound: float | None) -> float:
    """The distance to the goal that SciPy ends at, inf where it does not meet the target."""
    slopes = torch.func.jacrev(lambda x: f(x[None])[0])

    def miss(x: Any) -> Any:
        return (f(torch.from_numpy(x)[None])[0] - target).numpy()

    found = minimize(
        lambda x: float(((x - goal) ** 2).sum()),
        begin,
        jac=lambda x: 2 * (x - goal),
        bounds=None if bound is None else [(-bound, bound)] * len(goal),
        constraints={"type": "eq", "fun": miss, "jac": lambda x: slopes(torch.from_numpy(x)).numpy()},
        method="SLSQP",
        options={"maxiter": 300, "ftol": 1e-12},
    )
    x = np.asarray(found.x) if bound is None else np.clip(found.x, -bound, bound)
    return float(np.linalg.norm(x - goal)) if np.abs(miss(x)).max() <= TOLERANCE else math.inf


def ratios(kind: str, boxed: bool) -> list[float]:
    """Our distance as a share of the best of SLSQP's, from the start and from our own answer."""
    found: list[float] = []
    for n, m in ((4, 1), (4, 2), (6, 2), (6, 3), (8, 3)):
        f = smooth_network(kind, n, m, seed=100 * n + 10 * m + boxed)
        target, start = f(2 * torch.rand(6, n) - 1), 2 * torch.rand(6, n) - 1
        bound = 1.0 if boxed else None
        search, _, _ = solve_and_shorten(f, target, start, low=-(bound or math.inf), high=bound or math.inf)
        for row in range(6):
            goal = start[row].numpy()
            best = slsqp(f, target[row], goal, goal, bound)
            if search.status[row] != Status.SOLVED:
                found += [math.inf] if math.isfinite(best) else []
                continue
            polished = slsqp(f, target[row], goal, search.x[row].numpy(), bound)
            found.append(float((search.x[row] - start[row]).norm()) / min(best, polished))
    return found


def test_it_is_as_short_as_slsqp_within_two_percent() -> None:
    found = [ratio for kind in ("tanh", "sigmoid") for boxed in (False, True) for ratio in ratios(kind, boxed)]
    assert len(found) >= 110
    assert float(np.median(found)) <= 1.02
    assert sum(ratio <= 1.02 for ratio in found) >= 0.95 * len(found)


# Closed forms


def test_on_a_plane_it_is_the_projection() -> None:
    matrix, target, start = torch.randn(2, 6), torch.randn(9, 2), torch.randn(9, 6)
    search, _, _ = solve_and_shorten(lambda x: x @ matrix.T, target, start)
    nearest = start + (target - start @ matrix.T) @ torch.linalg.pinv(matrix).T
    torch.testing.assert_close(search.x, nearest, rtol=1e-5, atol=1e-5)


def test_on_a_plane_it_is_the_projection_in_the_metric() -> None:
    matrix, target, start = torch.randn(2, 5), torch.randn(9, 2), torch.randn(9, 5)
    metric = torch.tensor([1.0, 10.0, 0.1, 3.0, 0.01])
    search, _, _ = solve_and_shorten(lambda x: x @ matrix.T, target, start, metric=metric)
    weighted = matrix * metric
    nearest = start + (target - start @ matrix.T) @ torch.linalg.inv(weighted @ matrix.T).T @ weighted
    torch.testing.assert_close(search.x, nearest, rtol=1e-5, atol=1e-5)


def test_on_an_ellipse_it_is_the_nearest_point() -> None:
    start = 3 * torch.randn(20, 2)
    axes = torch.tensor([1.0, 1.0])
    axes[1] = 0.25
    search, first, _ = solve_and_shorten(lambda x: (x.square() * axes).sum(1, keepdim=True), torch.ones(20, 1), start)
    angle = torch.linspace(0, 2 * math.pi, 200_001)
    ellipse = torch.stack([angle.cos(), 2 * angle.sin()], 1)
    for row in range(20):
        best = float((ellipse - start[row]).norm(dim=1).min())
        assert float((search.x[row] - start[row]).norm()) <= 1.02 * best
        assert float((search.x[row] - start[row]).norm()) <= float((first.x[row] - start[row]).norm()) + 1e-12


def test_a_start_that_meets_the_target_stays() -> None:
    start = torch.randn(5, 3)
    search, _, kept = solve_and_shorten(lambda x: x.sin().sum(1, keepdim=True), start.sin().sum(1, keepdim=True), start)
    assert torch.equal(search.x, start)
    assert kept.tolist() == [0] * 5


# What it may never spoil


@pytest.mark.parametrize("boxed", [True, False])
def test_rows_stay_solved_in_the_box_and_get_no_longer(boxed: bool) -> None:
    f = smooth_network("tanh", 8, 2, seed=3)
    target, start = f(2 * torch.rand(40, 8) - 1), 2 * torch.rand(40, 8) - 1
    low, high = (-1.0, 1.0) if boxed else (-math.inf, math.inf)
    free = torch.rand(40, 8) > 0.2
    search, first, kept = solve_and_shorten(f, target, start, low=low, high=high, free=free)
    solved = first.status == Status.SOLVED
    assert int(solved.sum()) >= 25
    assert torch.equal(search.status, first.status)
    assert bool(((f(search.x) - target).abs().amax(1)[solved] <= 0.0101 * TOLERANCE).all())
    assert bool(((low <= search.x) & (search.x <= high)).all())
    assert torch.equal(torch.where(free, 0.0, search.x), torch.where(free, 0.0, start))
    before, after = ((part.x - start).norm(dim=1) for part in (first, search))
    assert bool((after <= before * (1 + 1e-12)).all())
    assert bool((kept[after < before] > 0).all())
    torch.testing.assert_close(search.share[solved], ((f(search.x) - target).abs().amax(1) / TOLERANCE)[solved])


def test_rows_that_are_not_solved_are_left_alone() -> None:
    f = smooth_network("tanh", 4, 2, seed=4)
    target = torch.cat([f(torch.rand(3, 4)), torch.full((3, 2), 1e3)])
    start = torch.zeros(6, 4)
    search, first, kept = solve_and_shorten(f, target, start, low=-1.0, high=1.0)
    assert bool((first.status[3:] != Status.SOLVED).all())
    assert torch.equal(search.x[3:], first.x[3:])
    assert kept[3:].tolist() == [0, 0, 0]


def test_no_rounds_change_nothing() -> None:
    f = smooth_network("tanh", 4, 2, seed=4)
    search, first, kept = solve_and_shorten(f, f(torch.rand(3, 4)), torch.zeros(3, 4), rounds=0)
    assert torch.equal(search.x, first.x)
    assert kept.tolist() == [0, 0, 0]


def test_a_row_alone_ends_where_it_ends_in_a_batch() -> None:
    f = smooth_network("sigmoid", 6, 2, seed=5)
    target, start = f(torch.rand(8, 6)), torch.rand(8, 6)
    whole, _, _ = solve_and_shorten(f, target, start)
    for row in (0, 5):
        alone, _, _ = solve_and_shorten(f, target[row : row + 1], start[row : row + 1])
        torch.testing.assert_close(alone.x[0], whole.x[row], rtol=1e-6, atol=1e-6)


def test_the_goal_is_left_alone() -> None:
    start = torch.randn(3, 4)
    before = start.clone()
    solve_and_shorten(lambda x: x.square().sum(1, keepdim=True), torch.ones(3, 1), start)
    assert torch.equal(start, before)


def test_where_solutions_bend_away_it_does_not_go_to_and_fro() -> None:
    goal, begin = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]])

    def on_the_circle(rows: Tensor) -> Function:
        return lambda x: (miss := x.square().sum(1, keepdim=True) - 1, miss.detach().abs()[:, 0] / TOLERANCE)

    box = {"low": torch.full((2,), -9.0), "high": torch.full((2,), 9.0), "metric": torch.ones(2)}
    box["free"] = torch.ones(1, 2, dtype=torch.bool)
    search = levenberg_marquardt(on_the_circle, begin, **box)
    shorten(on_the_circle, search, goal, **box)
    torch.testing.assert_close(search.x, goal / 5, rtol=0, atol=0.01)
