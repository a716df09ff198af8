"""The smallest change: from points that solve an equation, along its solutions, to the ones nearest a goal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genrev.solvers.bounded import bounded_step
from genrev.solvers.jacobian import Function, jacobian
from genrev.solvers.levenberg_marquardt import levenberg_marquardt
from genrev.solvers.matrix_free import MatrixFree
from genrev.solvers.metric import LowRank, Metric, cost
from genrev.solvers.search import Search, Status
from genrev.solvers.stored import Slopes, Stored

_FORCING = 1e-3
"""The share of its linear constraint that a way may miss, where no Jacobian is stored."""


def shorten(
    function: Callable[[Tensor], Function],
    search: Search,
    goal: Tensor,
    *,
    low: Tensor,
    high: Tensor,
    metric: Metric,
    free: Tensor,
    aim: float = 0.01,
    rounds: int = 60,
    gain: float = 1e-4,
    matrix_free: bool = False,
) -> Tensor:
    """Move solved rows nearer to their goal, keeping them solved.

    Each round goes to the point of the linearised constraint and the box that is nearest to the goal, then back onto
    the constraint, and is kept only if that ends nearer. Where that brings less than a quarter of what was foreseen,
    as on solutions that bend away, the next way is halved: a whole one would go to and fro.

    Args:
        function: from row numbers ``(k,)`` to the `Function` of those rows.
        search: the solved and unsolved rows; changed in place.
        goal: ``(rows, n)``, inside the box.
        low: ``(n,)``.
        high: ``(n,)``.
        metric: ``(n,)``, positive: distances are sum(d^2 / metric); or the metric of values that move together.
        free: ``(rows, n)`` of bool.
        aim: the share of the tolerance at which a row is solved.
        rounds: at most.
        gain: a row is done when a whole way would shorten its distance by less than this share on the plane.
        matrix_free: whether to work with products of the Jacobians alone; see `levenberg_marquardt`.

    Returns:
        ``(rows,)`` integers: how many rounds were kept.

    Example:
        >>> def on_the_circle(rows):
        ...     return lambda x: (away := x.square().sum(1, keepdim=True) - 1, away.detach().abs()[:, 0] / 1e-3)
        >>> box = {"low": torch.full((2,), -9.0), "high": torch.full((2,), 9.0), "metric": torch.ones(2)}
        >>> box["free"] = torch.ones(1, 2, dtype=torch.bool)
        >>> search = levenberg_marquardt(on_the_circle, torch.tensor([[1.0, 0.0]]), **box)
        >>> rounds = shorten(on_the_circle, search, torch.tensor([[0.9, 1.2]]), **box)
        >>> torch.allclose(search.x, torch.tensor([[0.6, 0.8]]), atol=0.01)
        True
    """
    kept = torch.zeros_like(search.status)
    way = torch.ones_like(search.share)
    rows = ((search.status == Status.SOLVED) & (search.x != goal).any(1)).nonzero()[:, 0]
    for _ in range(rounds):
        if len(rows) == 0:
            break
        x, aims = search.x[rows], goal[rows]
        residual, slopes = _slopes(function, rows, x, metric, free[rows], matrix_free=matrix_free)
        ahead = residual + slopes.forth(aims - x)
        damping = torch.full_like(way[rows], 1e-9)
        may = free[rows].to(x) if isinstance(metric, LowRank) else None
        step = bounded_step(slopes, ahead, aims, low, high, damping, passes=12, may=may)
        nearest = torch.where(free[rows], aims + step.change, x)
        trial = x + way[rows, None] * (nearest - x)
        again = levenberg_marquardt(
            lambda part, rows=rows: function(rows[part]),  # type: ignore[misc]
            trial,
            low=low,
            high=high,
            metric=metric,
            free=free[rows],
            aim=aim,
            steps=8,
            matrix_free=matrix_free,
        )
        before, after = _distance(x - aims, metric), _distance(again.x - aims, metric)
        nearer = (again.status == Status.SOLVED) & (after < before)
        search.x[rows[nearer]], search.share[rows[nearer]] = again.x[nearer], again.share[nearer]
        search.steps[rows] += again.steps + 1
        kept[rows[nearer]] += 1
        foreseen = before - _distance(trial - aims, metric)
        share = torch.where(nearer, (before - after) / foreseen, 0.0)
        factor = torch.where(share > 0.75, 2.0, torch.where(share > 0.25, 1.0, 0.5))
        way[rows] = (factor.to(way) * way[rows]).clamp(max=1.0)
        worthwhile = before - _distance(nearest - aims, metric) > gain * before
        rows = rows[worthwhile & (way[rows] > 1 / 64)]
    return kept


def _slopes(
    function: Callable[[Tensor], Function],
    rows: Tensor,
    x: Tensor,
    metric: Metric,
    free: Tensor,
    *,
    matrix_free: bool,
) -> tuple[Tensor, Slopes]:
    """Return the residuals and the Jacobians of rows at x, where only the free values have slopes."""
    if matrix_free:
        with torch.no_grad():
            return function(rows)(x)[0], MatrixFree(function, rows, x, metric, free, forcing=_FORCING)
    residual, _, slopes = jacobian(function, rows, x)
    return residual, Stored(slopes * free[:, None], metric)


def _distance(change: Tensor, metric: Metric) -> Tensor:
    return cost(metric, change).sqrt()
