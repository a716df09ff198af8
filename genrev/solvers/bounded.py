"""The step of a linearised least-squares problem in a box, for a batch of rows: damped, with an active set."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genrev.solvers.metric import steepest
from genrev.solvers.stored import Slopes

_ROUNDABOUT = 3
"""How many guesses at the active set may pass without fewer wrong ones, before they are corrected one at a time."""


class BoundedStep(NamedTuple):
    """A step d of each row, clip(-metric J'w) where it is settled, and what goes on from there with the same Jacobian.

    Args:
        change: ``(rows, n)``: d.
        settled: ``(rows,)`` of bool: whether the guess at the active set repeated itself, so that d is the minimum.
        duals: ``(rows, m)`` in double precision: w; none where there are more residuals than values.
        factor: ``(rows, m, m)`` in double precision: the lower Cholesky factor of J metric J' + lambda over the values
            that are free, NaN where there is none; none where there are more residuals than values, or too many.
    """

    change: Tensor
    settled: Tensor
    duals: Tensor | None
    factor: Tensor | None


def bounded_step(
    slopes: Slopes,
    residual: Tensor,
    x: Tensor,
    low: Tensor,
    high: Tensor,
    damping: Tensor,
    *,
    passes: int = 6,
    may: Tensor | None = None,
) -> BoundedStep:
    """Return the step d of each row that minimises |J d + r|^2 + lambda d' metric^-1 d within the box.

    For a diagonal metric the minimum is d = clip(-metric J'w) with w = (J d + r) / lambda. Each pass guesses which
    values sit on a bound from the last w and solves for the others (a primal-dual active set), until the guess repeats
    itself.

    Args:
        slopes: the Jacobians, which know the metric.
        residual: ``(rows, m)``.
        x: ``(rows, n)``, inside the box.
        low: ``(n,)``.
        high: ``(n,)``.
        damping: ``(rows,)``: lambda as a share of the mean squared slope.
        passes: how many guesses to make at most.
        may: ``(rows, n)``: 1 for values that may move, else 0; all if not given. In a diagonal metric values of no
            slope stay anyway.

    Returns:
        The step, whether it is the minimum, and what solved for it.

    Reference:
        Hintermueller, Ito and Kunisch, 2002, "The primal-dual active set strategy as a semismooth Newton method";
        Judice and Pires, 1994, "A block principal pivoting algorithm for large-scale strictly monotone linear
        complementarity problems" (the way out of circles).
    """
    least, most = low - x, high - x
    # A guess has 1 where a value sits on its upper bound, -1 where on its lower one, 0 where it is free: numbers, not
    # bools, because arithmetic on them is several times faster. What is on a bound and drawn outwards likely stays.
    drawn = -steepest(slopes.metric, slopes.back(residual)).sign()
    guess = drawn - drawn.clamp(least.sign(), most.sign())
    fixed: Tensor | None = None
    level: Tensor | None = None
    change, settled = x, torch.zeros_like(x[:, 0], dtype=torch.bool)
    duals: Tensor | None = None
    factor: Tensor | None = None
    active, part = torch.arange(len(x), device=x.device), slopes
    fewest, patience = torch.full_like(x[:, 0], math.inf), torch.full_like(active, _ROUNDABOUT)
    for last in range(passes - 1, -1, -1):
        free = guess.abs().neg_().add_(1)
        if may is not None:
            free *= may
        solution = part.solve(residual, free, fixed, damping, level)
        wish, level = solution.wish, solution.level
        inside = wish.clamp(least, most)
        if fixed is None:
            change = free * inside
        else:
            change[active] = torch.addcmul(fixed, free, inside)
        if duals is None or factor is None:
            duals, factor = solution.duals, solution.factor
        elif solution.duals is not None and solution.factor is not None:
            duals[active], factor[active] = solution.duals, solution.factor
        side = wish.sub_(inside).sign_()
        # What leaves a bound becomes free before it can sit on the other one.
        side *= (side * guess).clamp_(max=0).add_(1)
        if may is not None:
            side *= may
        count = (side - guess).abs_().sum(1)
        settled[active[count == 0]] = True
        changed = count != 0
        if not last or not bool(changed.any()):
            break
        held = inside.mul_(side.abs())
        patience = torch.where(count < fewest, _ROUNDABOUT, patience - 1)
        fewest = torch.minimum(fewest, count)
        if bool((patience < 0).any()):
            # All guesses at once may go round in circles; one at a time, the last that is wrong, can't.
            wrong = (side != guess).cumsum(1)
            before = (patience < 0)[:, None] & (wrong < wrong[:, -1:])
            side = torch.where(before, guess, side)
            held = held if fixed is None else torch.where(before, fixed, held)
        kept = changed.nonzero()[:, 0]
        active, residual, least, most, guess, fixed, fewest, patience, level = (
            # Several times faster than indexing.
            each.index_select(0, kept)
            for each in (active, residual, least, most, side, held, fewest, patience, level)
        )
        may = None if may is None else may.index_select(0, kept)
        part = slopes.select(active)
    return BoundedStep(change, settled, duals, factor)
