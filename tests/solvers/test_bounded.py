"""Tests of one step in a box: against SciPy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from torch import Tensor

from genrev.solvers.bounded import BoundedStep, bounded_step
from genrev.solvers.metric import LowRank
from genrev.solvers.stored import Stored


def step_against_scipy(m: int, n: int, seed: int, *, passes: int) -> tuple[int, int]:
    """Compare the steps of eight rows with SciPy's; return how many settled, of how many."""
    torch.manual_seed(seed)
    rows = 8
    slopes, residual = torch.randn(rows, m, n), 3 * torch.randn(rows, m)
    low, high, metric = -torch.rand(n), torch.rand(n), 0.1 + 3 * torch.rand(n)
    x = low + (high - low) * torch.rand(rows, n)
    where = torch.rand(rows, n)
    # A fifth of the values sit on each bound, and on a fifth nothing depends.
    x = torch.where(where < 0.2, low, torch.where(where > 0.8, high, x))
    free = torch.rand(rows, n) > 0.2
    slopes = slopes * free[:, None]
    damping = 10 ** (6 * torch.rand(rows) - 5)
    step, settled, _, _ = bounded_step(Stored(slopes, metric), residual, x, low, high, damping, passes=passes)
    least, most = low - x, high - x
    assert bool(((least <= step) & (step <= most)).all())
    assert bool((step[~free] == 0).all())
    for row in settled.nonzero()[:, 0].tolist():
        may = free[row].numpy()
        if not may.any():
            continue
        # The level of damping that the step says it has: from what is not drawn outwards at a bound.
        pull = -(residual[row] @ slopes[row])
        stays = (pull <= 0) & (least[row] == 0) | (pull >= 0) & (most[row] == 0)
        moves = ~stays if bool((~stays).any()) else torch.ones_like(stays)
        level = float(damping[row] * ((slopes[row] ** 2) @ (moves * metric)).mean())
        matrix = np.vstack([slopes[row].numpy(), np.diag(np.sqrt(level / metric.numpy()))])[:, may]
        right = np.concatenate([-residual[row].numpy(), np.zeros(n)])
        # SciPy wants room between the bounds.
        box = np.minimum(least[row].numpy()[may], -1e-300), np.maximum(most[row].numpy()[may], 1e-300)
        best = lsq_linear(matrix, right, box, tol=1e-14, max_iter=500).x
        ours, theirs = (float(((matrix @ d - right) ** 2).sum()) for d in (step[row].numpy()[may], best))
        assert ours <= theirs * (1 + 1e-9)
    return int(settled.sum()), rows


@pytest.mark.parametrize(("m", "n"), [(2, 7), (7, 3), (4, 4), (1, 5), (5, 1), (1, 1), (3, 20), (20, 12)])
def test_a_step_is_the_bounded_minimum_that_scipy_finds(m: int, n: int) -> None:
    counts = [step_against_scipy(m, n, seed, passes=200) for seed in range(12)]
    settled, total = (sum(column) for column in zip(*counts, strict=True))
    assert settled == total


@pytest.mark.parametrize(("m", "n"), [(2, 7), (7, 3), (4, 4), (3, 20)])
def test_most_steps_settle_in_a_few_passes(m: int, n: int) -> None:
    counts = [step_against_scipy(m, n, seed, passes=6) for seed in range(12)]
    settled, total = (sum(column) for column in zip(*counts, strict=True))
    assert settled >= 0.8 * total


def test_a_step_without_bounds_is_the_damped_least_squares_solution() -> None:
    slopes, residual, metric = torch.randn(5, 3, 6), torch.randn(5, 3), torch.rand(6) + 0.5
    infinite = torch.full((6,), math.inf)
    step, settled, _, _ = bounded_step(
        Stored(slopes, metric), residual, torch.zeros(5, 6), -infinite, infinite, torch.full((5,), 0.1)
    )
    assert bool(settled.all())
    level = 0.1 * (slopes.square() @ metric).mean(1)
    for row in range(5):
        matrix = slopes[row].T @ slopes[row] + torch.diag(level[row] / metric)
        torch.testing.assert_close(step[row], -torch.linalg.solve(matrix, slopes[row].T @ residual[row]))


def test_a_step_in_a_corner_that_is_pulled_outwards_is_no_step() -> None:
    slopes, residual = torch.ones(1, 1, 3), torch.tensor([[5.0]])
    step, settled, _, _ = bounded_step(
        Stored(slopes, torch.ones(3)),
        residual,
        torch.zeros(1, 3),
        torch.zeros(3),
        torch.ones(3),
        torch.tensor([0.03]),
    )
    assert step.tolist() == [[0.0, 0.0, 0.0]]
    assert bool(settled)


@pytest.mark.parametrize(("m", "n"), [(2, 5), (5, 2)])
def test_a_step_of_zero_slopes_is_no_step(m: int, n: int) -> None:
    step = bounded_step(
        Stored(torch.zeros(3, m, n), torch.ones(n)),
        torch.randn(3, m),
        torch.zeros(3, n),
        -torch.ones(n),
        torch.ones(n),
        torch.full((3,), 0.03),
    )
    assert torch.equal(step.change, torch.zeros(3, n))


def step_between(bound: float) -> tuple[Tensor, Tensor, BoundedStep]:
    """Return the slopes and the metric of fifty rows, and their step from the middle of a box, damped by a tenth."""
    slopes, residual, metric = torch.randn(50, 3, 8), torch.randn(50, 3), torch.rand(8) + 0.5
    low, high = torch.full((8,), -bound), torch.full((8,), bound)
    damping = torch.full((50,), 0.1)
    return (
        slopes,
        metric,
        bounded_step(Stored(slopes, metric), residual, torch.zeros(50, 8), low, high, damping, passes=50),
    )


@pytest.mark.parametrize("bound", [0.2, math.inf])
def test_a_settled_step_is_what_its_duals_pull_clipped_to_the_box(bound: float) -> None:
    slopes, metric, step = step_between(bound)
    assert step.duals is not None
    assert bool(step.settled.all())
    pulled = -metric * (step.duals[:, None] @ slopes)[:, 0]
    torch.testing.assert_close(step.change, pulled.clamp(-bound, bound))


@pytest.mark.parametrize("bound", [0.2, math.inf])
def test_the_factor_is_that_of_the_problem_of_the_free_values(bound: float) -> None:
    slopes, metric, step = step_between(bound)
    assert step.factor is not None
    free = (step.change.abs() < bound).double()
    gram = (slopes * (free * metric)[:, None]) @ slopes.transpose(1, 2)
    level = 0.1 * (slopes.square() @ metric).mean(1)
    expected = gram + level[:, None, None] * torch.eye(3)
    torch.testing.assert_close(step.factor @ step.factor.transpose(1, 2), expected)


def test_more_residuals_than_values_have_no_duals() -> None:
    ones = torch.ones(2)
    step = bounded_step(
        Stored(torch.randn(4, 3, 2), ones), torch.randn(4, 3), torch.zeros(4, 2), -ones, ones, torch.full((4,), 0.1)
    )
    assert step.duals is None
    assert step.factor is None


@pytest.mark.parametrize(("m", "n", "rank"), [(2, 7, 2), (7, 3, 1), (4, 4, 3), (1, 5, 2), (20, 12, 4)])
def test_a_step_in_a_metric_of_correlated_values_is_the_minimum_in_the_box(m: int, n: int, rank: int) -> None:
    torch.manual_seed(m)
    rows = 40
    slopes, residual = torch.randn(rows, m, n), 3 * torch.randn(rows, m)
    low, high = -torch.rand(n), torch.rand(n)
    metric = LowRank(0.1 + torch.rand(n), torch.randn(n, rank))
    where = torch.rand(rows, n)
    x = torch.where(where < 0.2, low, torch.where(where > 0.8, high, low + (high - low) * torch.rand(rows, n)))
    may = (torch.rand(rows, n) > 0.2).double()
    slopes = slopes * may[:, None]
    damping = 10 ** (6 * torch.rand(rows) - 5)
    step = bounded_step(Stored(slopes, metric), residual, x, low, high, damping, passes=200, may=may)
    assert bool(step.settled.all())
    precision = torch.linalg.inv(torch.diag(metric.diagonal) + metric.factor @ metric.factor.T)
    for row in range(rows):
        change, least, most = step.change[row], low - x[row], high - x[row]
        assert bool(((least <= change) & (change <= most)).all())
        assert bool((change[may[row] == 0] == 0).all())
        level = first_level(slopes[row], residual[row], least, most, metric, precision, may[row] > 0) * damping[row]
        slope = slopes[row].T @ (slopes[row] @ change + residual[row]) + level * precision @ change
        # Nothing may be gained inwards from a bound, nor either way between them.
        gain = torch.where(change <= least, slope.clamp(max=0), torch.where(change >= most, slope.clamp(min=0), slope))
        size = (slopes[row].T @ residual[row]).abs().max() + 1e-9
        assert float((gain * may[row]).abs().max()) <= 1e-7 * float(size)


def first_level(
    slopes: Tensor, residual: Tensor, least: Tensor, most: Tensor, metric: LowRank, precision: Tensor, may: Tensor
) -> Tensor:
    """The mean squared slope of what may move at first: all but what is drawn out of the box."""
    drawn = -torch.linalg.inv(precision) @ (slopes.T @ residual)
    free = (may & ~((least == 0) & (drawn < 0)) & ~((most == 0) & (drawn > 0))).nonzero()[:, 0]
    if not len(free):
        return (slopes.square() * metric.variance).sum(1).mean()
    covariance = torch.linalg.inv(precision[free[:, None], free])
    return torch.trace(slopes[:, free] @ covariance @ slopes[:, free].T) / len(slopes)
