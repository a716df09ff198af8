"""Tests of preimages as sets: their point nearest to zero, to anything else, and what they contain."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers import AffineSet, Box, Branches, Point, Preimage, inverse
from genrev.layers.preimages.linear import PseudoInverse


def linear(m: int, n: int, rank: int | None = None) -> nn.Linear:
    layer = nn.Linear(n, m)
    if rank is not None:
        with torch.no_grad():
            layer.weight.copy_(torch.randn(m, rank) @ torch.randn(rank, n))
    return layer


def distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).flatten(1).norm(dim=1)


# Which set


def test_each_layer_says_what_kind_of_set_it_has() -> None:
    kinds = [
        (linear(2, 5), (5,), AffineSet),
        (linear(5, 2), (2,), Point),
        (linear(3, 3), (3,), Point),
        (linear(3, 3, 2), (3,), AffineSet),
        (linear(5, 3, 2), (3,), AffineSet),
        (nn.ReLU(), (4,), Box),
        (nn.Softmax(-1), (4,), AffineSet),
        (nn.SiLU(), (4,), Branches),
        (nn.Upsample(scale_factor=2), (1, 2, 2), Point),
    ]
    for layer, shape, kind in kinds:
        y = layer(torch.randn(3, *shape)).detach()
        assert type(inverse(layer, shape)(y)) is kind, layer


# Wide and deficient layers


SHAPES = [(2, 5, None), (5, 2, None), (4, 4, None), (4, 4, 2), (3, 6, 1), (6, 3, 2), (1, 1, None), (1, 6, None)]


@pytest.mark.parametrize(("m", "n", "rank"), SHAPES)
def test_the_nearest_input_of_a_linear_layer_is_the_projection_of_dense_algebra(m: int, n: int, rank: int) -> None:
    layer = linear(m, n, rank)
    x, z = torch.randn(7, n), 3 * torch.randn(7, n)
    preimage = inverse(layer, (n,))(layer(x).detach())
    weight = layer.weight.detach().numpy()
    seen = np.linalg.pinv(weight) @ weight
    expected = x.numpy() @ seen.T + z.numpy() @ (np.eye(n) - seen.T)
    np.testing.assert_allclose(preimage.nearest(z), expected, atol=1e-10)
    torch.testing.assert_close(preimage.nearest(torch.zeros_like(z)), preimage.x)
    torch.testing.assert_close(layer(preimage.nearest(z)), layer(x))
    assert bool(preimage.contains(x).all())
    assert bool(preimage.contains(preimage.nearest(z)).all())


@pytest.mark.parametrize(("m", "n", "rank"), SHAPES)
def test_a_factor_is_numpy_s_pseudo_inverse_and_rank(m: int, n: int, rank: int) -> None:
    weight = linear(m, n, rank).weight.detach()
    back = PseudoInverse.of(weight)
    np.testing.assert_allclose(back(torch.eye(m)).T, np.linalg.pinv(weight), atol=1e-10)
    assert back.core.shape[0] == np.linalg.matrix_rank(weight)
    assert back.onto == (np.linalg.matrix_rank(weight) == m)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("power", [3, 6, 9, 12, 15, 18])
def test_the_rank_of_an_ill_conditioned_matrix_is_numpy_s(power: int, dtype: torch.dtype) -> None:
    for m, n in ((6, 6), (4, 9), (9, 4)):
        u, v = (torch.linalg.qr(torch.randn(size, min(m, n)))[0] for size in (m, n))
        weight = (u * torch.logspace(0, -power, min(m, n)) @ v.T).to(dtype)
        assert PseudoInverse.of(weight).core.shape[0] == np.linalg.matrix_rank(weight.numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_rank_of_many_matrices_near_the_tolerance_is_numpy_s(dtype: torch.dtype) -> None:
    digits = -math.log10(torch.finfo(dtype).eps)
    for _ in range(200):
        m, n = torch.randint(1, 12, (2,)).tolist()
        u, v = (torch.linalg.qr(torch.randn(size, min(m, n)))[0] for size in (m, n))
        weight = (u * 10 ** (-(digits + 1.5) * torch.rand(min(m, n))) @ v.T).to(dtype)
        singular = torch.linalg.svdvals(weight)
        edge = singular[0] * max(m, n) * torch.finfo(dtype).eps
        if bool(((singular - edge).abs() > 0.3 * edge).all()):
            assert PseudoInverse.of(weight).core.shape[0] == np.linalg.matrix_rank(weight.numpy())


def test_a_sum_of_rows_that_hides_its_rank_from_the_diagonal_is_found_out() -> None:
    # Kahan's matrix, whose triangular factor shows nothing small though it is singular to rounding.
    n, c, s = 90, math.cos(1.2), math.sin(1.2)
    kahan = torch.diag(s ** torch.arange(n)) @ (torch.eye(n) - c * torch.ones(n, n).triu(1))
    assert PseudoInverse.of(kahan).core.shape[0] == np.linalg.matrix_rank(kahan)
    assert PseudoInverse.of(kahan.T).core.shape[0] == np.linalg.matrix_rank(kahan.T)


def test_one_target_is_answered_alike_alone_and_in_a_batch() -> None:
    layer = linear(30, 70)
    invert, y, z = inverse(layer, (70,)), torch.randn(19, 30), torch.randn(19, 70)
    together, alone = invert(y), invert(y[4:5])
    assert torch.equal(together.x[4:5], alone.x)
    assert torch.equal(together.nearest(z)[4:5], alone.nearest(z[4:5]))


def test_no_rows_give_no_rows() -> None:
    for layer, n in ((linear(2, 5), 5), (nn.ReLU(), 2), (nn.GELU(), 2), (nn.LayerNorm(2), 2), (nn.Softmax(-1), 2)):
        preimage = inverse(layer, (n,))(torch.zeros(0, 2))
        assert preimage.x.shape == preimage.nearest(torch.zeros(0, n)).shape == (0, n)
        assert preimage.contains(torch.zeros(0, n)).shape == (0,)


# Boxes, branches, constants


def test_a_box_takes_the_nearest_value_within() -> None:
    box = Box(torch.tensor([[-1.0, -math.inf]]), torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2, dtype=torch.bool))
    assert box.nearest(torch.tensor([[5.0, -7.0]])).tolist() == [[2.0, -7.0]]
    assert box.nearest(torch.tensor([[-5.0, 7.0]])).tolist() == [[-1.0, 0.0]]
    assert box.box is box


def test_contains_is_to_the_slack_that_is_stated() -> None:
    point = Point(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 1, dtype=torch.bool))
    x = torch.tensor([[1.0, 2.01]])
    assert point.contains(x, slack=0.02).tolist() == [True]
    assert point.contains(x, slack=0.005).tolist() == [False]
    assert point.contains(x).tolist() == [False]
    assert point.contains(torch.tensor([[1.0, math.nan]]), slack=1.0).tolist() == [False]
    assert point.contains(x.float() / 1.005, slack=0.01).tolist() == [True]


def test_the_nearest_logits_are_moved_by_one_constant() -> None:
    logits, z = torch.randn(5, 4), torch.randn(5, 4)
    for layer in (nn.Softmax(-1), nn.LogSoftmax(-1)):
        preimage = inverse(layer, (4,))(layer(logits))
        assert bool(preimage.contains(logits + 7.0).all())
        found = preimage.nearest(z)
        torch.testing.assert_close(layer(found), layer(logits))
        # By hand: the constant that minimises the squared distance.
        torch.testing.assert_close(found, logits + (z - logits).mean(-1, keepdim=True))


@pytest.mark.parametrize(
    "layer", [nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(), nn.Hardswish()], ids=str
)
def test_of_two_branches_the_nearer_is_taken(layer: nn.Module) -> None:
    y = layer(torch.tensor([[-2.5, -0.3]]))
    preimage = inverse(layer, (2,))(y)
    far, close = preimage.nearest(torch.full((1, 2), -9.0)), preimage.nearest(torch.zeros(1, 2))
    torch.testing.assert_close(layer(far), y)
    torch.testing.assert_close(layer(close), y)
    assert bool((far < close - 0.1).all())
    assert torch.equal(close, preimage.x)
    torch.testing.assert_close(
        torch.cat([far[:, :1], close[:, 1:]], 1), torch.tensor([[-2.5, -0.3]]), atol=1e-9, rtol=0
    )


def test_the_set_of_a_user_s_own_needs_two_methods_only() -> None:
    class Sphere(Preimage):
        def __init__(self, radius: Tensor) -> None:
            self.radius, self.clamped = radius, radius < 0

        @property
        def x(self) -> Tensor:
            return self.nearest(torch.ones(len(self.radius), 2))

        def nearest(self, z: Tensor) -> Tensor:
            return z / z.norm(dim=1, keepdim=True) * self.radius

    sphere = Sphere(torch.tensor([[2.0]]))
    assert sphere.contains(torch.tensor([[0.0, 2.0]])).tolist() == [True]
    assert sphere.contains(torch.tensor([[0.0, 1.0]])).tolist() == [False]
    assert torch.equal(sphere.box.low, sphere.x)


# What can't be used


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_weights_that_are_no_numbers_give_one_sentence(wrong: float) -> None:
    layers = [(nn.Linear(3, 2), (3,)), (nn.BatchNorm1d(3), (3,)), (nn.LayerNorm(3), (3,)), (nn.PReLU(3), (3,))]
    for (layer, shape), name in itertools.product(layers, ("weight",)):
        with torch.no_grad():
            getattr(layer, name).view(-1)[-1] = wrong
        with pytest.raises(LayerError, match=rf"expected finite weights, got a {type(layer).__name__} with 'weight'"):
            inverse(layer.eval(), shape)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_layer_without_width_gives_one_sentence() -> None:
    for layer, n in ((nn.Linear(0, 2), 0), (nn.Linear(2, 0), 2)):
        with pytest.raises(LayerError, match="at least one input and one output"):
            inverse(layer, (n,))
