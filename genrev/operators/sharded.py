"""A dense matrix whose rows are spread over the processes of a group: each multiplies its own, and sums are added up.

Each process has all of x and its own rows of y, so that a product with A needs no message and one with A' a single one,
the sum of an n-vector over all processes. A script of a user's own, ``invert.py``, that begins with
``torch.distributed.init_process_group()`` runs as two processes by ``torchrun --nproc-per-node 2 invert.py``; each of
them runs the same lines with the same arguments.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from genrev.operators.base import Operator, expect_matrix
from genrev.operators.dense import Dense
from genrev.operators.processes import Processes, own_part

_ROWS = 256
"""Rows that are squared at once."""


@final
class Sharded(Operator):
    """The rows of a matrix that this process holds, as part of the whole: what solvers iterate with.

    Products with A give this process's rows of y, ``shape[0]`` of them; those with A' take these, and give the sum over
    all processes, the same on each. Every process must make the same calls in the same order.

    Args:
        weight: ``(m, n)``: a DTensor in rows, ``Shard(0)``; a plain matrix is that of one process.

    Attributes:
        processes: that hold it.

    Raises:
        ArgumentError: the weight is no matrix of floating-point numbers, or not spread by rows.

    Example:
        >>> operator = Sharded(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> operator(torch.tensor([[1.0, 1.0]])).tolist(), operator.processes.count
        ([[3.0, 7.0]], 1)
    """

    def __init__(self, weight: Tensor) -> None:
        expect_matrix("weight", weight)
        self.processes = Processes.of(weight)
        self._own = Dense(own_part(weight))
        self._height = weight.shape[0]
        super().__init__(self._own.shape, weight.dtype, self._own.device)

    @property
    def height(self) -> int:
        """How many rows all processes hold."""
        return self._height

    def own(self, y: Tensor) -> Tensor:
        """Return the values of y that belong to this process's rows: ``(rows, m)`` to ``(rows, own)``."""
        held = self.processes.rows(self._height)
        return y.narrow(1, held.start, held.stop - held.start)

    def whole(self, y: Tensor) -> Tensor:
        """Return y of all processes: ``(rows, own)`` to ``(rows, m)``."""
        return self.processes.gather(y, self._height)

    def __call__(self, x: Tensor) -> Tensor:
        """Return this process's rows of W x, for each row of x; no message is sent."""
        return self._own(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return W'y for each row, of all processes' rows of y, by one message."""
        return self.processes.add(self._own.adjoint(y))[0]

    def forth_and_back(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return this process's rows of W x, and W'W x, by one message."""
        y = self._own(x)
        return y, self.adjoint(y)

    def probe(self, x: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return this process's rows of W x, W'W x, and the sums of squares of r and W x, all by one message."""
        y, back, squares = self._own.probe(x, r)
        back, squares = self.processes.add(back, squares)
        return y, back, squares

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column, of all rows."""
        # Not all at once, which would take as much again as the rows do.
        parts = self._own.weight.split(_ROWS)
        squares = sum((part.square().sum(0) for part in parts), self._own.weight.new_zeros(self.shape[1]))
        return self.processes.add(squares[None])[0][0]

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each of this process's rows."""
        return torch.cat([part.square().sum(1) for part in self._own.weight.split(_ROWS)])

    def normal_blocks(self, size: int) -> Tensor:
        """Return the blocks on the diagonal of W'W, of all rows."""
        # The ones beyond n are to be added once.
        found = self._no_blocks(size)
        own = self._own.normal_blocks(size) - found
        return found + self.processes.add(own.flatten(1))[0].view_as(own)

    def squared_norm(self, y: Tensor) -> Tensor:
        """Return the sum of squares of each row of y, over all processes."""
        return self.processes.add(super().squared_norm(y)[:, None])[0][:, 0]

    def dense(self) -> Tensor:
        """Return this process's rows of the matrix."""
        return self._own.weight


@final
class Gathered(Operator):
    """A sharded matrix as each process sees it from outside: with all of y, which is gathered.

    Args:
        part: the rows of this process.

    Example:
        >>> Gathered(Sharded(torch.tensor([[1.0, 2.0], [3.0, 4.0]])))(torch.tensor([[1.0, 1.0]])).tolist()
        [[3.0, 7.0]]
    """

    def __init__(self, part: Sharded) -> None:
        self.part = part
        super().__init__((part.height, part.shape[1]), part.dtype, part.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return W x for each row, all of it on each process."""
        return self.part.whole(self.part(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Return W'y for each row."""
        return self.part.adjoint(self.part.own(y))

    def forth_and_back(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return W x and W'W x for each row."""
        y, back = self.part.forth_and_back(x)
        return self.part.whole(y), back

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column."""
        return self.part.column_squares()

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row."""
        return self.part.whole(self.part.row_squares()[None])[0]

    def normal_blocks(self, size: int) -> Tensor:
        """Return the blocks on the diagonal of W'W."""
        return self.part.normal_blocks(size)

    def dense(self) -> Tensor:
        """Return the matrix, whole on each process: for what is small."""
        weight = self.part.dense()
        found = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        begin = 0
        for block in self.part.processes.blocks(weight, self.part.height):
            found[begin : begin + len(block)] = block
            begin += len(block)
        return found
