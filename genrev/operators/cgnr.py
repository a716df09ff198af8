"""Conjugate gradients on the normal equations: one pass over the weights an iteration, where reading is the cost.

All that an iteration asks of other processes, which may hold some of the rows, is one sum over them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from genrev.checks import real
from genrev.operators.base import Operator
from genrev.operators.least_squares import (
    KEPT,
    Coefficients,
    LeastSquares,
    Pass,
    Stop,
    bidiagonal_condition,
    in_passes,
    inner,
    norm,
)
from genrev.operators.preconditioners import Preconditioner


def cgnr(
    operator: Operator,
    b: Tensor,
    *,
    tolerance: float = 1e-9,
    flat: float = 1e-12,
    limit: int = 5000,
    start: Tensor | None = None,
    preconditioner: Preconditioner | None = None,
) -> LeastSquares:
    """Minimise ``|A x - b|`` for each row, as `lsmr` does, by the products of A and of A'A with one vector.

    An iteration reads the weights once where `lsmr` does so twice: for weights on a disk, or on several processes, half
    of the time. In memory `lsmr` is the better one: rounding spoils this one sooner where A is ill-conditioned, and the
    passes that mend it cost more.

    Args:
        operator: A.
        b: ``(rows, m)``, of the operator's type and on its device.
        tolerance: of ``|A x - b| / |b|``; a row within it is done.
        flat: of ``|A'r| / (|A| |r|)``, at which a row is as near as it gets.
        limit: iterations of a row at most.
        start: ``(rows, n)``; zeros if not given.
        preconditioner: of the columns; none if not given.

    Returns:
        What was found, with the residual that is really left.

    Raises:
        ArgumentError: b or the start does not fit the operator.

    Reference:
        Hestenes and Stiefel, 1952, "Methods of conjugate gradients for solving linear systems"; Bjorck, Elfving and
        Strakos, 1998, "Stability of conjugate gradient and Lanczos methods for linear least squares problems".

    Example:
        >>> from genrev.operators import Dense
        >>> found = cgnr(Dense(torch.tensor([[1.0, 1.0]], dtype=torch.float64)), torch.tensor([[2.0]]).double())
        >>> found.x.round(decimals=9).tolist(), found.converged.tolist()
        ([[1.0, 1.0]], [True])
    """
    flat = max(real("flat", flat), 2 * torch.finfo(operator.dtype).eps)

    def method(left: Tensor, share: Tensor, limit: Tensor, size: Tensor) -> Pass:
        rows = _begin(operator, preconditioner, left, share, limit, size)
        found = _one_pass(operator, preconditioner, rows, flat)
        return found if preconditioner is None else replace(found, step=preconditioner(found.step))

    with torch.no_grad():
        return in_passes(method, operator, b, tolerance=tolerance, limit=limit, start=start)


@dataclass
class _Rows:
    """The rows that are still going.

    Args:
        number: ``(rows,)``: where each stands among all.
        goal: ``(rows,)``: the residual at which it is done.
        limit: ``(rows,)``: its iterations at most.
        r: ``(rows, m)``: what is left.
        left: ``(rows,)``: its norm.
        slope: ``(rows, n)``: A'r, with the preconditioner.
        way: ``(rows, n)``: the next direction.
        z: ``(rows, n)``: what was found, before the preconditioner.
        steep: ``(rows,)``: the slope's sum of squares.
        square: ``(rows,)``: the greatest ``|A d|^2 / |d|^2`` that was seen.
        flat: ``(rows,)`` of bool: whether a direction d had no A d.
    """

    number: Tensor
    goal: Tensor
    limit: Tensor
    r: Tensor
    left: Tensor
    slope: Tensor
    way: Tensor
    z: Tensor
    steep: Tensor
    square: Tensor
    flat: Tensor

    def take(self, rows: Tensor) -> _Rows:
        """Return some of the rows."""
        return _Rows(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def _begin(
    operator: Operator,
    preconditioner: Preconditioner | None,
    r: Tensor,
    share: Tensor,
    limit: Tensor,
    size: Tensor,
) -> _Rows:
    slope, left = _back(preconditioner, operator.adjoint(r)), norm(operator, r)
    return _Rows(
        number=torch.arange(len(r), device=r.device),
        goal=share * left,
        limit=limit,
        r=r,
        left=left,
        slope=slope,
        way=slope,
        z=torch.zeros_like(slope),
        steep=inner(slope, slope),
        square=size**2,
        flat=torch.zeros_like(share, dtype=torch.bool),
    )


def _one_pass(operator: Operator, preconditioner: Preconditioner | None, rows: _Rows, flat: float) -> Pass:
    z, size = torch.zeros_like(rows.z), torch.zeros_like(rows.goal)
    iterations, stop = torch.zeros_like(rows.limit), torch.zeros_like(rows.limit)
    kept: list[Coefficients] = []
    count = 0
    while True:
        done = _verdict(rows, count, flat)
        over = done >= 0
        if bool(over.any()):
            ended = rows.number[over]
            z[ended], stop[ended], iterations[ended] = rows.z[over], done[over], count
            size[ended] = rows.square[over].sqrt()
            rows = rows.take((~over).nonzero()[:, 0])
        if len(rows.number) == 0:
            return Pass(z, iterations, bidiagonal_condition(kept), stop, size)
        count += 1
        coefficients = _iterate(operator, preconditioner, rows)
        if count <= KEPT:
            kept.append(coefficients)


def _verdict(rows: _Rows, count: int, flat: float) -> Tensor:
    """Return the `Stop` of each row, -1 where it goes on."""
    left = rows.left
    done = torch.full_like(rows.number, -1)
    for found, why in (
        (rows.limit <= count, Stop.LIMIT),
        (rows.flat, Stop.STALLED),
        (rows.steep.sqrt() <= flat * rows.square.sqrt() * left, Stop.NEAREST),
        (left <= rows.goal, Stop.SOLVED),
        (~(left + rows.steep).isfinite(), Stop.NOT_FINITE),
    ):
        done = torch.where(found, int(why), done)
    return done


def _iterate(operator: Operator, preconditioner: Preconditioner | None, rows: _Rows) -> Coefficients:
    """Go one iteration on."""
    way = rows.way
    y, turn, squares = operator.probe(way if preconditioner is None else preconditioner(way), rows.r)
    turn = _back(preconditioner, turn)
    size, bend = squares.unbind(1)
    rows.flat = ~(bend > 0)
    rows.square = torch.maximum(rows.square, torch.where(rows.flat, 0.0, bend / inner(way, way)))
    length = torch.where(rows.flat, 0.0, rows.steep / bend)
    # From what was left before it, as measured: to measure what is left now would take another sum over processes.
    rows.left = (size - length * rows.steep).clamp(min=0).sqrt()
    rows.z, rows.r = _plus(rows.z, length, way), _plus(rows.r, -length, y)
    rows.slope = _plus(rows.slope, -length, turn)
    fresh = inner(rows.slope, rows.slope)
    ratio = torch.where(rows.steep > 0, fresh / rows.steep, 0.0)
    rows.way, rows.steep = _plus(rows.slope, ratio, way), fresh
    # The factor of the tridiagonal matrix of Lanczos; an iteration without a way adds nothing to it.
    inverse = torch.where(length > 0, 1 / length, 1.0)
    return Coefficients(rows.number, inverse.sqrt(), torch.where(length > 0, (ratio * inverse).sqrt(), 0.0))


def _back(preconditioner: Preconditioner | None, x: Tensor) -> Tensor:
    return x if preconditioner is None else preconditioner.adjoint(x)


def _plus(values: Tensor, factor: Tensor, other: Tensor) -> Tensor:
    """Return values + factor * other, with a factor for each row; rounded alike on all processes, as a fused sum may
    not be.
    """
    return values + factor.to(values)[:, None] * other
