"""Tests of Jacobians that are never formed: their steps are those of stored ones, and they end where those end."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from equations import equations, for_each_value
from torch import Tensor, nn

from genrev.solvers import LowRank, Status, levenberg_marquardt, shorten
from genrev.solvers import matrix_free as module
from genrev.solvers.bounded import bounded_step
from genrev.solvers.matrix_free import MatrixFree
from genrev.solvers.metric import Metric
from genrev.solvers.products import Products
from genrev.solvers.stored import Stored


def metric_of(kind: str, n: int) -> Metric:
    diagonal = torch.rand(n) + 0.5
    return LowRank(diagonal, torch.randn(n, 2)) if kind == "correlated" else diagonal


@pytest.fixture
def by_conjugate_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have conjugate gradients solve what a factor would."""
    monkeypatch.setattr(module, "FEW", 0)


def linear(slopes: Tensor) -> Callable[[Tensor], Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """The function whose Jacobians are given."""
    return lambda rows: lambda x: ((slopes[rows] @ x[..., None])[..., 0], x.detach()[:, 0])


def steps_of_both(m: int, n: int, kind: str, rank: int, passes: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(m + n)
    rows = 9
    slopes = torch.randn(rows, m, rank) @ torch.randn(rows, rank, n)
    free = torch.rand(rows, n) > 0.2
    low, high, metric = -torch.rand(n), torch.rand(n), metric_of(kind, n)
    x = (low + 1.4 * (high - low) * torch.rand(rows, n)).clamp(low, high)
    residual, damping = torch.randn(rows, m), 10 ** (3 * torch.rand(rows) - 3)
    may = free.double() if kind == "correlated" else None
    stored = Stored(slopes * free[:, None], metric)
    ours = MatrixFree(linear(slopes), torch.arange(rows), x, metric, free, forcing=1e-12)
    one, other = (
        bounded_step(each, residual, x, low, high, damping, passes=passes, may=may) for each in (stored, ours)
    )
    return one.change, other.change


@pytest.mark.parametrize("kind", ["diagonal", "correlated"])
@pytest.mark.parametrize(("m", "n", "rank"), [(3, 9, 3), (9, 3, 3), (6, 6, 2), (1, 5, 1), (5, 1, 1)])
def test_with_few_residuals_or_values_each_step_is_that_of_a_stored_jacobian(
    m: int, n: int, rank: int, kind: str
) -> None:
    torch.testing.assert_close(*steps_of_both(m, n, kind, rank, passes=2), rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("by_conjugate_gradients")
@pytest.mark.parametrize("kind", ["diagonal", "correlated"])
@pytest.mark.parametrize(("m", "n", "rank"), [(3, 9, 3), (9, 3, 3), (6, 6, 2), (30, 40, 12)])
def test_conjugate_gradients_end_at_the_step_of_a_stored_jacobian(
    m: int, n: int, rank: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The exact mean squared slope, which they only estimate.
    def mean_square(self: MatrixFree, held: object, like: Tensor) -> Tensor:
        units = torch.eye(like.shape[1])
        pulls = [self.back(unit.expand_as(like)) for unit in units]
        return torch.stack([(pull * held.apply(pull)).sum(1) for pull in pulls]).mean(0)  # type: ignore[attr-defined]

    monkeypatch.setattr(MatrixFree, "_mean_square", mean_square)
    torch.testing.assert_close(*steps_of_both(m, n, kind, rank, passes=40), rtol=1e-6, atol=1e-7)


@pytest.mark.usefixtures("by_conjugate_gradients")
@pytest.mark.parametrize("kind", ["diagonal", "correlated"])
def test_the_shortest_solution_of_a_plane_is_the_weighted_pseudo_inverse_s(kind: str) -> None:
    weights, target = torch.randn(6, 20), torch.randn(9, 6)
    metric = metric_of(kind, 20)
    whole = torch.linalg.inv(metric.precision) if isinstance(metric, LowRank) else torch.diag(metric)
    start = torch.randn(9, 20)
    box = for_each_value(start, low=-math.inf, high=math.inf)
    function = equations(lambda x: x @ weights.T, target, 1e-9)
    found = levenberg_marquardt(function, start, **box, metric=metric, matrix_free=True)
    expected = start + (target - start @ weights.T) @ torch.linalg.inv(weights @ whole @ weights.T) @ (weights @ whole)
    assert bool((found.status == Status.SOLVED).all())
    torch.testing.assert_close(found.x, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.usefixtures("by_conjugate_gradients")
def test_an_unreachable_target_ends_at_the_least_squares_point_in_the_box() -> None:
    slopes, target = torch.randn(12, 4), torch.randn(7, 12)
    x = torch.zeros(7, 4)
    box = for_each_value(x, low=-0.1, high=0.1, metric=1.0)
    function = equations(lambda x: x @ slopes.T, target, 1e-9)
    one, other = (levenberg_marquardt(function, x, **box, matrix_free=free) for free in (False, True))
    assert bool((other.status == Status.STALLED).all())
    cost = [((found.x @ slopes.T - target) ** 2).sum(1) for found in (one, other)]
    torch.testing.assert_close(*cost, rtol=1e-3, atol=0)


@pytest.mark.usefixtures("by_conjugate_gradients")
def test_a_target_that_is_far_out_of_reach_takes_a_bounded_number_of_products(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Linear(20, 30), nn.Sigmoid(), nn.Linear(30, 25), nn.Sigmoid()).requires_grad_(False)
    calls = []
    forth = Products.forth
    monkeypatch.setattr(Products, "forth", lambda self, step: calls.append(1) or forth(self, step))
    x = torch.zeros(3, 20)
    box = for_each_value(x, low=-1.0, high=1.0, metric=1.0)
    found = levenberg_marquardt(equations(net, torch.full((3, 25), 5.0), 1e-3), x, **box, matrix_free=True)
    assert bool((found.status != Status.SOLVED).all())
    assert len(calls) < 100 * 2 * 50


@pytest.mark.usefixtures("by_conjugate_gradients")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_that_is_not_finite_leaves_the_others_alone(bad: float) -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 5)).requires_grad_(False)
    target = net(torch.rand(4, 8)).detach()
    target[2] = bad
    x = torch.full((4, 8), 0.5)
    box = for_each_value(x, low=0.0, high=1.0, metric=1.0)
    found = levenberg_marquardt(equations(net, target, 1e-6), x, **box, matrix_free=True)
    assert (found.status == Status.SOLVED).tolist() == [True, True, False, True]


@pytest.mark.usefixtures("by_conjugate_gradients")
def test_a_row_alone_ends_where_it_ends_in_a_batch() -> None:
    net = nn.Sequential(nn.Linear(30, 20), nn.Tanh(), nn.Linear(20, 25)).requires_grad_(False)
    target = net(torch.rand(11, 30)).detach()
    x = torch.full((11, 30), 0.5)
    box = for_each_value(x, low=0.0, high=1.0, metric=1.0)
    together = levenberg_marquardt(equations(net, target, 1e-6), x, **box, matrix_free=True)
    for row in range(11):
        alone = levenberg_marquardt(equations(net, target[row : row + 1], 1e-6), x[:1], **box, matrix_free=True)
        torch.testing.assert_close(alone.x[0], together.x[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("few", [0, 128])
@pytest.mark.parametrize("kind", ["diagonal", "correlated"])
def test_the_smallest_change_is_that_of_stored_jacobians(kind: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", few)
    net = nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 3)).requires_grad_(False)
    target, goal = net(torch.rand(6, 10)).detach(), torch.rand(6, 10)
    box = for_each_value(goal, low=0.0, high=1.0) | {"metric": metric_of(kind, 10)}
    function, free = equations(net, target, 1e-6), torch.ones(6, 10, dtype=torch.bool)
    lengths = []
    for matrix_free in (False, True):
        search = levenberg_marquardt(function, goal, **box, free=free, matrix_free=matrix_free)
        shorten(function, search, goal, **box, free=free, matrix_free=matrix_free)
        assert bool((search.status == Status.SOLVED).all())
        lengths.append((search.x - goal).norm(dim=1))
    torch.testing.assert_close(*lengths, rtol=1e-2, atol=1e-6)
