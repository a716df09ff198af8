"""Which way A x = b is solved, by what A is: by factors where they fit, by its structure, else by its products."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from genrev.errors import LayerError
from genrev.operators.base import Operator
from genrev.operators.block_diagonal import BlockDiagonal
from genrev.operators.cgnr import cgnr
from genrev.operators.dense import Dense
from genrev.operators.direct import Factored
from genrev.operators.least_squares import LeastSquares, Stop
from genrev.operators.low_rank import LowRankPlusDiagonal
from genrev.operators.lsmr import lsmr
from genrev.operators.preconditioners import ColumnScaling
from genrev.operators.repeated import Repeated
from genrev.operators.sharded import Gathered, Sharded
from genrev.operators.streamed import Streamed

_FORMED = 2**22
"""Up to how many values the matrix of an operator is formed, to be factored."""

_AIM = 4
"""How many times the precision's rounding iterations leave of b."""

_LIMIT = 5000
"""Iterations of a row at most."""

_ROUGH = 0.1
"""The share that an estimate may leave of what one of b's components has typically, of a hundred and more: else
those that small singular values make much of would be left out."""


@dataclass(frozen=True, eq=False)
class Solved:
    """What was found for each row.

    Args:
        x: ``(rows, n)``, double precision.
        iterations: ``(rows,)``, int64: 0 for what is solved directly.
        ran_out: ``(rows,)`` of bool: whether the iterations were not enough.
    """

    x: Tensor
    iterations: Tensor
    ran_out: Tensor


class Solver(ABC):
    """Solves A x = b for any number of b; what depends on A alone is done once.

    Where many x are solutions, it is the shortest, and where none is, the nearest; only by products alone, of a matrix
    of short rank that is not wide, is a value's length counted in units of its column's.

    Args:
        operator: A.
        kind: "lu", "qr", "svd", "structure", "lsmr" or "cgnr".
        rank: of A; None where it is not known.
    """

    def __init__(self, operator: Operator, kind: str, rank: int | None) -> None:
        self.operator, self.kind, self.rank = operator, kind, rank

    @property
    @abstractmethod
    def condition(self) -> float:
        """The condition number, estimated; NaN where nothing is known of it."""

    @abstractmethod
    def solve(self, b: Tensor) -> Solved:
        """Return the solutions.

        Args:
            b: ``(rows, m)``, double precision.
        """

    @abstractmethod
    def estimate(self, b: Tensor) -> Tensor:
        """Return solutions to a percent or so, ``(rows, n)`` in double precision.

        Args:
            b: ``(rows, m)``, double precision.
        """

    def residual(self, x: Tensor, b: Tensor) -> Tensor:
        """Return b - A x, ``(rows, m)`` in double precision.

        Args:
            x: ``(rows, n)``, double precision.
            b: ``(rows, m)``, double precision.
        """
        return b - self.operator(x.to(self.operator.dtype)).double()

    def rounding(self, x: Tensor) -> Tensor:
        """Return how far the sums of A x are off by their rounding, typically: the root of the mean square of each row.

        Args:
            x: ``(rows, n)``, double precision.

        Returns:
            ``(rows,)``.
        """
        values = self.operator(x.to(self.operator.dtype)).double()
        return torch.finfo(self.operator.dtype).eps * values.square().mean(1).sqrt()


def prepare(operator: Operator) -> Solver:
    """Return what solves A x = b best: direct while it fits, by structure or by products beyond.

    Args:
        operator: A.

    Raises:
        ArgumentError: A holds no values, or some that are not finite.

    Example:
        >>> solver = prepare(Dense(torch.tensor([[2.0, 0.0], [0.0, 4.0]])))
        >>> solver.kind, solver.solve(torch.tensor([[1.0, 1.0]]).double()).x.tolist()
        ('lu', [[0.5, 0.25]])
    """
    if isinstance(operator, Dense):
        return _Direct(operator, Factored(operator.weight))
    if isinstance(operator, (BlockDiagonal, LowRankPlusDiagonal)):
        try:
            return _Structured(operator, operator.solver())
        except LayerError:
            # What its structure can't solve is formed, or iterated on.
            pass
    if isinstance(operator, Repeated):
        return _Parts(operator, prepare(operator.part))
    if isinstance(operator, Sharded):
        return _Iterative(operator)
    if math.prod(operator.shape) <= _FORMED:
        return _Direct(operator, Factored(operator.dense()))
    if isinstance(operator, Gathered):
        return _Spread(operator)
    return _Iterative(operator, _known_rank(operator))


def _known_rank(operator: Operator) -> int | None:
    """Return the rank of an operator whose structure tells it is short; None of others."""
    if isinstance(operator, BlockDiagonal):
        blocks = operator.blocks
        share = max(blocks.shape[1:]) * torch.finfo(blocks.dtype).eps
        rank = int(torch.linalg.matrix_rank(blocks.double(), rtol=share).sum())
    elif isinstance(operator, LowRankPlusDiagonal) and operator.diagonal is None:
        rank = min(operator.left.shape[1], *operator.shape)
    else:
        return None
    return rank if rank < min(operator.shape) else None


@final
class _Direct(Solver):
    """By the factors of the matrix."""

    def __init__(self, operator: Operator, factored: Factored) -> None:
        super().__init__(operator, factored.kind, factored.rank)
        self._factored = factored

    @property
    def condition(self) -> float:
        return self._factored.condition

    def solve(self, b: Tensor) -> Solved:
        return _solved(self._factored.solve(b))

    def estimate(self, b: Tensor) -> Tensor:
        return self._factored.estimate(b)

    def residual(self, x: Tensor, b: Tensor) -> Tensor:
        return self._factored.residual(x, b)

    def rounding(self, x: Tensor) -> Tensor:
        return self._factored.rounding(x)


@final
class _Parts(Solver):
    """Of parts that are all alike: by the solver of one."""

    def __init__(self, operator: Repeated, part: Solver) -> None:
        super().__init__(operator, part.kind, None if part.rank is None else operator.count * part.rank)
        self._part, self._count = part, operator.count

    @property
    def condition(self) -> float:
        return self._part.condition

    def solve(self, b: Tensor) -> Solved:
        found = self._part.solve(self._split(b))
        iterations, ran_out = (values.reshape(len(b), -1) for values in (found.iterations, found.ran_out))
        return Solved(found.x.reshape(len(b), -1), iterations.amax(1), ran_out.any(1))

    def estimate(self, b: Tensor) -> Tensor:
        return self._part.estimate(self._split(b)).reshape(len(b), -1)

    def residual(self, x: Tensor, b: Tensor) -> Tensor:
        return self._part.residual(self._split(x), self._split(b)).reshape(len(b), -1)

    def rounding(self, x: Tensor) -> Tensor:
        return self._part.rounding(self._split(x)).reshape(len(x), -1).square().mean(1).sqrt()

    def _split(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows) * self._count, -1)


@final
class _Structured(Solver):
    """By a solution that the structure of the matrix allows."""

    def __init__(self, operator: Operator, inverse: Callable[[Tensor], Tensor]) -> None:
        super().__init__(operator, "structure", min(operator.shape))
        self._inverse = inverse

    @property
    def condition(self) -> float:
        return math.nan

    def solve(self, b: Tensor) -> Solved:
        b = b.to(self.operator.dtype)
        x = self._inverse(b)
        return _solved((x + self._inverse(b - self.operator(x))).double())

    def estimate(self, b: Tensor) -> Tensor:
        return self._inverse(b.to(self.operator.dtype)).double()


@final
class _Iterative(Solver):
    """By products: LSMR, its columns or rows scaled to length one; conjugate gradients where these are read or sent."""

    def __init__(self, operator: Operator, rank: int | None = None) -> None:
        # One pass over a file, or one sum over processes, an iteration.
        costly = isinstance(operator, (Sharded, Streamed))
        super().__init__(operator, "cgnr" if costly else "lsmr", rank)
        wide = operator.height < operator.shape[1]
        # Scaled columns would make another solution the shortest.
        self._columns = None if wide else ColumnScaling(operator)
        squares = operator.row_squares() if wide and not costly else None
        self._rows = None if squares is None else torch.where(squares > 0, squares, 1.0).rsqrt()
        self._condition = math.nan

    @property
    def condition(self) -> float:
        """With the scaling, as far as the last solution saw."""
        return self._condition

    def solve(self, b: Tensor) -> Solved:
        found = self._iterate(b, _AIM * torch.finfo(self.operator.dtype).eps)
        self._condition = found.condition
        return Solved(found.x.double(), found.iterations, found.stop == Stop.LIMIT)

    def estimate(self, b: Tensor) -> Tensor:
        return self._iterate(b, _ROUGH / math.sqrt(max(100, self.operator.height))).x.double()

    def _iterate(self, b: Tensor, tolerance: float) -> LeastSquares:
        b = b.to(self.operator.dtype)
        if self.kind == "cgnr":
            return cgnr(self.operator, b, tolerance=tolerance, limit=_LIMIT, preconditioner=self._columns)
        return lsmr(
            self.operator, b, tolerance=tolerance, limit=_LIMIT, preconditioner=self._columns, row_scale=self._rows
        )


@final
class _Spread(Solver):
    """Of rows that are spread over processes: each iterates with its own, for its own values of b."""

    def __init__(self, operator: Gathered) -> None:
        self._own = _Iterative(operator.part)
        self._values = operator.part.own
        super().__init__(operator, self._own.kind, None)

    @property
    def condition(self) -> float:
        return self._own.condition

    def solve(self, b: Tensor) -> Solved:
        return self._own.solve(self._values(b))

    def estimate(self, b: Tensor) -> Tensor:
        return self._own.estimate(self._values(b))


def _solved(x: Tensor) -> Solved:
    """Return what took no iterations."""
    none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    return Solved(x, none, none.bool())
