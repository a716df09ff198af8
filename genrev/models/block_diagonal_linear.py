"""A linear layer of blocks, each from values of its own to outputs of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genrev.checks import called_as
from genrev.layers.affine import BLOCK, Affine, Change, affine
from genrev.layers.bounds import Bounds, bounds
from genrev.layers.operators import each_place, operator
from genrev.layers.preimage import inverse
from genrev.layers.preimages.sums import by_operator
from genrev.models.weights import as_weights
from genrev.operators import BlockDiagonal, Operator
from genrev.operators.block_diagonal import block_products


class BlockDiagonalLinear(nn.Module):
    """W x + b with a W of blocks of one size on its diagonal.

    Args:
        blocks: ``(blocks, outputs, inputs)``: W is (blocks * outputs, blocks * inputs).
        bias: ``(blocks * outputs,)``; none if not given.

    Raises:
        ArgumentError: the shapes don't fit one another, or a value is not finite.

    Example:
        >>> layer = BlockDiagonalLinear(torch.tensor([[[2.0]], [[3.0]]]))
        >>> layer(torch.tensor([[1.0, 10.0]])).tolist()
        [[2.0, 30.0]]
    """

    blocks: nn.Parameter
    bias: nn.Parameter | None

    @called_as("BlockDiagonalLinear(blocks), of shape (blocks, outputs, inputs)")
    def __init__(self, blocks: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        blocks = as_weights("blocks", blocks, (None, None, None))
        count, outputs, inputs = blocks.shape
        self.out_features, self.in_features = count * outputs, count * inputs
        self.blocks = nn.Parameter(blocks.clone())
        added = None if bias is None else as_weights("bias", bias, (self.out_features,), blocks)
        self.register_parameter("bias", None if added is None else nn.Parameter(added.clone()))

    def forward(self, x: Tensor) -> Tensor:
        """Return W x + b: ``(..., n)`` to ``(..., m)``."""
        y = block_products(x.reshape(-1, self.in_features), self.blocks).reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """Return what a person is told of the layer."""
        count, outputs, inputs = self.blocks.shape
        return f"blocks={count}, outputs={outputs}, inputs={inputs}, bias={self.bias is not None}"


@operator.register
def _(layer: BlockDiagonalLinear, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    return each_place(BlockDiagonal(layer.blocks), layer.bias, input_shape)


@affine.register
def _(layer: BlockDiagonalLinear, input_shape: tuple[int, ...]) -> Affine:
    blocks = layer.blocks.detach()
    _, outputs, inputs = blocks.shape
    bias = torch.zeros((), dtype=torch.float64) if layer.bias is None else layer.bias.detach().double()

    def parts(x: Tensor, blocks: Tensor, change: Change) -> Tensor:
        some = max(1, BLOCK // max(1, outputs * inputs))
        taken = x.reshape(-1, blocks.shape[0] * blocks.shape[2]).split(some * blocks.shape[2], 1)
        given = blocks.split(some)
        found = [block_products(one, change(part.double())) for one, part in zip(taken, given, strict=True)]
        return torch.cat(found, 1).reshape(*x.shape[:-1], -1)

    def product(x: Tensor, change: Change) -> Tensor:
        return parts(x, blocks, change)

    def transposed(y: Tensor) -> Tensor:
        return parts(y, blocks.mT, lambda part: part)

    work = blocks.numel() * math.prod(input_shape[:-1])
    return Affine(product, bias.to(blocks.device), inputs + 1, work, transposed=transposed)


@bounds.register
def _(layer: BlockDiagonalLinear, input_shape: tuple[int, ...]) -> Bounds:
    return affine(layer, input_shape).bound


inverse.register(BlockDiagonalLinear)(by_operator)
