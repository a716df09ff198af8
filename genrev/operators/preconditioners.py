"""Right preconditioners: A x = b is solved as (A R^-1) z = b with x = R^-1 z, for an R near to a root of A'A."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from genrev.checks import whole
from genrev.operators.base import Operator
from genrev.operators.block_diagonal import block_products


class Preconditioner(ABC):
    """R^-1 and its transpose, by their products."""

    @abstractmethod
    def __call__(self, z: Tensor) -> Tensor:
        """Return R^-1 z for each row: ``(rows, n)`` to ``(rows, n)``."""

    @abstractmethod
    def adjoint(self, x: Tensor) -> Tensor:
        """Return R^-T x for each row: ``(rows, n)`` to ``(rows, n)``."""


@final
class ColumnScaling(Preconditioner):
    """Columns of length one: R is the diagonal of their lengths; a column of zeros stays as it is.

    Args:
        operator: A.

    Reference:
        van der Sluis, 1969, "Condition numbers and equilibration of matrices" (no other scaling is better by more than
        the root of n).

    Example:
        >>> from genrev.operators import Dense
        >>> ColumnScaling(Dense(torch.tensor([[3.0, 0.0], [4.0, 0.0]])))(torch.tensor([[5.0, 1.0]])).tolist()
        [[1.0, 1.0]]
    """

    def __init__(self, operator: Operator) -> None:
        squares = operator.column_squares()
        self._factor = torch.where(squares > 0, squares, 1.0).rsqrt()

    def __call__(self, z: Tensor) -> Tensor:
        """Return R^-1 z for each row."""
        return z * self._factor

    def adjoint(self, x: Tensor) -> Tensor:
        """Return R^-T x for each row."""
        return x * self._factor


@final
class BlockJacobi(Preconditioner):
    """Columns that are orthonormal within each block: R'R are the blocks on the diagonal of A'A.

    A block of columns that depend on one another is scaled only.

    Args:
        operator: A.
        size: of a block: that many columns, one after another.

    Reference:
        Saad, 2003, "Iterative Methods for Sparse Linear Systems", chapters 9 and 10.

    Example:
        >>> from genrev.operators import Dense
        >>> preconditioner = BlockJacobi(Dense(torch.tensor([[1.0, 1.0], [0.0, 1.0]])), size=2)
        >>> preconditioner(torch.tensor([[1.0, 2.0]])).round(decimals=4).tolist()
        [[-1.0, 2.0]]
    """

    def __init__(self, operator: Operator, *, size: int = 32) -> None:
        size = whole("size", size)
        self._width = operator.shape[1]
        gram = operator.normal_blocks(min(size, max(1, self._width)))
        squares = gram.diagonal(dim1=1, dim2=2)
        scale = torch.where(squares > 0, squares, 1.0).rsqrt()
        # With ones on the diagonal, what is singular shows as such whatever the columns' units.
        even = gram * scale[:, :, None] * scale[:, None, :]
        unit = torch.eye(even.shape[1], dtype=even.dtype, device=even.device).expand_as(even)
        factor, info = torch.linalg.cholesky_ex(even)
        least = factor.diagonal(dim1=1, dim2=2).square().amin(1)
        # A root that is lost to rounding would spoil more than it mends.
        full = (info == 0) & (least > torch.finfo(even.dtype).eps ** 0.75)
        factor = torch.where(full[:, None, None], factor, unit)
        inverse = torch.linalg.solve_triangular(factor, unit, upper=False)
        self._lower = inverse * scale[:, None, :]

    def __call__(self, z: Tensor) -> Tensor:
        """Return R^-1 z for each row."""
        return self._blocks(z, self._lower.mT)

    def adjoint(self, x: Tensor) -> Tensor:
        """Return R^-T x for each row."""
        return self._blocks(x, self._lower)

    def _blocks(self, x: Tensor, blocks: Tensor) -> Tensor:
        spare = blocks.shape[0] * blocks.shape[1] - self._width
        return block_products(torch.nn.functional.pad(x, (0, spare)), blocks)[:, : self._width]
