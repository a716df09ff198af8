"""The operator that does the same to each of several parts of its input."""

from __future__ import annotations

from typing import final

from torch import Tensor

from genrev.operators.base import Operator


@final
class Repeated(Operator):
    """Copies of one operator, side by side: a block-diagonal matrix that stores one block.

    Args:
        operator: what is done to each part.
        count: how many parts there are.

    Example:
        >>> import torch
        >>> from genrev.operators import Dense
        >>> Repeated(Dense(torch.tensor([[1.0, 2.0]])), 2)(torch.tensor([[1.0, 1.0, 3.0, 3.0]])).tolist()
        [[3.0, 9.0]]
    """

    def __init__(self, operator: Operator, count: int) -> None:
        self.part, self.count = operator, count
        m, n = operator.shape
        super().__init__((count * m, count * n), operator.dtype, operator.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x for each row."""
        m, n = self.part.shape
        return self.part(x.reshape(len(x) * self.count, n)).reshape(len(x), self.count * m)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A'y for each row."""
        m, n = self.part.shape
        return self.part.adjoint(y.reshape(len(y) * self.count, m)).reshape(len(y), self.count * n)

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column."""
        return self.part.column_squares().repeat(self.count)

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row."""
        return self.part.row_squares().repeat(self.count)
