"""Tests of layers as linear operators: W x + b is what the layer gives, and the adjoint is the matrix transposed."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from sentences import assert_one_sentence
from torch import nn

from genrev.errors import LayerError
from genrev.layers.operators import operator
from genrev.models import BlockDiagonalLinear, LowRankLinear, SparseLinear

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "linear-places": (lambda: nn.Linear(6, 4), (2, 3, 6)),
    "linear-no-bias": (lambda: nn.Linear(6, 4, bias=False), (6,)),
    "conv1d": (lambda: nn.Conv1d(2, 4, 3, padding=1, groups=2), (2, 7)),
    "conv1d-leftover": (lambda: nn.Conv1d(2, 3, 3, stride=4), (2, 13)),
    "conv2d": (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1, dilation=2), (2, 8, 7)),
    "conv2d-circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 4, 3)),
    "conv2d-reflect": (lambda: nn.Conv2d(1, 2, 3, padding=2, padding_mode="reflect"), (1, 4, 5)),
    "conv2d-replicate": (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="replicate", bias=False), (1, 4, 5)),
    "conv2d-same": (lambda: nn.Conv2d(2, 3, 4, padding="same", dilation=2), (2, 7, 6)),
    "conv2d-valid": (lambda: nn.Conv2d(2, 3, 2, padding="valid"), (2, 5, 6)),
    "conv2d-stride-above-kernel": (lambda: nn.Conv2d(1, 2, 2, stride=3), (1, 7, 8)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2, bias=False, stride=(1, 2, 3)), (1, 3, 4, 5)),
    "transposed1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1, groups=2), (4, 5)),
    "transposed2d": (lambda: nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, dilation=2), (3, 4, 3)),
    "transposed2d-spare": (lambda: nn.ConvTranspose2d(1, 2, 2, dilation=3, output_padding=2), (1, 3, 3)),
    "transposed3d": (lambda: nn.ConvTranspose3d(2, 1, 2), (2, 3, 2, 3)),
    "sparse": (lambda: SparseLinear(torch.randn(5, 6) * (torch.rand(5, 6) < 0.4), torch.randn(5)), (6,)),
    "sparse-places": (lambda: SparseLinear(torch.randn(5, 6) * (torch.rand(5, 6) < 0.4)), (3, 6)),
    "low-rank": (
        lambda: LowRankLinear(torch.randn(6, 2), torch.randn(2, 6), torch.randn(6), torch.randn(6)),
        (6,),
    ),
    "low-rank-alone": (lambda: LowRankLinear(torch.randn(4, 2), torch.randn(2, 6)), (2, 6)),
    "blocks": (lambda: BlockDiagonalLinear(torch.randn(3, 2, 4), torch.randn(6)), (12,)),
    "blocks-places": (lambda: BlockDiagonalLinear(torch.randn(3, 2, 2)), (2, 6)),
}
every = pytest.mark.parametrize("name", LAYERS)


def near(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


@every
def test_a_layer_is_its_operator_and_what_it_adds(name: str) -> None:
    make, shape = LAYERS[name]
    layer = make()
    weights, bias = operator(layer, shape)
    x = torch.randn(3, *shape)
    y = layer(x).detach()
    assert weights.shape == (math.prod(y.shape[1:]), math.prod(shape))
    assert bias.shape == (weights.shape[0],)
    near(weights(x.flatten(1)) + bias, y.flatten(1))


@every
def test_the_adjoint_and_the_sums_of_squares_are_those_of_the_matrix(name: str) -> None:
    make, shape = LAYERS[name]
    weights, _ = operator(make(), shape)
    matrix = weights.dense()
    y = torch.randn(4, len(matrix))
    near(weights.adjoint(y), y @ matrix)
    near(weights.column_squares(), matrix.square().sum(0))
    near(weights.row_squares(), matrix.square().sum(1))
    near(weights.normal_blocks(weights.shape[1])[0], matrix.T @ matrix)


@every
def test_an_operator_needs_no_gradients_and_copies_no_dense_weights(name: str) -> None:
    make, shape = LAYERS[name]
    layer = make()
    weights, bias = operator(layer, shape)
    assert not bias.requires_grad
    assert not weights(torch.ones(1, weights.shape[1])).requires_grad
    with torch.no_grad():
        weights.adjoint(torch.ones(1, weights.shape[0]))
    if isinstance(layer, nn.Linear) and len(shape) == 1:
        assert weights.weight.data_ptr() == layer.weight.data_ptr()


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.BatchNorm1d(3), object()])
def test_what_is_no_registered_sum_says_so(layer: nn.Module) -> None:
    with pytest.raises(LayerError, match="SparseLinear") as caught:
        operator(layer, (3,))
    assert_one_sentence(caught.value)
