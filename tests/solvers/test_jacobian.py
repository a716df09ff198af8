"""Tests of the Jacobian: each row against autograd's own, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from genrev.solvers import jacobian

MANY = 2**18
"""More slopes than these are computed without copies of the rows."""


def slopes_of(module: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `jacobian` does where every row has the same function."""

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        y = module(x)
        return y, y.detach().abs().amax(1)

    return jacobian(lambda index: function, torch.arange(len(x)), x)


MODULES: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "linear": (5, nn.Linear(5, 3)),
    "one input, one output": (1, nn.Linear(1, 1)),
    "tanh": (4, nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6))),
    "more outputs than inputs": (2, nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 40))),
    "many outputs": (30, nn.Sequential(nn.Linear(30, 8), nn.Softplus(), nn.Linear(8, 25))),
    "relu": (6, nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))),
    "convolution": (16, nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), nn.ELU(), nn.Flatten())),
    "a forward of its own": (3, lambda x: torch.stack([x.prod(1), x.sin().sum(1), x[:, 0] * x[:, 2]], 1)),
    "softmax": (4, lambda x: torch.log_softmax(x**2, 1)),
    "constant in one output": (2, lambda x: torch.stack([x[:, 0] ** 2, torch.ones(len(x))], 1)),
}


@pytest.mark.parametrize("rows", [1, 7, None])
@pytest.mark.parametrize("name", sorted(MODULES))
def test_each_row_is_autograd_s_jacobian(name: str, rows: int | None) -> None:
    n, module = MODULES[name]
    if isinstance(module, nn.Module):
        module = module.double()
    m = module(torch.ones(1, n)).shape[1]
    x = torch.randn(MANY // (m * n) + 1 if rows is None else rows, n)
    residual, share, slopes = slopes_of(module, x)
    torch.testing.assert_close(residual, module(x).detach())
    torch.testing.assert_close(share, module(x).detach().abs().amax(1))
    assert slopes.shape == (len(x), m, n)
    for row in range(0, len(x), -(-len(x) // 7)):
        expected = torch.autograd.functional.jacobian(lambda one: module(one[None])[0], x[row])
        torch.testing.assert_close(slopes[row], expected)


@pytest.mark.parametrize("rows", [4, MANY // 6 + 1])
def test_each_row_has_the_function_of_its_number(rows: int) -> None:
    scale, x = torch.rand(2 * rows, 1), torch.randn(rows, 2)
    index = torch.randperm(2 * rows)[:rows]
    wave = torch.stack([x.sin(), x.cos(), x], 1)
    slope = torch.stack([x.cos(), -x.sin(), torch.ones_like(x)], 1)

    def function(index: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        return lambda x: (
            scale[index] * torch.stack([x.sin().sum(1), x.cos().sum(1), x.sum(1)], 1),
            x[:, 0].detach(),
        )

    residual, _, slopes = jacobian(function, index, x)
    torch.testing.assert_close(residual, scale[index] * wave.sum(2))
    torch.testing.assert_close(slopes, scale[index][:, None] * slope)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_the_precision(dtype: torch.dtype) -> None:
    parts = slopes_of(nn.Linear(3, 2).to(dtype), torch.randn(4, 3, dtype=dtype))
    assert [part.dtype for part in parts] == [dtype] * 3


def test_it_leaves_no_graph_and_no_gradients() -> None:
    module = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    parts = slopes_of(module, x)
    assert not any(part.requires_grad for part in parts)
    assert not x.requires_grad
    assert module.weight.grad is None


def test_it_works_where_gradients_are_switched_off() -> None:
    with torch.no_grad():
        assert slopes_of(nn.Linear(3, 2), torch.randn(4, 3))[2].shape == (4, 2, 3)


def test_it_runs_a_large_function_once() -> None:
    calls = []
    slopes_of(lambda x: (calls.append(1), x.sin())[1], torch.randn(MANY // 900 + 1, 30))
    assert calls == [1]


def test_no_rows_give_no_rows() -> None:
    assert slopes_of(nn.Linear(3, 2), torch.randn(0, 3))[2].shape == (0, 2, 3)


@pytest.mark.parametrize("outputs", [2, 40])
def test_what_does_not_depend_on_the_input_has_slope_zero(outputs: int) -> None:
    residual, _, slopes = slopes_of(lambda x: torch.ones(len(x), outputs), torch.randn(4, 3))
    assert torch.equal(residual, torch.ones(4, outputs))
    assert torch.equal(slopes, torch.zeros(4, outputs, 3))
