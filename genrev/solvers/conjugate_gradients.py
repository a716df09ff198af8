"""Conjugate gradients for damped least squares, for a batch of rows that stop each by itself."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from genrev.solvers.metric import Held, HeldLowRank

LIMIT = 300
"""Iterations of a solve at most."""

_SOON, _PROGRESS = 32, 0.8
"""Beyond which power of two of iterations a solve is given up where, since the power before, neither what is left nor
its slope has fallen to this share."""


class Operator(Protocol):
    """The Jacobians J of some rows, by their products."""

    def forth(self, step: Tensor) -> Tensor:
        """Return J d for each row: ``(rows, n)`` to ``(rows, m)``."""

    def back(self, duals: Tensor) -> Tensor:
        """Return J'w for each row: ``(rows, m)`` to ``(rows, n)``."""


class Damped(NamedTuple):
    """What conjugate gradients found.

    Args:
        step: ``(rows, n)``: d, of the free values.
        duals: ``(rows, m)``: w = (J d + r) / lambda.
    """

    step: Tensor
    duals: Tensor


def conjugate_gradients(
    slopes: Operator, left: Tensor, held: Held | HeldLowRank, level: Tensor, *, forcing: float, limit: int = LIMIT
) -> Damped:
    """Minimise |J d + r|^2 + lambda d' S^-1 d for each row, with S the metric of the free values.

    Every iterate minimises that over all that the products seen so far can make, so a row may stop at any of them with
    a step that helps: where w = (J d + r) / lambda holds up to a share of r, where next to nothing is left to gain, or
    where progress is slow.

    Args:
        slopes: of all rows.
        left: ``(rows, m)``: r.
        held: the metric, restricted to the free values of each row.
        level: ``(rows,)``: lambda, positive.
        forcing: the share of r at which a row is done.
        limit: how many iterations at most.

    Returns:
        The step and its duals.

    Reference:
        Hestenes and Stiefel, 1952, "Methods of conjugate gradients for solving linear systems"; Dembo, Eisenstat and
        Steihaug, 1982, "Inexact Newton methods" (why a share of r is enough).
    """
    damping = level.double()[:, None]
    model, misfit = left.clone(), left
    pull = slopes.back(misfit)
    way = held.apply(pull)
    step, duals = torch.zeros_like(way), torch.zeros_like(left)
    dual_way, slope = misfit, _dot(pull, way)
    # Beyond a hundredth of the slope at first, rounding ends what can't be met.
    enough, flat = forcing * misfit.norm(dim=1), (0.1 * forcing) ** 2 * slope
    working = slope > 0
    before = misfit.norm(dim=1), slope
    for iteration in range(1, limit + 1):
        if not bool(working.any()):
            break
        turn = slopes.forth(way)
        bend = _dot(turn, turn) + damping[:, 0] * _dot(dual_way, turn).clamp(min=0)
        length = _where(working & (bend > 0), slope / bend, 0.0).to(left)
        step, duals, model = step - length * way, duals + length * dual_way, model - length * turn
        misfit = model - damping.to(left) * duals
        pull = slopes.back(misfit)
        steepest = held.apply(pull)
        fresh = _dot(pull, steepest)
        share = _where(slope > 0, fresh / slope, 0.0).to(left)
        way, dual_way, slope = steepest + share * way, misfit + share * dual_way, fresh
        now = misfit.norm(dim=1)
        working &= (now > enough) & (slope > flat) & slope.isfinite() & (bend > 0)
        if iteration >= _SOON and iteration & (iteration - 1) == 0:
            if iteration > _SOON:
                working &= (now < _PROGRESS * before[0]) | (slope < _PROGRESS**2 * before[1])
            before = now, slope
    # Not the duals that drew the step: of what no step can change, those know only what they have been told so far.
    return Damped(step, model / level.to(left)[:, None])


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum(1, dtype=torch.float64)


def _where(condition: Tensor, value: Tensor, other: float) -> Tensor:
    return torch.where(condition, value, other)[:, None]
