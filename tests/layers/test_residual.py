"""Tests of the inverse of x + g(x): where g contracts, where it does not, and where there is none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers import Interval, bounds, inverse
from genrev.layers.links import Residual, Scaled
from genrev.layers.preimages.residual import Roots


def linear(scale: float, n: int = 5) -> nn.Linear:
    layer = nn.Linear(n, n)
    nn.init.orthogonal_(layer.weight, scale)
    return layer


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x**2


@pytest.mark.parametrize("scale", [0.1, 0.7, 0.99, 3.0])
def test_a_linear_body_is_inverted_as_dense_algebra_does(scale: float) -> None:
    block = Residual([layer := linear(scale)])
    y = torch.randn(9, 5)
    preimage = inverse(block, (5,))(y)
    expected = torch.linalg.solve(torch.eye(5) + layer.weight, (y - layer.bias).T).T.detach()
    torch.testing.assert_close(preimage.x, expected, rtol=1e-8, atol=1e-8)
    assert not bool(preimage.clamped.any())


@pytest.mark.parametrize("rows", [1, 12])
@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_a_body_of_several_layers_is_inverted_in_any_shape(scale: float, rows: int) -> None:
    layers = [nn.Flatten(), linear(scale, 6), nn.Tanh(), linear(1.0, 6), nn.Unflatten(1, (2, 3))]
    block = Residual(layers)
    x = torch.randn(rows, 2, 3)
    with torch.no_grad():
        y = block(x)
        preimage = inverse(block, (2, 3))(y)
        found = ~preimage.clamped.flatten(1).any(1)
        torch.testing.assert_close(block(preimage.x)[found], y[found], rtol=1e-7, atol=1e-7)
        assert bool(preimage.contains(x).all())
        if scale < 1:
            assert bool(found.all())
            torch.testing.assert_close(preimage.x, x, rtol=1e-7, atol=1e-7)
            assert torch.equal(preimage.nearest(torch.randn(rows, 2, 3)), preimage.x)


def test_of_two_roots_the_nearer_is_taken() -> None:
    # x + x^2 = 6 at 2 and at -3.
    preimage = inverse(Residual([Square()]), (1,))(torch.full((2, 1), 6.0))
    assert preimage.nearest(torch.tensor([[-4.0], [5.0]])).flatten().tolist() == pytest.approx([-3.0, 2.0])
    assert preimage.contains(torch.tensor([[-3.0], [2.1]])).tolist() == [True, False]


def test_a_value_that_no_input_gives_is_clamped() -> None:
    preimage = inverse(Residual([Square()]), (2,))(torch.tensor([[6.0, -7.0], [6.0, 2.0]]))
    assert preimage.clamped.tolist() == [[True, True], [False, False]]
    assert bool(preimage.x.isfinite().all())


def test_a_block_that_gives_one_value_only_is_clamped_and_finite() -> None:
    block = Residual([Scaled(torch.tensor(-1.0), torch.tensor(2.0))])
    preimage = inverse(block, (3,))(torch.tensor([[2.0, 2.0, 2.0], [2.0, 2.0, 5.0]]))
    assert preimage.clamped.any(1).tolist() == [False, True]
    assert bool(preimage.x.isfinite().all())


def test_a_row_is_answered_alike_alone_and_in_a_batch() -> None:
    block = Residual([linear(1.2, 7), nn.Tanh(), linear(1.2, 7)])
    y, z = torch.randn(13, 7), torch.randn(13, 7)
    together, alone = inverse(block, (7,))(y), inverse(block, (7,))(y[5:6])
    torch.testing.assert_close(together.x[5:6], alone.x)
    torch.testing.assert_close(together.nearest(z)[5:6], alone.nearest(z[5:6]))


def test_a_body_that_works_in_place_leaves_its_input_alone() -> None:
    block = Residual([nn.ReLU(inplace=True)])
    x = torch.randn(20, 4)
    before = x.clone()
    y = block(x)
    assert torch.equal(x, before)
    preimage = inverse(block, (4,))(y)
    torch.testing.assert_close(preimage.x, torch.where(y > 0, y / 2, y))
    assert isinstance(preimage, Roots)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_the_precision_without_gradients(dtype: torch.dtype) -> None:
    block = Residual([linear(2.0)]).to(dtype)
    y = torch.randn(4, 5, dtype=dtype)
    with torch.no_grad():
        preimage = inverse(block, (5,))(y)
        assert preimage.x.dtype == dtype
        assert not preimage.x.requires_grad
        torch.testing.assert_close(block(preimage.x), y)
    assert not inverse(block, (5,))(y).x.requires_grad
    assert inverse(block, (5,))(y[:0]).x.shape == (0, 5)


def test_a_scale_and_a_shift_are_undone() -> None:
    layer = Scaled(torch.tensor([2.0, 0.0, -1.0]), torch.tensor([1.0, 3.0, 0.0]))
    preimage = inverse(layer, (3,))(torch.tensor([[5.0, 3.0, 4.0], [5.0, 4.0, 4.0]]))
    assert preimage.x.tolist() == [[2.0, 0.0, -4.0]] * 2
    assert preimage.clamped.tolist() == [[False] * 3, [False, True, False]]
    assert preimage.box.high[0].tolist() == [2.0, math.inf, -4.0]
    with pytest.raises(LayerError, match="finite weights"):
        inverse(Scaled(torch.tensor(math.nan), torch.tensor(0.0)), (1,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_bounds_of_a_residual_block_hold_its_outputs(dtype: torch.dtype) -> None:
    for body in ([linear(1.0)], [linear(2.0), nn.Tanh(), linear(1.0)], [nn.Flatten(), nn.ReLU(inplace=True)]):
        block = Residual(body).to(dtype)
        low, high = -torch.rand(1, 5, dtype=torch.float64), torch.rand(1, 5, dtype=torch.float64)
        box = bounds(block, (5,))(Interval(low, high, dtype))
        corners = torch.where(torch.rand(500, 5) < 0.5, low, high).to(dtype)
        inside = (low + (high - low) * torch.rand(500, 5)).to(dtype)
        with torch.no_grad():
            assert bool(box.contains(block(torch.cat([corners, inside]))).all())
        assert bool(box.high.isfinite().all())
    endless = Interval(torch.full((1, 5), -math.inf), torch.full((1, 5), math.inf))
    assert bool(bounds(Residual([nn.Tanh()]), (5,))(endless).high.isinf().all())
    with pytest.raises(LayerError, match="got Square"):
        bounds(Residual([Square()]), (5,))(endless)
