"""The operator of a matrix of blocks on its diagonal, and nothing beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from genrev.errors import LayerError
from genrev.operators.base import Operator, expect_matrix


@final
class BlockDiagonal(Operator):
    """Blocks of one size, each from values of its own to outputs of its own.

    Args:
        blocks: ``(blocks, outputs, inputs)``: m is blocks * outputs, n is blocks * inputs.

    Raises:
        ArgumentError: they are no such tensor.

    Example:
        >>> BlockDiagonal(torch.tensor([[[2.0]], [[3.0]]])).dense().tolist()
        [[2.0, 0.0], [0.0, 3.0]]
    """

    def __init__(self, blocks: Tensor) -> None:
        self.blocks = expect_matrix("blocks", blocks, 3)
        count, outputs, inputs = blocks.shape
        super().__init__((count * outputs, count * inputs), blocks.dtype, blocks.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x for each row."""
        return block_products(x, self.blocks)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A'y for each row."""
        return block_products(y, self.blocks.mT)

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column."""
        return self.blocks.square().sum(1).flatten()

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row."""
        return self.blocks.square().sum(2).flatten()

    def normal_blocks(self, size: int) -> Tensor:
        """Return the blocks on the diagonal of A'A."""
        if size == self.blocks.shape[2]:
            return self.blocks.mT @ self.blocks
        return super().normal_blocks(size)

    def solver(self) -> Callable[[Tensor], Tensor]:
        """Return the inverse, from y ``(rows, m)`` to x ``(rows, n)``, by one factor a block.

        Raises:
            LayerError: the blocks are not square, or one is singular to rounding.

        Example:
            >>> BlockDiagonal(torch.tensor([[[2.0]], [[4.0]]])).solver()(torch.tensor([[2.0, 2.0]])).tolist()
            [[1.0, 0.5]]
        """
        count, outputs, inputs = self.blocks.shape
        if outputs != inputs:
            raise LayerError(
                f"expected square blocks, got {outputs} outputs of {inputs} inputs each; solve it with "
                "genrev.operators.lsmr"
            )
        factor, pivots, info = torch.linalg.lu_factor_ex(self.blocks)
        diagonal = factor.diagonal(dim1=1, dim2=2).abs()
        least, most = (diagonal.amin(1), diagonal.amax(1)) if inputs else (diagonal.sum(1),) * 2
        # Not the condition number, but what a factor of a singular block shows.
        lost = (info != 0) | ~(least > inputs * torch.finfo(self.dtype).eps * most)
        if inputs and bool(lost.any()):
            raise LayerError(
                f"expected blocks of full rank, got a singular one, block {int(lost.nonzero()[0])}; solve it with "
                "genrev.operators.lsmr"
            )

        def solve(y: Tensor) -> Tensor:
            columns = y.reshape(len(y), count, outputs).permute(1, 2, 0)
            return torch.linalg.lu_solve(factor, pivots, columns).permute(2, 0, 1).reshape(len(y), count * inputs)

        return solve


def block_products(x: Tensor, blocks: Tensor) -> Tensor:
    """Return the product of each block with its own part of every row; differentiable in both.

    Args:
        x: ``(rows, blocks * inputs)``.
        blocks: ``(blocks, outputs, inputs)``.

    Returns:
        ``(rows, blocks * outputs)``.

    Example:
        >>> block_products(torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0]], [[4.0]]])).tolist()
        [[3.0, 8.0]]
    """
    count, outputs, inputs = blocks.shape
    parts = x.reshape(len(x), count, inputs).transpose(0, 1)
    return (parts @ blocks.mT).transpose(0, 1).reshape(len(x), count * outputs)
