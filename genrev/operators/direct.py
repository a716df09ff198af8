"""A dense matrix factored once, for solving W x = b for any number of b: LU, QR, or SVD where its rank is short."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genrev.errors import ArgumentError
from genrev.rows import filled, rowwise

_SMALL = 512
"""Up to which width factors are of double precision straight away: they cost next to nothing there."""

_BLOCK = 2**22
"""Weights that are held in double precision at once."""

_MEASURED = 512
"""Of how many sums the rounding is measured, at least, where there are as many."""

_ROUNDS, _GAIN = 20, 0.25
"""How often a solution is refined at most, and to what share of the residual a round must come to be worth another."""


@dataclass(frozen=True, eq=False)
class _Factors:
    """A matrix as it was factored.

    Args:
        kind: "lu", "qr" or "svd".
        solve: from right-hand sides ``(rows, m)`` to solutions ``(rows, n)``, both in double precision.
        rank: of the matrix.
        condition: estimated in the 1-norm; by singular values, of a matrix of short rank.
        dtype: of the factors.
    """

    kind: str
    solve: Callable[[Tensor], Tensor]
    rank: int
    condition: float
    dtype: torch.dtype


class Factored:
    """A dense matrix W, factored once; solves W x = b for many b, refined with residuals in double precision.

    A square matrix has LU factors, of single precision where that is enough: each solution is then corrected by what it
    leaves, measured in double precision, and comes out as exact as double precision can say. Where that does not
    converge the factors are of double precision. A wide one has a QR factorisation of its transpose, and x is the
    shortest solution; a tall one a QR factorisation, and x the least squares one. Where the rank is short in the
    precision of the weights, x is the shortest least squares solution, by singular values.

    Args:
        weight: W, ``(m, n)``, any floating dtype; it is kept, not copied.

    Attributes:
        kind: "lu", "qr" or "svd".
        rank: of W, to the precision of its dtype.
        condition: the condition number, estimated in the 1-norm: how much a relative change of b may change x at worst.

    Raises:
        ArgumentError: W is no matrix, has no values, or is not finite.

    Reference:
        Langou et al., 2006, "Exploiting the performance of 32 bit floating point arithmetic in obtaining 64 bit
        accuracy"; Higham, 1988, "FORTRAN codes for estimating the one-norm of a real or complex matrix, with
        applications to condition estimation".

    Example:
        >>> factored = Factored(torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
        >>> factored.solve(torch.tensor([[1.0, 1.0]]).double()).tolist(), factored.kind, round(factored.condition)
        ([[0.5, 0.25]], 'lu', 2)
    """

    def __init__(self, weight: Tensor) -> None:
        if weight.ndim != 2 or weight.numel() == 0:
            raise ArgumentError(f"expected a matrix of at least one value, got shape {tuple(weight.shape)}; give one")
        # A sum of finite values may overflow, but one of others is never finite.
        if not math.isfinite(float(weight.detach().sum())) and not bool(weight.isfinite().all()):
            raise ArgumentError("expected a matrix of finite values, got NaN or infinity in it; check the weights")
        self.weight = weight.detach()
        with torch.no_grad():
            self._factors = self._factor()

    @property
    def kind(self) -> str:
        """ "lu", "qr" or "svd"."""
        return self._factors.kind

    @property
    def rank(self) -> int:
        """Of the matrix, to the precision of its dtype."""
        return self._factors.rank

    @property
    def condition(self) -> float:
        """The condition number, estimated in the 1-norm; by singular values where the rank is short."""
        return self._factors.condition

    @property
    def limit(self) -> float:
        """The condition number beyond which the weights' own rounding makes a matrix as good as singular."""
        return 1 / torch.finfo(self.weight.dtype).eps

    def _factor(self) -> _Factors:
        m, n = self.weight.shape
        if m == n:
            for dtype in (torch.float64,) if n <= _SMALL else (torch.float32, torch.float64):
                factors = self._lu(dtype)
                if factors is not None:
                    return factors
        else:
            factors = self._qr()
            if factors is not None:
                return factors
        return self._svd()

    def _lu(self, dtype: torch.dtype) -> _Factors | None:
        """Return LU factors; None where these are too coarse, or the matrix is as good as singular."""
        n = len(self.weight)
        factor, pivots, info = torch.linalg.lu_factor_ex(self.weight.to(dtype))
        if bool(info.any()) or not bool(factor.diagonal().isfinite().all()):
            return None

        def solve(b: Tensor, *, adjoint: bool = False) -> Tensor:
            # Factors of single precision hold numbers of its range alone.
            size = _size(b)
            x = torch.linalg.lu_solve(factor, pivots, (b / size).T.to(dtype), adjoint=adjoint).T
            return x.double() * size

        condition = _column_norm(self.weight) * _one_norm(
            solve, lambda b: solve(b, adjoint=True), n, self.weight.device
        )
        # Written so that NaN is beyond it.
        if not condition < min(self.limit, 1 / torch.finfo(dtype).eps):
            return None
        if dtype is torch.float32 and not self._refines(solve):
            return None
        return _Factors("lu", solve, n, condition, dtype)

    def _refines(self, solve: Callable[[Tensor], Tensor]) -> bool:
        """Whether solutions by coarse factors come nearer by a digit or so with each round."""
        b = torch.ones(1, len(self.weight), dtype=torch.float64, device=self.weight.device)
        b[:, ::2] = -1.0
        x, sizes = solve(b), []
        for _ in range(2):
            left = self.residual(x, b)
            sizes.append(float(left.norm()))
            x = x + solve(left)
        return sizes[1] <= _GAIN * sizes[0] < _GAIN * float(b.norm())

    def _qr(self) -> _Factors | None:
        """Return a QR factorisation of the tall one of W and its transpose; None where the rank is short."""
        m, n = self.weight.shape
        tall = self.weight.double() if m > n else self.weight.T.double()
        base, triangle = torch.linalg.qr(tall)

        def upper(b: Tensor) -> Tensor:
            return torch.linalg.solve_triangular(triangle, b.T, upper=True).T

        def lower(b: Tensor) -> Tensor:
            return torch.linalg.solve_triangular(triangle.T, b.T, upper=False).T

        if not bool(triangle.diagonal().all()):
            return None
        condition = _column_norm(triangle) * _one_norm(upper, lower, len(triangle), self.weight.device)
        if not condition < self.limit:
            return None

        def solve(b: Tensor) -> Tensor:
            return upper(b @ base) if m > n else lower(b) @ base.T

        return _Factors("qr", solve, min(m, n), condition, torch.float64)

    def _svd(self) -> _Factors:
        left, singular, right = torch.linalg.svd(self.weight.double(), full_matrices=False)
        # What is below the weights' own rounding is rounding.
        kept = singular > max(self.weight.shape) * torch.finfo(self.weight.dtype).eps * singular[0]
        left, size, right = left[:, kept], singular[kept], right[kept]
        least, lost = float(singular[-1]), max(self.weight.shape) * torch.finfo(torch.float64).eps * float(singular[0])
        condition = float(singular[0]) / least if least > lost else math.inf
        return _Factors("svd", lambda b: (b @ left / size) @ right, int(kept.sum()), condition, torch.float64)

    def residual(self, x: Tensor, b: Tensor) -> Tensor:
        """Return b - W x in double precision.

        Args:
            x: ``(rows, n)``.
            b: ``(rows, m)``.
        """
        return b - self(x)

    def __call__(self, x: Tensor) -> Tensor:
        """Return W x in double precision, with the weights converted block by block.

        Args:
            x: ``(rows, n)``, double precision.
        """
        if self.weight.dtype is torch.float64:
            return x @ self.weight.T
        blocks = self.weight.split(max(1, _BLOCK // self.weight.shape[1]))
        return torch.cat([x @ block.double().T for block in blocks], 1)

    def rounding(self, x: Tensor) -> Tensor:
        """Return how far the sums of W x are off by their rounding, typically: the root of the mean square of each row.

        How far depends on the order in which a product is summed, so it is measured: in single precision, beside the
        same in double; in double precision it is as many times less as its steps are finer.

        Args:
            x: ``(rows, n)``, double precision.

        Returns:
            ``(rows,)``.
        """
        # Some of the sums tell how far all are off.
        some = self.weight[:: max(1, len(self.weight) // _MEASURED)]
        flat, coarse = x.float(), some.float()
        sums = (filled(flat) @ coarse.T)[: len(flat)]
        away = (sums.double() - flat.double() @ coarse.double().T).square().mean(1)
        return away.sqrt() * (torch.finfo(self.weight.dtype).eps / torch.finfo(torch.float32).eps)

    def solve(self, b: Tensor) -> Tensor:
        """Return the solutions, each refined until that gains nothing more.

        Args:
            b: ``(rows, m)``.

        Returns:
            ``(rows, n)`` in double precision; a row that is not finite stays so and leaves the others alone.
        """
        b = b.detach().double()
        # What is left over would be lost where the numbers are tiny, or their squares beyond what can be held.
        size = _size(b)
        return rowwise(self._solve, b / size) * size

    def estimate(self, b: Tensor) -> Tensor:
        """Return solutions as the factors alone have them, to a percent or better: nothing is refined.

        Args:
            b: ``(rows, m)``.

        Returns:
            ``(rows, n)`` in double precision.
        """
        return rowwise(self._factors.solve, b.detach().double())

    def _solve(self, b: Tensor) -> Tensor:
        x = self._factors.solve(b)
        if self.kind == "svd":
            return x
        left = self.residual(x, b)
        size, going = left.norm(dim=1), torch.ones_like(b[:, 0], dtype=torch.bool)
        for _ in range(_ROUNDS):
            better = x + self._factors.solve(left)
            after = self.residual(better, b)
            least = after.norm(dim=1)
            gained = going & (least < size)
            x, left = torch.where(gained[:, None], better, x), torch.where(gained[:, None], after, left)
            going = gained & (least <= _GAIN * size)
            size = torch.where(gained, least, size)
            if not bool(going.any()):
                break
        return x


def _size(rows: Tensor) -> Tensor:
    """Return the greatest absolute value of each row, ``(rows, 1)``; 1 where all are zero."""
    size = rows.abs().amax(1, keepdim=True)
    return torch.where(size > 0, size, 1.0)


def _column_norm(weight: Tensor) -> float:
    """Return the 1-norm of a matrix, its greatest sum of a column, in double precision."""
    rows = max(1, _BLOCK // weight.shape[1])
    total = sum(torch.linalg.vector_norm(block, 1, 0, dtype=torch.float64) for block in weight.split(rows))
    assert isinstance(total, Tensor)
    return float(total.amax())


def _one_norm(
    product: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], n: int, device: torch.device
) -> float:
    """Return an estimate from below, seldom by more than 3 times, of the 1-norm of a matrix known by its products.

    Args:
        product: from ``(1, n)`` to the product with the matrix.
        adjoint: to that with its transpose.
        n: its width.
        device: of the vectors.
    """
    x = torch.full((1, n), 1 / n, dtype=torch.float64, device=device)
    best, place = 0.0, -1
    for _ in range(5):
        y = product(x)
        size = float(y.abs().sum())
        if not math.isfinite(size):
            return math.inf
        if size <= best:
            break
        best = size
        slope = adjoint(torch.where(y >= 0, 1.0, -1.0).to(y))
        steepest = int(slope.abs().argmax())
        if steepest == place or float(slope[0, steepest].abs()) <= float((slope * x).sum()):
            break
        place = steepest
        x = torch.zeros_like(x).index_fill_(1, torch.tensor([place], device=device), 1.0)
    # A vector of growing entries and changing signs, for matrices on which the search above is led astray.
    signs = torch.where(torch.arange(n, device=device) % 2 == 0, 1.0, -1.0).double()
    ramp = signs * (1 + torch.arange(n, device=device).double() / max(1, n - 1))
    other = float(product(ramp[None]).abs().sum()) * 2 / (3 * n)
    return max(best, other) if math.isfinite(other) else math.inf
