"""Tests of least squares behind an activation, against dense algebra, SciPy and what rounding must cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor, nn

from genrev.solvers.activated import ActivatedLayer

RELU, TANH, SIGMOID = nn.ReLU(), nn.Tanh(), nn.Sigmoid()


def misfit(weight: Tensor, activation: nn.Module, x: Tensor, offset: Tensor, values: Tensor) -> Tensor:
    return (activation(x @ weight.T + offset) - values).nan_to_num(0.0).norm(dim=1)


@pytest.mark.parametrize("activation", [TANH, SIGMOID, nn.Identity()])
@pytest.mark.parametrize("shape", [(3, 7), (5, 5), (8, 4)])
def test_values_that_can_be_had_are_met_by_the_shortest_input(shape: tuple[int, int], activation: nn.Module) -> None:
    weight, offset = torch.randn(shape), torch.randn(9, shape[0])
    given = torch.randn(9, shape[1])
    values = activation(given @ weight.T + offset)
    x, clamped = ActivatedLayer(weight, activation)(values, offset)
    shortest = given.numpy() @ (np.linalg.pinv(weight.numpy()) @ weight.numpy()).T
    np.testing.assert_allclose(x, shortest, atol=1e-7)
    assert not clamped.any()


def test_values_that_can_not_be_had_are_missed_as_little_as_scipy_misses_them() -> None:
    weight, offset = torch.randn(6, 3), torch.randn(20, 6)
    values = torch.tanh(torch.randn(20, 3) @ weight.T + offset) + 0.02 * torch.randn(20, 6)
    values = values.clamp(-0.95, 0.95)
    x, _ = ActivatedLayer(weight, TANH)(values, offset)
    ours = misfit(weight, TANH, x, offset, values)
    plain = misfit(weight, TANH, (values.atanh() - offset) @ torch.linalg.pinv(weight).T, offset, values)
    best = []
    for row in range(20):

        def away(x: np.ndarray, row: int = row) -> np.ndarray:
            return np.tanh(weight.numpy() @ x + offset[row].numpy()) - values[row].numpy()

        best.append(math.sqrt(2 * optimize.least_squares(away, x[row].numpy()).cost))
    assert bool((ours <= plain + 1e-12).all())
    assert bool((ours <= 1.2 * torch.tensor(best) + 1e-9).all())
    assert float(ours.mean()) < 0.8 * float(plain.mean())


def test_saturated_values_cost_no_more_digits_than_their_rounding_does() -> None:
    weight = 3 * torch.randn(40, 10)
    given = torch.randn(30, 10)
    drive = given @ weight.T
    values, slope = torch.tanh(drive), 1 - torch.tanh(drive).square()
    x, _ = ActivatedLayer(weight, TANH)(values, torch.zeros(30, 40))
    # What an error of one rounding in each value does to the best unbiased estimate.
    rounding = torch.finfo(torch.float64).eps
    spread = torch.linalg.inv((slope[..., None] * weight).mT @ (slope[..., None] * weight)).diagonal(dim1=1, dim2=2)
    bound = 30 * rounding * (spread.sum(1).sqrt() + given.norm(dim=1) + 1)
    assert bool(((x - given).norm(dim=1) <= bound).all())
    plain = (values.clamp(-1 + 1e-16, 1 - 1e-16).atanh()) @ torch.linalg.pinv(weight).T
    assert float((x - given).norm(dim=1).median()) < 1e-3 * float((plain - given).norm(dim=1).median())


def test_zeros_of_a_relu_that_bound_nothing_leave_the_input_exact() -> None:
    weight, offset, given = torch.randn(30, 4), torch.randn(12, 30), torch.randn(12, 4)
    values = torch.relu(given @ weight.T + offset)
    x, _ = ActivatedLayer(weight, RELU)(values, offset)
    torch.testing.assert_close(x, given, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("positive", [False, True])
def test_zeros_of_a_relu_are_inequalities_of_the_shortest_input_as_scipy_finds_it(positive: bool) -> None:
    weight, offset = torch.randn(6, 4), torch.randn(25, 6) - 1
    given = torch.rand(25, 4) if positive else torch.randn(25, 4)
    values = torch.relu(given @ weight.T + offset)
    x, _ = ActivatedLayer(weight, RELU, positive=positive)(values, offset)
    assert float(misfit(weight, RELU, x, offset, values).max()) < 1e-9
    for row in range(25):
        on = (values[row] > 0).numpy()
        goal, matrix = (values[row] - offset[row]).numpy(), weight.numpy()
        limits = [optimize.LinearConstraint(matrix[~on], ub=goal[~on])] if (~on).any() else []
        limits += [optimize.LinearConstraint(matrix[on], goal[on], goal[on])] if on.any() else []
        bounds = optimize.Bounds(0 if positive else -np.inf, np.inf)
        found = optimize.minimize(
            lambda x: x @ x / 2,
            given[row].numpy(),
            jac=lambda x: x,
            bounds=bounds,
            constraints=limits,
            method="SLSQP",
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(np.linalg.norm(x[row]), np.linalg.norm(found.x), rtol=1e-4, atol=1e-6)


def test_what_is_not_asked_counts_nowhere() -> None:
    weight, offset = torch.randn(5, 3), torch.randn(10, 5)
    values = torch.rand(10, 5) - 0.5
    free = torch.rand(10, 5) < 0.5
    free[0], free[1] = True, False
    free[2, :2], free[2, 2:] = True, False
    asked = torch.where(free, math.nan, values)
    x, _ = ActivatedLayer(weight, TANH)(asked, offset)
    assert not x[0].any()
    for row in (~free).sum(1).le(3).nonzero()[:, 0]:
        on = ~free[row]
        expected = torch.linalg.pinv(weight[on]) @ (values[row].atanh() - offset[row])[on]
        torch.testing.assert_close(x[row], expected, rtol=1e-6, atol=1e-6)


def test_values_beyond_the_range_are_marked_and_read_as_the_nearest() -> None:
    layer = ActivatedLayer(torch.eye(3), TANH)
    x, clamped = layer(torch.tensor([[1.0, 0.5, -3.0], [math.nan, 2.0, 0.0]]), torch.zeros(2, 3))
    assert clamped.tolist() == [[True, False, True], [False, True, False]]
    assert x.isfinite().all()
    torch.testing.assert_close(torch.tanh(x), torch.tensor([[1.0, 0.5, -1.0], [0.0, 1.0, 0.0]]))
    x, clamped = ActivatedLayer(torch.eye(2), RELU)(torch.tensor([[-1.0, 2.0]]), torch.zeros(1, 2))
    assert clamped.tolist() == [[True, False]]
    assert x.tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize("activation", [TANH, RELU, SIGMOID])
def test_a_row_has_the_same_answer_alone_and_in_any_batch(activation: nn.Module) -> None:
    weight, offset = torch.randn(12, 5), torch.randn(11, 12)
    values = activation(torch.randn(11, 5) @ weight.T + offset) + 0.01 * torch.randn(11, 12)
    layer = ActivatedLayer(weight, activation)
    whole = layer(values, offset)[0]
    for row in range(11):
        torch.testing.assert_close(layer(values[row : row + 1], offset[row : row + 1])[0][0], whole[row])


def test_a_rank_that_is_short_is_known_and_survived() -> None:
    weight = torch.randn(6, 2) @ torch.randn(2, 4)
    layer = ActivatedLayer(weight, RELU)
    assert (layer.rank, layer.onto) == (2, False)
    offset = torch.randn(8, 6)
    values = torch.relu(torch.randn(8, 4) @ weight.T + offset)
    x, _ = layer(values, offset)
    assert float(misfit(weight, RELU, x, offset, values).max()) < 1e-9
    dead = ActivatedLayer(torch.zeros(3, 2), TANH)
    assert dead.rank == 0
    assert not dead(torch.rand(4, 3), torch.zeros(4, 3))[0].any()
