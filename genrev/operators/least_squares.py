"""What iterative least squares find, and the passes in which they find it: each begins at what is really left.

An iterative method knows what is left by its recurrences, which drift from the truth by rounding. Here the truth is
measured after each pass, and a row whose recurrences promised more than that begins another one there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

from genrev.checks import real, whole
from genrev.errors import ArgumentError
from genrev.operators.base import Operator

KEPT = 512
"""Iterations of which the coefficients are kept, for the condition number."""

_PASSES = 20
"""Passes at most; a pass that does not halve what was left is a row's last."""


class Stop(IntEnum):
    """Why a row stopped.

    Example:
        >>> Stop(0).sentence
        'the residual is within the tolerance'
    """

    SOLVED = 0
    NEAREST = 1
    STALLED = 2
    LIMIT = 3
    NOT_FINITE = 4

    @property
    def sentence(self) -> str:
        """What it means, and what to do about it."""
        return _SENTENCES[self]


_SENTENCES = {
    Stop.SOLVED: "the residual is within the tolerance",
    Stop.NEAREST: "no x comes nearer to b, as far as the precision can tell: b is not in the range of A, or A is "
    "nearly singular; use a preconditioner if b should be in it",
    Stop.STALLED: "rounding ends what the iterations can reach; use a preconditioner, or double precision",
    Stop.LIMIT: "the iterations ran out; raise the limit, or use a preconditioner",
    Stop.NOT_FINITE: "the weights, b or the start hold NaN or infinity, or values overflowed; scale or mend them",
}


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """What was found for each row.

    Args:
        x: ``(rows, n)``.
        residual: ``(rows,)``, float64: ``|A x - b| / |b|``, measured at the end; where b is 0, relative to where the
            row started.
        iterations: ``(rows,)``, int64: how many it took.
        condition: the condition number of A, with its preconditioner, as far as the iterations saw: an estimate from
            below, of the row that took the most.
        stop: ``(rows,)``, int64: a `Stop`.
    """

    x: Tensor
    residual: Tensor
    iterations: Tensor
    condition: float
    stop: Tensor

    @property
    def converged(self) -> Tensor:
        """``(rows,)`` of bool: whether the residual is within the tolerance."""
        return self.stop == Stop.SOLVED


@dataclass(frozen=True, eq=False)
class Pass:
    """What one pass of a method found.

    Args:
        step: ``(rows, n)``: to be added to x.
        iterations: ``(rows,)``, int64.
        condition: of A with its preconditioner, as far as was seen.
        stop: ``(rows,)``, int64: a `Stop`, as the recurrences have it.
        size: ``(rows,)``, float64: of A, as far as was seen.
    """

    step: Tensor
    iterations: Tensor
    condition: float
    stop: Tensor
    size: Tensor


class Method(Protocol):
    """A method of least squares that starts from zero."""

    def __call__(self, left: Tensor, share: Tensor, limit: Tensor, size: Tensor) -> Pass:
        """Minimise ``|A d - left|`` for each row.

        Args:
            left: ``(rows, m)``.
            share: ``(rows,)``, float64: of ``|left|``, at which a row is done.
            limit: ``(rows,)``, int64: iterations at most.
            size: ``(rows,)``, float64: of A, as far as was seen before.
        """


def in_passes(
    method: Method,
    operator: Operator,
    b: Tensor,
    *,
    tolerance: float,
    limit: int,
    start: Tensor | None,
    row_scale: Tensor | None = None,
) -> LeastSquares:
    """Run a method until the residual that is measured is within the tolerance, or as near as it gets.

    Args:
        method: from zero.
        operator: A.
        b: ``(rows, m)``.
        tolerance: of ``|A x - b| / |b|``.
        limit: iterations of a row at most.
        start: ``(rows, n)``; zeros if not given.
        row_scale: ``(m,)``: of the equations, where the method minimises the scaled residual.

    Raises:
        ArgumentError: b or the start has another shape, type or device than the operator.
    """
    tolerance, limit = real("tolerance", tolerance), whole("limit", limit, least=0)
    rows = len(b) if isinstance(b, Tensor) and b.ndim else 0
    _expect_rows("b", b, rows, operator.shape[0], operator)
    x = torch.zeros(rows, operator.shape[1], dtype=operator.dtype, device=operator.device)
    if start is not None:
        _expect_rows("start", start, rows, operator.shape[1], operator)
        x = start.detach().clone()
    b = b.detach()
    left = b.clone() if start is None else b - operator(x)

    def costs(left: Tensor, miss: Tensor) -> Tensor:
        return miss if row_scale is None else norm(operator, left * row_scale)

    size, miss = norm(operator, b), norm(operator, left)
    cost = costs(left, miss)
    # Of nothing, everything is infinitely much.
    size = torch.where(size > 0, size, miss)
    iterations = torch.zeros(rows, dtype=torch.int64, device=b.device)
    seen, condition = torch.zeros_like(size), 1.0
    stop = torch.full_like(iterations, int(Stop.LIMIT))
    goal = tolerance * size
    finite = miss.isfinite() & size.isfinite()
    stop[~finite] = int(Stop.NOT_FINITE)
    stop[finite & (miss <= goal)] = int(Stop.SOLVED)
    going = (finite & (miss > goal)).nonzero()[:, 0]
    for number in range(_PASSES):
        if len(going) == 0 or limit == 0:
            break
        # Asked for less than is needed, a second pass would end where the first one did.
        share = (0.5 if number else 1.0) * goal[going] / miss[going]
        done = method(left[going], share, limit - iterations[going], seen[going])
        iterations[going] += done.iterations
        seen[going] = done.size
        condition = max(condition, done.condition)
        reached = x[going] + done.step
        still = b[going] - operator(reached)
        now = norm(operator, still)
        paid = costs(still, now)
        better, halved = paid < cost[going], paid <= 0.5 * cost[going]
        kept = going[better]
        x[kept], left[kept], miss[kept], cost[kept] = reached[better], still[better], now[better], paid[better]
        met = miss[going] <= goal[going]
        # What the recurrences call done and is not, rounding has stopped: another pass shows how far it can be mended.
        why = torch.where(done.stop == Stop.SOLVED, int(Stop.STALLED), done.stop)
        stop[going] = torch.where(met, int(Stop.SOLVED), why)
        going = going[~met & halved & (iterations[going] < limit)]
    residual = torch.where(size > 0, miss / torch.where(size > 0, size, 1.0), miss)
    return LeastSquares(x, residual, iterations, condition, stop)


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What one iteration adds to the bidiagonal matrix that has the condition number of A.

    Args:
        number: ``(rows,)``: of the rows that were still going.
        diagonal: ``(rows,)``: the next value on the diagonal.
        beside: ``(rows,)``: the value to its right.
    """

    number: Tensor
    diagonal: Tensor
    beside: Tensor


def bidiagonal_condition(kept: Sequence[Coefficients]) -> float:
    """Return the condition number of the bidiagonal matrix of the row that went on for longest; inf where it has none.

    Args:
        kept: of each iteration, from the first.

    Example:
        >>> row = torch.tensor([0])
        >>> bidiagonal_condition([Coefficients(row, torch.tensor([a]), torch.tensor([0.0])) for a in (4.0, 2.0)])
        2.0
    """
    if not kept:
        return 1.0
    chosen = kept[-1].number[-1]
    pairs = torch.stack([torch.cat([one.diagonal, one.beside]).view(2, -1)[:, one.number == chosen] for one in kept])
    diagonal, beside = pairs[:, :, 0].double().cpu().unbind(1)
    matrix = torch.zeros(len(kept), len(kept) + 1, dtype=torch.float64)
    matrix.diagonal().copy_(diagonal)
    matrix.diagonal(1).copy_(beside)
    if not bool(matrix.isfinite().all()):
        return math.inf
    values = torch.linalg.svdvals(matrix)
    return float(values[0] / values[-1]) if float(values[-1]) > 0 else math.inf


def norm(operator: Operator, y: Tensor) -> Tensor:
    """Return the norm of the outputs of each row, ``(rows,)`` in float64.

    Args:
        operator: whose outputs they are.
        y: ``(rows, m)``.
    """
    return operator.squared_norm(y).sqrt()


def inner(first: Tensor, second: Tensor) -> Tensor:
    """Return the inner product of each row with its like, ``(rows,)`` in float64.

    Summed in one order, whatever the number of threads: processes that share a matrix decide by it alike.

    Args:
        first: ``(rows, n)``.
        second: ``(rows, n)``.

    Example:
        >>> inner(torch.tensor([[1.0, 2.0, 3.0]]), torch.ones(1, 3)).tolist()
        [6.0]
    """
    products = first.double() * second.double()
    width = products.shape[1]
    if width == 0:
        return products.sum(1)
    while width > 1:
        half = (width + 1) // 2
        products[:, : width - half] += products[:, half:width]
        width = half
    return products[:, 0]


def unit(values: Tensor, length: Tensor) -> Tensor:
    """Return each row divided by its length; one without any stays as it is.

    Args:
        values: ``(rows, n)``.
        length: ``(rows,)``.
    """
    return values / torch.where(length > 0, length, 1.0).to(values)[:, None]


def _expect_rows(name: str, values: Tensor, rows: int, width: int, operator: Operator) -> None:
    fits = isinstance(values, Tensor) and tuple(values.shape) == (rows, width)
    if not fits or values.dtype != operator.dtype or values.device.type != operator.device.type:
        got = (
            f"{tuple(values.shape)} in {values.dtype} on {values.device}"
            if isinstance(values, Tensor)
            else type(values).__name__
        )
        raise ArgumentError(
            f"expected {name} of shape (rows, {width}) in {operator.dtype} on {operator.device}, got {got}; convert "
            "it, and give one row for each right-hand side"
        )
