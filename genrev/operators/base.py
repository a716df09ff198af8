"""Linear operators: a matrix A that is known by what it does to vectors, whatever it is stored as."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from genrev.errors import ArgumentError

_UNITS = 2**22
"""Numbers that unit vectors multiplied at once may take."""


class Operator(ABC):
    """A linear map from n values to m, by its products; rows of a batch are independent.

    Kinds of operators are final: each stores the matrix in its own way and tells what it costs. One that holds some of
    the outputs alone, the others being elsewhere, adds what is elsewhere in `adjoint`, `forth_and_back` and
    `squared_norm`, in `probe` too if that is to ask once, and has another `height`; then solvers take it as it is.

    Args:
        shape: (m, n).
        dtype: of the values, float32 or float64 for solvers.
        device: where they are.
    """

    def __init__(self, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device

    @property
    def height(self) -> int:
        """How many outputs there are, those that are elsewhere included."""
        return self.shape[0]

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Return A x for each row.

        Args:
            x: ``(rows, n)``.

        Returns:
            ``(rows, m)``.
        """

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Return A'y for each row.

        Args:
            y: ``(rows, m)``.

        Returns:
            ``(rows, n)``.
        """

    @abstractmethod
    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column, ``(n,)``: the diagonal of A'A."""

    @abstractmethod
    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row, ``(m,)``: the diagonal of AA'."""

    def forth_and_back(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return A x and A'A x for each row; what costs to read is read once for both.

        Args:
            x: ``(rows, n)``.

        Returns:
            ``(rows, m)`` and ``(rows, n)``.
        """
        y = self(x)
        return y, self.adjoint(y)

    def probe(self, x: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return A x and A'A x for each row, and the sums of squares of r and of A x; what is elsewhere is asked once.

        Args:
            x: ``(rows, n)``.
            r: ``(rows, m)``.

        Returns:
            ``(rows, m)``; ``(rows, n)``; and the two sums, ``(rows, 2)`` in float64.
        """
        y, back = self.forth_and_back(x)
        return y, back, torch.stack([self.squared_norm(r), self.squared_norm(y)], 1)

    def normal(self, x: Tensor) -> Tensor:
        """Return A'A x for each row.

        Args:
            x: ``(rows, n)``.

        Returns:
            ``(rows, n)``.
        """
        return self.forth_and_back(x)[1]

    def normal_blocks(self, size: int) -> Tensor:
        """Return the blocks on the diagonal of A'A, ``(blocks, size, size)``, with ones on the diagonal beyond n.

        By n products where the kind of operator knows no shorter way.

        Args:
            size: of a block.
        """
        n = self.shape[1]
        found = self._no_blocks(size)
        step = size * max(1, _UNITS // max(1, n * size))
        for begin in range(0, n, step):
            end = min(n, begin + step)
            units = torch.zeros(end - begin, n, dtype=self.dtype, device=self.device)
            units[range(end - begin), range(begin, end)] = 1.0
            columns = self.normal(units)[:, begin:end]
            for first in range(begin, end, size):
                last = min(first + size, end)
                found[first // size, : last - first, : last - first] = columns[
                    first - begin : last - begin, first - begin : last - begin
                ]
        return found

    def _no_blocks(self, size: int) -> Tensor:
        """Return blocks of zeros, with ones on the diagonal beyond n."""
        count = -(-self.shape[1] // size)
        blocks = torch.zeros(count, size, size, dtype=self.dtype, device=self.device)
        spare = count * size - self.shape[1]
        if spare:
            places = range(size - spare, size)
            blocks[-1, places, places] = 1.0
        return blocks

    def squared_norm(self, y: Tensor) -> Tensor:
        """Return the sum of squares of the outputs of each row, ``(rows,)`` in float64.

        Args:
            y: ``(rows, m)``.
        """
        return y.double().square().sum(1)

    def dense(self) -> Tensor:
        """Return the matrix, ``(m, n)``, by n products: for what is small."""
        parts = list(self.columns())
        return torch.cat(parts).T if parts else torch.zeros(self.shape, dtype=self.dtype, device=self.device)

    def columns(self) -> Iterator[Tensor]:
        """Return the columns of the matrix in turn, some at once, ``(some, m)``, by a product each."""
        n = self.shape[1]
        step = max(1, _UNITS // max(1, *self.shape))
        for begin in range(0, n, step):
            units = torch.zeros(min(step, n - begin), n, dtype=self.dtype, device=self.device)
            units[range(len(units)), range(begin, begin + len(units))] = 1.0
            yield self(units)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape[0]}, {self.shape[1]}, {self.dtype}, {self.device})"


def expect_matrix(name: str, values: Tensor, dims: int = 2) -> Tensor:
    """Return the values of an operator, detached, if they are real numbers of as many dimensions.

    Args:
        name: of the argument.
        values: what was given.
        dims: how many dimensions there must be.

    Raises:
        ArgumentError: they are not.

    Example:
        >>> expect_matrix("weight", torch.eye(2)).shape
        torch.Size([2, 2])
    """
    if not isinstance(values, Tensor) or values.ndim != dims or not values.is_floating_point():
        got = f"{tuple(values.shape)} of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        raise ArgumentError(
            f"expected {name} as a floating-point tensor of {dims} dimensions, got {got}; convert or reshape it"
        )
    return values.detach()
