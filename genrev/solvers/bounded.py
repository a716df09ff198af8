"""The step of a linearised least-squares problem in a box, for a batch of rows: damped, with an active set."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_ROUNDABOUT = 3
"""How many guesses at the active set may pass without fewer wrong ones, before they are corrected one at a time."""


class BoundedStep(NamedTuple):
    """A step d of each row, clip(-metric J'w) where it is settled, and what goes on from there with the same Jacobian.

    Args:
        change: ``(rows, n)``: d.
        settled: ``(rows,)`` of bool: whether the guess at the active set repeated itself, so that d is the minimum.
        duals: ``(rows, m)`` in double precision: w; none where there are more residuals than values.
        factor: ``(rows, m, m)`` in double precision: the lower Cholesky factor of J metric J' + lambda over the values
            that are free, NaN where there is none; none where there are more residuals than values.
    """

    change: Tensor
    settled: Tensor
    duals: Tensor | None
    factor: Tensor | None


def bounded_step(
    slopes: Tensor,
    residual: Tensor,
    x: Tensor,
    low: Tensor,
    high: Tensor,
    metric: Tensor,
    damping: Tensor,
    *,
    passes: int = 6,
    room: Tensor | None = None,
) -> BoundedStep:
    """Return the step d of each row that minimises |J d + r|^2 + lambda sum(d^2 / metric) within the box.

    The minimum is d = clip(-metric J'w) with w = (J d + r) / lambda; each pass guesses which values sit on a bound from
    the last w and solves for the others (a primal-dual active set), until the guess repeats itself.

    Args:
        slopes: ``(rows, m, n)``, the Jacobians; a value of no slope does not move.
        residual: ``(rows, m)``.
        x: ``(rows, n)``, inside the box.
        low: ``(n,)``.
        high: ``(n,)``.
        metric: ``(n,)``, positive.
        damping: ``(rows,)``: lambda as a share of the mean squared slope.
        passes: how many guesses to make at most.
        room: ``(2, rows or more, m, n)``: memory to work in, overwritten; its own if not given.

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
    drawn = -back(slopes, residual).sign()
    guess = drawn - drawn.clamp(least.sign(), most.sign())
    fixed: Tensor | None = None
    level: Tensor | None = None
    change, settled = x, torch.zeros_like(x[:, 0], dtype=torch.bool)
    duals: Tensor | None = None
    factor: Tensor | None = None
    room = slopes.new_empty(2, *slopes.shape) if room is None else room
    active, part = torch.arange(len(x), device=x.device), slopes
    fewest, patience = torch.full_like(x[:, 0], math.inf), torch.full_like(active, _ROUNDABOUT)
    for last in range(passes - 1, -1, -1):
        free = guess.abs().neg_().add_(1)
        solution = _damped(part, residual, free, fixed, metric, damping, level, room[0, : len(active)])
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
        part = torch.index_select(slopes, 0, active, out=room[1, : len(active)])
    return BoundedStep(change, settled, duals, factor)


class _Solution(NamedTuple):
    """What minimises the damped problem of one guess: -metric J'w, lambda, and as in `BoundedStep`."""

    wish: Tensor
    level: Tensor
    duals: Tensor | None = None
    factor: Tensor | None = None


def _damped(
    slopes: Tensor,
    residual: Tensor,
    free: Tensor,
    fixed: Tensor | None,
    metric: Tensor,
    damping: Tensor,
    level: Tensor | None,
    room: Tensor,
) -> _Solution:
    """Solve the damped problem whose held values are fixed (at 0 if not given).

    Lambda is the damping times the mean squared slope of what may move at first; it must not change with the guess.
    """
    _, m, n = slopes.shape
    left = residual if fixed is None else residual + forth(slopes, fixed)
    if m <= n:
        gram = _products(torch.mul(slopes, (free * metric)[:, None], out=room), slopes)
        level = _level(damping, gram, slopes, metric) if level is None else level
        duals, factor = _solve(gram, left.double(), level)
        return _Solution(back(slopes, duals.to(slopes.dtype)).mul_(-metric), level, duals, factor)
    # With d = sqrt(metric) e the metric is the identity, and held values drop out by a zero.
    root = free * metric.sqrt()
    scaled = torch.mul(slopes, root[:, None], out=room)
    gram = (scaled.transpose(1, 2) @ scaled).double()
    level = _level(damping, gram, slopes, metric) if level is None else level
    answer, _ = _solve(gram, back(scaled, left).double(), level)
    step = -root * answer.to(slopes.dtype)
    duals = left + forth(slopes, step)
    pulled = -metric * back(slopes, duals) / level[:, None].to(slopes.dtype).clamp(min=torch.finfo(slopes.dtype).tiny)
    return _Solution(torch.where(free > 0, step, pulled), level)


def _products(weighted: Tensor, slopes: Tensor) -> Tensor:
    """Return J metric J' of each row, in double precision, from J metric and J.

    It is symmetric: to leave a quarter of it out saves a fifth of the time; finer parts save no more.
    """
    half = slopes.shape[1] // 2
    gram = slopes.new_empty(len(slopes), slopes.shape[1], slopes.shape[1], dtype=torch.float64)
    gram[:, :half] = weighted[:, :half] @ slopes.transpose(1, 2)
    gram[:, half:, half:] = weighted[:, half:] @ slopes[:, half:].transpose(1, 2)
    gram[:, half:, :half] = gram[:, :half, half:].transpose(1, 2)
    return gram


def _level(damping: Tensor, gram: Tensor, slopes: Tensor, metric: Tensor) -> Tensor:
    """Return lambda: the damping times the mean squared slope of what may move; of all, where nothing may at first."""
    level = damping * gram.diagonal(dim1=1, dim2=2).sum(1) / slopes.shape[1]
    if bool((level > 0).all()):
        return level
    return torch.where(level > 0, level, damping * (slopes.square() * metric).sum(2).mean(1))


def forth(slopes: Tensor, step: Tensor) -> Tensor:
    """Return J d for each row: ``(rows, m, n)`` and ``(rows, n)`` to ``(rows, m)``."""
    return (step[:, None] @ slopes.transpose(1, 2))[:, 0]


def back(slopes: Tensor, duals: Tensor) -> Tensor:
    """Return J'w for each row; as a row vector times a matrix, which batched products do several times faster."""
    return (duals[:, None] @ slopes)[:, 0]


def _solve(gram: Tensor, right: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Solve (G + level I) w = right for symmetric G >= 0, zero for rows without any slope; return its factor, too."""
    # Rounding leaves G with eigenvalues a little below zero.
    floor = 1e-14 * gram.diagonal(dim1=1, dim2=2).amax(1) + torch.finfo(gram.dtype).tiny
    shifted = gram + (level + floor)[:, None, None] * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    answer = torch.cholesky_solve(right[..., None], factor)[..., 0]
    if bool(failed.any()):
        bad = failed > 0
        values, vectors = torch.linalg.eigh(shifted[bad].nan_to_num())
        cut = 1e-12 * values.amax(1, keepdim=True).clamp(min=torch.finfo(gram.dtype).tiny)
        inverse = torch.where(values > cut, 1 / values.clamp(min=cut), 0.0)
        turned = (vectors.transpose(1, 2) @ right[bad][..., None])[..., 0] * inverse
        answer[bad] = (vectors @ turned[..., None])[..., 0]
        factor[bad] = math.nan
    return answer.nan_to_num(), factor
