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
        self._operator, self._count = operator, count
        m, n = operator.shape
        super().__init__((count * m, count * n), operator.dtype, operator.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x for each row."""
        m, n = self._operator.shape
        return self._operator(x.reshape(len(x) * self._count, n)).reshape(len(x), self._count * m)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A'y for each row."""
        m, n = self._operator.shape
        return self._operator.adjoint(y.reshape(len(y) * self._count, m)).reshape(len(y), self._count * n)

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column."""
        return self._operator.column_squares().repeat(self._count)

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row."""
        return self._operator.row_squares().repeat(self._count)
