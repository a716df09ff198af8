"""Tests of the inverses of sums too large for their matrix: what factors give is what products alone give."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import genrev.layers.preimages.sums as sums
import genrev.operators.solver as solver
from genrev import BijectiveInverter, BoundedPinvInverter, InputSpace, Network, PinvInverter
from genrev.layers import inverse
from genrev.models import BlockDiagonalLinear, LowRankLinear, SparseLinear


def thin(m: int, n: int) -> Tensor:
    return 1.5 * torch.eye(m, n) + torch.randn(m, n) / 4 * (torch.rand(m, n) < 0.3)


LAYERS: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "conv 1d": lambda: (nn.Conv1d(2, 1, 3), (2, 6)),
    "conv 2d that is square": lambda: (nn.Conv2d(2, 2, 1), (2, 4, 3)),
    "conv 2d that is tall": lambda: (nn.Conv2d(1, 5, 2), (1, 4, 3)),
    "conv 2d that loses": lambda: (nn.Conv2d(3, 2, 3, stride=2), (3, 7, 5)),
    "conv 3d": lambda: (nn.Conv3d(1, 2, 2), (1, 3, 2, 3)),
    "conv transpose 2d": lambda: (nn.ConvTranspose2d(1, 2, 3, padding=1), (1, 3, 4)),
    "sparse": lambda: (SparseLinear(thin(7, 7), torch.randn(7)), (7,)),
    "sparse and wide": lambda: (SparseLinear(thin(5, 9)), (9,)),
    "sparse, rows of values": lambda: (SparseLinear(thin(4, 4)), (3, 4)),
    "low rank": lambda: (LowRankLinear(torch.randn(6, 2), torch.randn(2, 6), torch.rand(6) + 1), (6,)),
    "blocks": lambda: (BlockDiagonalLinear(torch.randn(3, 2, 2)), (6,)),
    "wide blocks": lambda: (BlockDiagonalLinear(torch.randn(3, 2, 4), torch.randn(6)), (12,)),
}


def matrix(layer: nn.Module, shape: tuple[int, ...]) -> Tensor:
    n = math.prod(shape)
    zero = layer(torch.zeros(1, *shape))
    return (layer(torch.eye(n).reshape(n, *shape)) - zero).flatten(1).T.detach()


@pytest.mark.parametrize("formed", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_the_inverse_is_the_pseudo_inverse(name: str, formed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "DENSE", 0)
    monkeypatch.setattr(solver, "_FORMED", 2**22 if formed else 0)
    torch.manual_seed(0)
    layer, shape = LAYERS[name]()
    layer = layer.double()
    x = torch.randn(4, *shape)
    y = layer(x).detach()
    preimage = inverse(layer, shape)(y)
    back = torch.linalg.pinv(matrix(layer, shape))
    asked = (y - layer(torch.zeros(1, *shape))).detach().flatten(1)
    torch.testing.assert_close(preimage.x.flatten(1), asked @ back.T, rtol=1e-6, atol=1e-7)
    assert not preimage.clamped.any()
    assert preimage.clamped.shape == y.shape
    assert bool(preimage.contains(x).all())
    z = torch.randn_like(x)
    near = preimage.nearest(z)
    torch.testing.assert_close(layer(near), y, rtol=1e-6, atol=1e-6)
    # What moves it is seen: it has no part along what the layer does not see.
    moved = (near - z).flatten(1)
    torch.testing.assert_close(moved @ (back @ matrix(layer, shape)).T, moved, rtol=1e-5, atol=1e-6)


def test_values_that_can_not_be_had_together_are_clamped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "DENSE", 0)
    layer = nn.Conv2d(1, 5, 2)
    assert bool(inverse(layer, (1, 4, 3))(torch.randn(2, 5, 3, 2)).clamped.any())


def test_networks_of_such_layers_are_inverted() -> None:
    torch.manual_seed(0)
    low = LowRankLinear(torch.randn(7, 2) / 4, torch.randn(2, 7) / 4, torch.rand(7) + 1)
    module = nn.Sequential(SparseLinear(thin(7, 7), torch.randn(7)), nn.LeakyReLU(0.5), low)
    network = Network(module, space=InputSpace((7,)))
    x = torch.randn(5, 7)
    assert network.chain().titles()[0] == "the hidden layer (SparseLinear, '0')"
    for kind in (PinvInverter, BijectiveInverter):
        found = kind(network).reconstruct(network.evaluate(x))
        torch.testing.assert_close(found.best, x)
        assert bool(found.converged.all())
    assert bool(BoundedPinvInverter(network).fit(x).reconstruct(network.evaluate(x), seed=0).converged.all())
