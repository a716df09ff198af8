"""Tests of products with Jacobians: against autograd's Jacobian, for every way in which they can be had."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from equations import equations
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.solvers.products import Products


class Once(torch.autograd.Function):
    """A square that can be differentiated once, and forward."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**2

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * gradient

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * tangent


WEIGHTS = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

FUNCTIONS = {
    "tanh": lambda x: torch.tanh(x @ WEIGHTS.T),
    "relu": lambda x: F.relu(x @ WEIGHTS.T),
    "in_place": lambda x: F.relu_(x @ WEIGHTS.T),
    "log_softmax": lambda x: F.log_softmax(x @ WEIGHTS.T, -1),
    "once": lambda x: Once.apply(x) @ WEIGHTS.T,
    "constant": lambda x: torch.ones(len(x), 3),
    "steps": lambda x: x.round(),
}


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_they_are_products_with_autograd_s_jacobian(name: str, rows: int) -> None:
    f = FUNCTIONS[name]
    x = torch.randn(rows, 4)
    outputs = f(x).shape[1]
    products = Products(equations(f, torch.zeros(rows, outputs), 1.0), torch.arange(rows), x)
    step, duals = torch.randn(rows, 4), torch.randn(rows, outputs)
    forth, back = products.forth(step), products.back(duals)
    for row in range(rows):
        slopes = torch.autograd.functional.jacobian(lambda one: f(one[None])[0], x[row])
        torch.testing.assert_close(forth[row], slopes @ step[row])
        torch.testing.assert_close(back[row], slopes.T @ duals[row])
    assert not forth.requires_grad
    assert not back.requires_grad


def test_what_is_not_free_has_no_slope() -> None:
    free = torch.tensor([[True, False]])
    products = Products(equations(lambda x: x, torch.zeros(1, 2), 1.0), torch.tensor([0]), torch.ones(1, 2), free)
    assert products.forth(torch.ones(1, 2)).tolist() == [[1.0, 0.0]]
    assert products.back(torch.ones(1, 2)).tolist() == [[1.0, 0.0]]


def test_they_work_where_gradients_are_switched_off_and_can_be_had_again() -> None:
    layer = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    with torch.no_grad():
        products = Products(equations(layer, torch.zeros(2, 3), 1.0), torch.arange(2), torch.randn(2, 4))
        first, again = (products.forth(torch.ones(2, 4)) for _ in range(2))
    assert torch.equal(first, again)
    assert layer[0].weight.grad is None
