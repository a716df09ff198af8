"""The operator of a matrix that is stored whole."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.nn import functional as F

from genrev.operators.base import Operator, expect_matrix


@final
class Dense(Operator):
    """A matrix in memory; nothing is copied.

    Args:
        weight: ``(m, n)``.

    Raises:
        ArgumentError: the weight is no matrix of floating-point numbers.

    Example:
        >>> import torch
        >>> Dense(torch.tensor([[1.0, 2.0]]))(torch.tensor([[3.0, 4.0]])).tolist()
        [[11.0]]
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = expect_matrix("weight", weight)
        super().__init__((weight.shape[0], weight.shape[1]), weight.dtype, weight.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return W x for each row."""
        return F.linear(x, self.weight)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return W'y for each row."""
        return y @ self.weight

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column."""
        return self.weight.square().sum(0)

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row."""
        return self.weight.square().sum(1)

    def normal_blocks(self, size: int) -> Tensor:
        """Return the blocks on the diagonal of W'W."""
        found = self._no_blocks(size)
        for number, block in enumerate(found):
            columns = self.weight[:, number * size : (number + 1) * size]
            width = columns.shape[1]
            block[:width, :width] = columns.T @ columns
        return found

    def dense(self) -> Tensor:
        """Return the matrix itself."""
        return self.weight
