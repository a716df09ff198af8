"""Jacobians that are never formed, and the damped least-squares problems that they make, solved by their products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genrev.solvers.conjugate_gradients import conjugate_gradients
from genrev.solvers.jacobian import Function
from genrev.solvers.metric import Held, HeldLowRank, Metric, restrict
from genrev.solvers.products import Products
from genrev.solvers.stored import Solution, Stored, solve_shifted

FEW = 128
"""Up to how many residuals, or values, their own system is formed product by product and solved by its factor: then
every step is the one that a stored Jacobian gives."""

FORCING = 0.1
"""The share of the residual that a step of conjugate gradients may leave in its linear model."""


class MatrixFree:
    """The Jacobians of some rows where they are, by their products: what is kept of a row is a few vectors.

    Conjugate gradients minimise the same damped model as a factor does. They stop where it holds up to a share of the
    residual: a step of Newton's method needs no more, since the next one starts from a model of its own.

    Args:
        function: from row numbers ``(k,)`` to the `Function` of those rows.
        index: ``(rows,)``: the numbers of the rows.
        x: ``(rows, n)``: where they are.
        metric: what a step costs.
        free: ``(rows, n)`` of bool: which values may move; all if not given.
        forcing: the share of the residual at which conjugate gradients stop.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Function],
        index: Tensor,
        x: Tensor,
        metric: Metric,
        free: Tensor | None = None,
        *,
        forcing: float = FORCING,
    ) -> None:
        self._function, self._index, self._x, self._free = function, index, x, free
        self.metric, self._forcing = metric, forcing
        self._products = Products(function, index, x, free)

    @property
    def exact(self) -> bool:
        """Whether steps are solved for by a factor."""
        return min(self._products.outputs, self._x.shape[1]) <= FEW

    def forth(self, step: Tensor) -> Tensor:
        """Return J d for each row: ``(rows, n)`` to ``(rows, m)``."""
        return self._products.forth(step)

    def back(self, duals: Tensor) -> Tensor:
        """Return J'w for each row: ``(rows, m)`` to ``(rows, n)``."""
        return self._products.back(duals)

    def select(self, rows: Tensor) -> MatrixFree:
        """Return the Jacobians of some rows."""
        free = None if self._free is None else self._free[rows]
        return MatrixFree(self._function, self._index[rows], self._x[rows], self.metric, free, forcing=self._forcing)

    def solve(
        self, residual: Tensor, free: Tensor, fixed: Tensor | None, damping: Tensor, level: Tensor | None
    ) -> Solution:
        """Solve the damped problem: by a factor where one of its two systems is small, else by conjugate gradients."""
        m, n = residual.shape[1], free.shape[1]
        if n < m and self.exact:
            columns = [self.forth(unit.expand_as(free)) for unit in torch.eye(n, dtype=free.dtype, device=free.device)]
            return Stored(torch.stack(columns, 2), self.metric).solve(residual, free, fixed, damping, level)
        held = restrict(self.metric, free, fixed)
        left = residual if held.at is None else residual + self.forth(held.at)
        if self.exact:
            gram = self._gram(held, left)
            level = self._level(damping, gram.diagonal(dim1=1, dim2=2).mean(1), left) if level is None else level
            duals, factor = solve_shifted(gram, left.double(), level)
            return Solution(held.wish(self.back(duals.to(left))), level, duals, factor)
        if level is None:
            level = self._level(damping, self._mean_square(held, left), left)
        found = conjugate_gradients(self, left, held, level, forcing=self._forcing)
        step = found.step if held.at is None else found.step + held.at
        return Solution(held.wish(self.back(found.duals), step), level)

    def _gram(self, held: Held | HeldLowRank, like: Tensor) -> Tensor:
        """Return J S J' of each row, in double precision, a column for each product there and back."""
        units = torch.eye(like.shape[1], dtype=like.dtype, device=like.device)
        columns = [self.forth(held.apply(self.back(unit.expand_as(like)))) for unit in units]
        gram = torch.stack(columns, 2).double()
        return (gram + gram.transpose(1, 2)) / 2

    def _mean_square(self, held: Held | HeldLowRank, like: Tensor) -> Tensor:
        """Return an estimate of the mean squared slope: what a vector of random signs sees of it."""
        signs = _signs(like.shape[1]).to(like).expand_as(like)
        pull = self.back(signs)
        return (pull * held.apply(pull)).sum(1, dtype=torch.float64) / like.shape[1]

    def _level(self, damping: Tensor, mean_square: Tensor, like: Tensor) -> Tensor:
        """Return lambda from the mean squared slope of what may move; of all, where nothing may at first."""
        if not bool((mean_square > 0).all()):
            every = restrict(self.metric, torch.ones_like(self._x))
            mean_square = torch.where(mean_square > 0, mean_square, self._mean_square(every, like))
        return (damping * mean_square).clamp(min=torch.finfo(damping.dtype).tiny)


def _signs(count: int) -> Tensor:
    """Return signs that have no pattern, the same ones each time: ``(count,)``.

    Reference:
        Hutchinson, 1989, "A stochastic estimator of the trace of the influence matrix".
    """
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1.0
