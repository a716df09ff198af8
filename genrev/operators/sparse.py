"""The operator of a matrix of mostly zeros, by its rows in compressed form (CSR)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from typing import final

import torch
from torch import Tensor

from genrev.errors import ArgumentError
from genrev.operators.base import Operator

_ROWS = 4
"""Rows that are multiplied at once on a processor: more are slower than one after another."""

_PAIRS = 2**22
"""Products of two values of one row that are held at once."""


@cache
def hush_beta() -> None:
    """Have torch say to nobody, the only time that it does, that its sparse rows are in a beta state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        one = torch.zeros(1, dtype=torch.int64)
        torch.sparse_csr_tensor(torch.arange(2), one, one, (1, 1), check_invariants=False)


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where the values of a sparse matrix stand, row by row.

    Args:
        starts: ``(m + 1,)``: the place of each row's first value among the values, and how many there are.
        columns: ``(values,)``: each value's column, rising within a row.
        width: n, the number of columns.

    Example:
        >>> pattern = Pattern(torch.tensor([0, 1, 2]), torch.tensor([1, 0]), 2)
        >>> pattern.product(torch.tensor([2.0, 3.0]), torch.tensor([[5.0, 7.0]])).tolist()
        [[14.0, 15.0]]
    """

    starts: Tensor
    columns: Tensor
    width: int

    @property
    def height(self) -> int:
        """m, the number of rows."""
        return len(self.starts) - 1

    @cached_property
    def rows(self) -> Tensor:
        """``(values,)``: each value's row."""
        places = torch.arange(self.height, dtype=self.starts.dtype, device=self.starts.device)
        return places.repeat_interleave(self.starts.diff().long(), output_size=len(self.columns))

    @cached_property
    def transposed(self) -> tuple[Pattern, Tensor]:
        """The pattern of the transposed matrix, and where each of its values stands among this one's."""
        # A sort by column that keeps the order of the rows.
        order = self.columns.argsort(stable=True)
        counts = torch.bincount(self.columns, minlength=self.width)
        starts = torch.zeros(self.width + 1, dtype=self.starts.dtype, device=self.starts.device)
        starts[1:] = counts.cumsum(0)
        return Pattern(starts, self.rows[order], self.height), order.to(self.starts.dtype)

    def product(self, values: Tensor, x: Tensor) -> Tensor:
        """Return the product of the matrix of these values with each row.

        Args:
            values: ``(values,)``.
            x: ``(rows, n)``.

        Returns:
            ``(rows, m)``.
        """
        if len(self.columns) == 0 or len(x) == 0:
            return x.new_zeros(len(x), self.height)
        hush_beta()
        shape = self.height, self.width
        matrix = torch.sparse_csr_tensor(self.starts, self.columns, values, shape, check_invariants=False)
        parts = x.split(_ROWS) if x.device.type == "cpu" else (x,)
        found = [(matrix @ part.T).T for part in parts]
        return found[0].contiguous() if len(found) == 1 else torch.cat(found)


def checked_pattern(starts: Tensor, columns: Tensor, width: int) -> Pattern:
    """Return where the values of a sparse matrix stand, with indices as short as they may be.

    Args:
        starts: ``(m + 1,)`` integers.
        columns: ``(values,)`` integers.
        width: the number of columns.

    Raises:
        ArgumentError: they are no rows in compressed form: starts that fall, columns beyond the width or out of order.

    Example:
        >>> checked_pattern(torch.tensor([0, 2]), torch.tensor([1, 1]), 2)
        Traceback (most recent call last):
        ...
        genrev.errors.ArgumentError: expected columns that rise within each row, got one that does not; sort them, and \
add up values that stand at one place
    """
    for name, values in (("starts", starts), ("columns", columns)):
        if not isinstance(values, Tensor) or values.ndim != 1 or values.dtype not in (torch.int32, torch.int64):
            got = f"{tuple(values.shape)} of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
            raise ArgumentError(f"expected the {name} of rows as a vector of integers, got {got}; convert them")
    count = len(columns)
    if len(starts) == 0 or int(starts[0]) != 0 or int(starts[-1]) != count or bool((starts.diff() < 0).any()):
        raise ArgumentError(
            f"expected the starts of rows to rise from 0 to the number of values, {count}, got others; give the place "
            "of each row's first value, and that number"
        )
    if count and not 0 <= int(columns.min()) <= int(columns.max()) < width:
        raise ArgumentError(
            f"expected columns from 0 to {width - 1}, got {int(columns.min())} to {int(columns.max())}; give the width "
            "of the whole matrix"
        )
    index = torch.int32 if max(count, width, len(starts)) < 2**31 else torch.int64
    pattern = Pattern(starts.to(index), columns.to(index), width)
    falls = (pattern.columns.diff() <= 0) & (pattern.rows.diff() == 0)
    if bool(falls.any()):
        raise ArgumentError(
            "expected columns that rise within each row, got one that does not; sort them, and add up values that "
            "stand at one place"
        )
    return pattern


@final
class Sparse(Operator):
    """A sparse matrix; the values are kept a second time by columns, which makes A'y as fast as A x.

    Args:
        pattern: where the values stand; see `checked_pattern`.
        values: ``(values,)``, float32 or float64.

    Raises:
        ArgumentError: the values are of another type, or not one for each place.

    Example:
        >>> pattern = checked_pattern(torch.tensor([0, 1]), torch.tensor([1]), 2)
        >>> Sparse(pattern, torch.tensor([3.0])).dense().tolist()
        [[0.0, 3.0]]
    """

    def __init__(self, pattern: Pattern, values: Tensor) -> None:
        if values.shape != pattern.columns.shape or values.dtype not in (torch.float32, torch.float64):
            raise ArgumentError(
                f"expected {len(pattern.columns)} values in float32 or float64, got {tuple(values.shape)} in "
                f"{values.dtype}; give one for each place"
            )
        self._pattern, self._values = pattern, values.detach()
        self._turned, order = pattern.transposed
        self._turned_values = self._values[order]
        super().__init__((pattern.height, pattern.width), values.dtype, values.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x for each row."""
        return self._pattern.product(self._values, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A'y for each row."""
        return self._turned.product(self._turned_values, y)

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column."""
        ones = torch.ones(1, self.shape[0], dtype=self.dtype, device=self.device)
        return self._turned.product(self._turned_values.square(), ones)[0]

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row."""
        ones = torch.ones(1, self.shape[1], dtype=self.dtype, device=self.device)
        return self._pattern.product(self._values.square(), ones)[0]

    def normal_blocks(self, size: int) -> Tensor:
        """Return the blocks on the diagonal of A'A, from the values of each row that stand in one block."""
        found = self._no_blocks(size)
        if len(self._values) == 0:
            return found
        columns, rows = self._pattern.columns.long(), self._pattern.rows.long()
        # Columns rise within a row, so what stands in one block of it stands together.
        _, counts = torch.unique_consecutive(rows * len(found) + columns // size, return_counts=True)
        ends = counts.cumsum(0)
        partners = counts.repeat_interleave(counts)
        first = (ends - counts).repeat_interleave(counts)
        begin, upto = 0, partners.cumsum(0)
        flat = found.view(-1)
        while begin < len(columns):
            done = int(upto[begin - 1]) if begin else 0
            end = max(begin + 1, int(torch.searchsorted(upto, done + _PAIRS)))
            some = partners[begin:end]
            one = torch.arange(begin, end, device=self.device).repeat_interleave(some)
            start = (some.cumsum(0) - some).repeat_interleave(some)
            other = first[begin:end].repeat_interleave(some) + torch.arange(len(one), device=self.device) - start
            place = (columns[one] // size * size + columns[one] % size) * size + columns[other] % size
            flat.index_add_(0, place, self._values[one] * self._values[other])
            begin = end
        return found
