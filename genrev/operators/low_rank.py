"""The operator of a matrix of low rank, with a diagonal or without."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from genrev.errors import ArgumentError, LayerError
from genrev.operators.base import Operator, expect_matrix

_LOST = 1e3
"""How many times the rounding of the values the residual of a direct solution may be."""

_INSTEAD = "solve it with genrev.operators.lsmr"


@final
class LowRankPlusDiagonal(Operator):
    """U V + D with a tall U, a wide V and a diagonal D.

    Args:
        left: U, ``(m, rank)``.
        right: V, ``(rank, n)``.
        diagonal: of D, ``(n,)`` with m = n; none if not given.

    Raises:
        ArgumentError: the shapes don't fit one another.

    Example:
        >>> one = torch.ones(2, 1)
        >>> LowRankPlusDiagonal(one, one.T, torch.tensor([1.0, 2.0])).dense().tolist()
        [[2.0, 1.0], [1.0, 3.0]]
    """

    def __init__(self, left: Tensor, right: Tensor, diagonal: Tensor | None = None) -> None:
        self.left, self.right = expect_matrix("left", left), expect_matrix("right", right)
        m, n = left.shape[0], right.shape[1]
        if left.shape[1] != right.shape[0]:
            raise ArgumentError(
                f"expected left (m, rank) and right (rank, n) of one rank, got {tuple(left.shape)} and "
                f"{tuple(right.shape)}; transpose one of them"
            )
        self.diagonal = None if diagonal is None else expect_matrix("diagonal", diagonal, 1)
        if diagonal is not None and not len(diagonal) == m == n:
            raise ArgumentError(
                f"expected a diagonal of a square matrix, got {len(diagonal)} values beside a matrix {(m, n)}; leave "
                "it out, or give one value a row"
            )
        super().__init__((m, n), left.dtype, left.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return U V x + D x for each row."""
        y = x @ self.right.T @ self.left.T
        return y if self.diagonal is None else y + x * self.diagonal

    def adjoint(self, y: Tensor) -> Tensor:
        """Return V'U'y + D y for each row."""
        x = y @ self.left @ self.right
        return x if self.diagonal is None else x + y * self.diagonal

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column."""
        squares = (self.right * (self.left.T @ self.left @ self.right)).sum(0)
        return self._with_diagonal(squares)

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row."""
        squares = (self.left * (self.left @ (self.right @ self.right.T))).sum(1)
        return self._with_diagonal(squares)

    def _with_diagonal(self, squares: Tensor) -> Tensor:
        if self.diagonal is not None:
            crossed = (self.left * self.right.T).sum(1)
            # Not the sum of the three, of which rounding may leave less than nothing.
            squares = squares - crossed.square() + (crossed + self.diagonal).square()
        return squares.clamp(min=0)

    def normal_blocks(self, size: int) -> Tensor:
        """Return the blocks on the diagonal of A'A."""
        found, gram = self._no_blocks(size), self.left.T @ self.left
        for number, whole in enumerate(found):
            begin = number * size
            right = self.right[:, begin : begin + size]
            width = right.shape[1]
            block = whole[:width, :width]
            block += right.T @ gram @ right
            if self.diagonal is not None:
                scaled = self.diagonal[begin : begin + width, None] * (self.left[begin : begin + width] @ right)
                block += scaled + scaled.T + torch.diag(self.diagonal[begin : begin + width].square())
        return found

    def solver(self) -> Callable[[Tensor], Tensor]:
        """Return the inverse, from y ``(rows, m)`` to x ``(rows, n)``, by a system of the size of the rank.

        Raises:
            LayerError: there is no diagonal, or it has zeros, or the solution is not exact: a diagonal that is small
                beside U V loses its digits, which is tried out on a random solution.

        Reference:
            Woodbury, 1950, "Inverting modified matrices"; Yip, 1986, "A note on the stability of solving a rank-p
            modification of a linear system by the Sherman-Morrison-Woodbury formula".

        Example:
            >>> one = torch.ones(2, 1)
            >>> operator = LowRankPlusDiagonal(one, one.T, torch.tensor([1.0, 2.0]))
            >>> operator.solver()(torch.tensor([[3.0, 4.0]])).round(decimals=4).tolist()
            [[1.0, 1.0]]
        """
        zeros = self.shape[1] if self.diagonal is None else int((self.diagonal == 0).sum())
        if self.diagonal is None or zeros:
            raise LayerError(f"expected a diagonal without zeros, got one with {zeros}; {_INSTEAD}")
        diagonal, left, right = self.diagonal, self.left, self.right
        turned = left / diagonal[:, None]
        core = torch.eye(left.shape[1], dtype=self.dtype, device=self.device) + right @ turned
        factor, pivots, info = torch.linalg.lu_factor_ex(core)

        def once(y: Tensor) -> Tensor:
            x = y / diagonal
            return x - torch.linalg.lu_solve(factor, pivots, (x @ right.T).T).T @ turned.T

        def solve(y: Tensor) -> Tensor:
            x = once(y)
            # What the formula loses where U V is much larger than D, a second solution of what is left gets back.
            return x + once(y - self(x))

        generator = torch.Generator().manual_seed(0)
        trial = torch.randn(1, self.shape[1], generator=generator, dtype=self.dtype).to(self.device)
        y = self(trial)
        # In size: what the sums are made of, of which each rounds a share.
        size = (trial.abs() @ right.abs().T) @ left.abs().T + (trial * diagonal).abs()
        lost = float((self(solve(y)) - y).norm() / size.norm())
        if int(info) or not lost <= _LOST * torch.finfo(self.dtype).eps:
            raise LayerError(
                f"expected a diagonal that is not small beside the rest, got one that loses {lost:.1e} of a trial; "
                f"{_INSTEAD}"
            )
        return solve
