"""Levenberg-Marquardt in a box, for a batch of independent least-squares problems that leave as they are solved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum

import torch
from torch import Tensor

from genrev.solvers.jacobian import Function, jacobian


class Status(IntEnum):
    """How the search of a row ended."""

    SOLVED = 0
    STALLED = 1
    LIMIT = 2


@dataclass
class Search:
    """The state of a batch of searches; every field begins with the row.

    Args:
        x: ``(rows, n)``: the best point found.
        share: ``(rows,)``: its distance to the target as a share of the tolerance.
        status: ``(rows,)`` integers of `Status`.
        steps: ``(rows,)`` integers: how many steps were tried.
    """

    x: Tensor
    share: Tensor
    status: Tensor
    steps: Tensor


@dataclass
class _Rows:
    """The rows still at work. Fields are replaced or shortened together."""

    index: Tensor
    x: Tensor
    residual: Tensor
    cost: Tensor
    damping: Tensor
    pace: Tensor
    jacobian: Tensor
    stale: Tensor
    best: Tensor
    since: Tensor
    mark: Tensor
    slow: Tensor

    def __getitem__(self, keep: Tensor) -> _Rows:
        return _Rows(*(getattr(self, part.name)[keep] for part in fields(self)))

    def __add__(self, others: _Rows) -> _Rows:
        return _Rows(*(torch.cat([getattr(self, part.name), getattr(others, part.name)]) for part in fields(self)))


@dataclass(frozen=True)
class _Task:
    """What all rows share; see `levenberg_marquardt`."""

    function: Callable[[Tensor], Function]
    low: Tensor
    high: Tensor
    metric: Tensor
    free: Tensor
    aim: float
    steps: int


_FIRST_DAMPING = 0.03
_MOST_DAMPING = 1e8
_PACE = 30.0
"""How fast damping eases where the linear model holds; slower for a while where a step has failed."""

_CACHED = 2**20
"""How many slopes are at work together."""

_PATIENCE = 15
"""How many steps may pass without the cost falling by a hundredth before a search counts as stalled."""

_ROUNDABOUT = 3
"""How many guesses at the active set may pass without fewer wrong ones, before they are corrected one at a time."""
_SLOW = 8
"""How many steps may pass without the cost halving before a step may leap uphill."""

_LEAP_DAMPING = 1e-6
_LEAP_COST = 100.0


def levenberg_marquardt(
    function: Callable[[Tensor], Function],
    x: Tensor,
    *,
    low: Tensor,
    high: Tensor,
    metric: Tensor,
    free: Tensor | None = None,
    aim: float = 0.01,
    steps: int = 100,
    at_once: int | None = None,
) -> Search:
    """Move every row the short way to a zero of its residual within the box, or as near as it gets.

    Each step solves the linearised problem with damping of its row's own and an active set for the box. A Jacobian is
    kept for another step where the last one cut the residual well, and computed again where it did not.

    Args:
        function: from row numbers ``(k,)`` to the `Function` of those rows.
        x: ``(rows, n)``: where to begin, inside the box.
        low: ``(n,)``, -inf where unbounded.
        high: ``(n,)``, inf where unbounded.
        metric: ``(n,)``, positive: a step d costs sum(d^2 / metric).
        free: ``(rows, n)`` of bool: which values may move; all if not given.
        aim: the share of the tolerance at which a row is solved.
        steps: how many steps to try at most.
        at_once: how many rows are at work together: as one leaves the next one enters; as many as keep their
            Jacobians within the processor's cache if not given.

    Returns:
        The best point of each row, by distance in the user's units.

    Reference:
        Levenberg, 1944, "A method for the solution of certain non-linear problems in least squares";
        Shamanskii, 1967, "A modification of Newton's method" (several steps with one Jacobian).

    Example:
        >>> def square_is_two(rows):
        ...     return lambda x: (x**2 - 2, (x**2 - 2).detach().abs()[:, 0] / 1e-3)
        >>> box = {"low": torch.tensor([0.0]), "high": torch.tensor([9.0]), "metric": torch.ones(1)}
        >>> round(float(levenberg_marquardt(square_is_two, torch.ones(1, 1), **box).x), 3)
        1.414
    """
    free = torch.ones_like(x, dtype=torch.bool) if free is None else free
    task = _Task(function, low, high, metric, free, aim, steps)
    index = torch.arange(len(x), device=x.device)
    search = Search(x.clone(), torch.full_like(x[:, 0], math.inf), torch.full_like(index, Status.LIMIT), 0 * index)
    if at_once is None:
        at_once = max(64, _CACHED // (x.shape[1] * function(index[:1])(x[:1])[0].shape[1]))
    rows, waiting = _enter(search, task, index[:at_once]), index[at_once:]
    while len(rows.index) or len(waiting):
        room = at_once - len(rows.index)
        if len(waiting) and room >= at_once // 4:
            rows = rows + _enter(search, task, waiting[:room])
            waiting = waiting[room:]
        if len(rows.index):
            rows = _step(rows, search, task)
    return search


def _enter(search: Search, task: _Task, index: Tensor) -> _Rows:
    """Return new rows ready for their first step, without those that are solved where they stand."""
    x = search.x[index]
    residual, share, slopes = jacobian(task.function(index), x)
    search.share[index] = share
    cost = _cost(residual)
    rows = _Rows(
        index=index,
        x=x,
        residual=residual,
        cost=cost,
        damping=torch.full_like(share, _FIRST_DAMPING),
        pace=torch.full_like(share, _PACE),
        jacobian=slopes.contiguous(),
        stale=torch.zeros_like(share, dtype=torch.bool),
        best=cost.clone(),
        since=torch.zeros_like(index),
        mark=cost.clone(),
        slow=torch.zeros_like(index),
    )
    solved = share <= task.aim
    search.status[index[solved]] = Status.SOLVED
    return rows[~solved]


def _step(rows: _Rows, search: Search, task: _Task) -> _Rows:
    """Try one step of every row that is still at work; return those that still are."""
    search.steps[rows.index] += 1
    leap = ~rows.stale & (rows.slow >= _SLOW)
    damping = torch.where(leap, _LEAP_DAMPING, rows.damping)
    free = task.free[rows.index]
    step, settled = bounded_step(
        rows.jacobian,
        rows.residual,
        rows.x,
        task.low,
        task.high,
        task.metric,
        free,
        damping,
        passes=2,
        rough=rows.stale,
    )
    trial = torch.minimum(torch.maximum(rows.x + step, task.low), task.high)
    residual, share = task.function(rows.index)(trial)
    cost = _cost(residual)
    better = share < search.share[rows.index]
    search.x[rows.index[better]], search.share[rows.index[better]] = trial[better], share[better]

    predicted = rows.cost - _cost(rows.residual + forth(rows.jacobian, step))
    gain = (rows.cost - cost) / predicted.clamp(min=torch.finfo(cost.dtype).tiny)
    # At the kink of a ReLU the cost may have to rise before it falls: where the linear model sees the way out and
    # progress is slow, one step may go up.
    leap = leap & (predicted > 0.5 * rows.cost) & (cost < _LEAP_COST * rows.cost)
    accepted = cost.isfinite() & (((cost < rows.cost) & (gain > 1e-4)) | leap)
    # A fresh Jacobian that promises nothing, or fails however short the step, is the end; a stale one is renewed.
    hopeless = ~rows.stale & ((settled & (predicted <= 1e-9 * rows.cost)) | (~accepted & (damping > _MOST_DAMPING)))
    solved = (share <= task.aim) | (cost == 0)

    renew = (accepted & (cost > 0.05 * rows.cost)) | (rows.stale & ~accepted)
    rows.damping, rows.pace = _damping(rows.damping, rows.pace, accepted, gain, rows.stale)
    rows.x = torch.where(accepted[:, None], trial, rows.x)
    rows.residual = torch.where(accepted[:, None], residual, rows.residual)
    rows.cost = torch.where(accepted, cost, rows.cost)
    rows.stale = (rows.stale | accepted) & ~renew
    rows.best, rows.since = _clock(rows.best, rows.since, rows.cost < 0.99 * rows.best, rows.cost)
    rows.mark, rows.slow = _clock(rows.mark, rows.slow, (rows.cost < 0.5 * rows.mark) | leap, rows.cost)

    stalled = hopeless | (rows.since >= _PATIENCE)
    search.status[rows.index[stalled & ~solved]] = Status.STALLED
    search.status[rows.index[solved]] = Status.SOLVED
    keep = ~(solved | stalled | (search.steps[rows.index] >= task.steps))
    if not bool(keep.all()):
        rows, renew = rows[keep], renew[keep]
    if bool(renew.any()):
        rows.jacobian[renew] = jacobian(task.function(rows.index[renew]), rows.x[renew])[2]
    return rows


def _clock(mark: Tensor, since: Tensor, reset: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
    """Start again from the present cost where told; elsewhere a step more has passed."""
    return torch.where(reset, cost, mark), torch.where(reset, 0, since + 1)


def _cost(residual: Tensor) -> Tensor:
    return residual.square().sum(1) / 2


def _damping(damping: Tensor, pace: Tensor, accepted: Tensor, gain: Tensor, stale: Tensor) -> tuple[Tensor, Tensor]:
    """Damp less where the linear model held, more where it did not; a stale Jacobian's failure says nothing."""
    eased = (damping / pace).clamp(min=torch.finfo(damping.dtype).eps)
    # After the first failure in a while the right damping may be far above; after another it is near.
    raised = torch.where(pace >= _PACE, (damping * 10).clamp(min=1e-3), damping * (2 * pace).clamp(max=10.0))
    held = torch.where(gain > 0.75, eased, torch.where(gain < 0.25, raised, damping))
    failed = ~accepted & ~stale
    slower, faster = pace.sqrt().clamp(min=2.0), (1.5 * pace).clamp(max=_PACE)
    return (
        torch.where(accepted, held, torch.where(stale, damping, raised)),
        torch.where(failed, slower, torch.where(accepted, faster, pace)),
    )


def bounded_step(
    slopes: Tensor,
    residual: Tensor,
    x: Tensor,
    low: Tensor,
    high: Tensor,
    metric: Tensor,
    free: Tensor,
    damping: Tensor,
    *,
    passes: int = 6,
    rough: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the step d of each row that minimises |J d + r|^2 + lambda sum(d^2 / metric) within the box.

    The minimum is d = clip(-metric J'w) with w = (J d + r) / lambda; each pass guesses which values sit on a bound from
    the last w and solves for the others (a primal-dual active set), until the guess repeats itself.

    Args:
        slopes: ``(rows, m, n)``, the Jacobians.
        residual: ``(rows, m)``.
        x: ``(rows, n)``, inside the box.
        low: ``(n,)``.
        high: ``(n,)``.
        metric: ``(n,)``, positive.
        free: ``(rows, n)`` of bool; the others do not move.
        damping: ``(rows,)``: lambda as a share of the mean squared slope.
        passes: how many guesses to make at most.
        rough: ``(rows,)`` of bool: where the first guess will do.

    Returns:
        ``(rows, n)``, and ``(rows,)`` of bool: whether the guess repeated itself, so that the step is the minimum.

    Reference:
        Hintermueller, Ito and Kunisch, 2002, "The primal-dual active set strategy as a semismooth Newton method";
        Judice and Pires, 1994, "A block principal pivoting algorithm for large-scale strictly monotone linear
        complementarity problems" (the way out of circles).
    """
    least, most = torch.where(free, low - x, 0.0), torch.where(free, high - x, 0.0)
    # What sits on a bound and is drawn outwards most likely stays there.
    pull = -_back(slopes, residual)
    pinned = least == most
    below, above = pinned | (pull <= 0) & (least == 0), pinned | (pull >= 0) & (most == 0)
    fixed = torch.zeros_like(x)
    level = None
    step, settled = torch.empty_like(x), torch.zeros_like(below[:, 0])
    active = torch.arange(len(x), device=x.device)
    fewest, patience = torch.full_like(active, x.shape[1] + 1), torch.full_like(active, _ROUNDABOUT)
    for guess in range(passes):
        held = below | above
        wish, level = _damped(slopes, residual, held, fixed, metric, damping, level)
        step[active] = torch.where(held, fixed, wish).clamp(least, most)
        # What leaves a bound becomes free before it can sit on the other one; what cannot move never leaves.
        now_below, now_above = pinned | ~above & (wish <= least), pinned | ~below & (wish >= most)
        wrong = (now_below != below) | (now_above != above)
        count = wrong.sum(1)
        settled[active[count == 0]] = True
        changed = count > 0 if rough is None else (count > 0) & ~rough[active]
        if guess == passes - 1 or not bool(changed.any()):
            break
        patience = torch.where(count < fewest, _ROUNDABOUT, patience - 1)
        fewest = torch.minimum(fewest, count)
        # All guesses at once may go round in circles; one at a time, the last that is wrong, can't.
        alone = (patience < 0)[:, None] & (wrong.cumsum(1) < count[:, None])
        below, above = torch.where(alone, below, now_below), torch.where(alone, above, now_above)
        active, slopes, residual, level = active[changed], slopes[changed], residual[changed], level[changed]
        below, above, least, most = below[changed], above[changed], least[changed], most[changed]
        pinned, fewest, patience = pinned[changed], fewest[changed], patience[changed]
        fixed = torch.where(below, least, torch.where(above, most, 0.0))
    return step, settled


def _damped(
    slopes: Tensor,
    residual: Tensor,
    held: Tensor,
    fixed: Tensor,
    metric: Tensor,
    damping: Tensor,
    level: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return -metric J'w of the damped problem whose held values are fixed, and lambda.

    Lambda is the damping times the mean squared slope of what may move at first; it must not change with the guess.
    """
    _, m, n = slopes.shape
    left = residual + forth(slopes, fixed)
    if m <= n:
        gram = ((slopes * (~held * metric)[:, None]) @ slopes.transpose(1, 2)).double()
        level = _level(damping, gram, slopes, metric) if level is None else level
        duals = _solve(gram, left.double(), level).to(slopes.dtype)
        return -metric * _back(slopes, duals), level
    # With d = sqrt(metric) e the metric is the identity, and held values drop out by a zero.
    root = ~held * metric.sqrt()
    scaled = slopes * root[:, None]
    gram = (scaled.transpose(1, 2) @ scaled).double()
    level = _level(damping, gram, slopes, metric) if level is None else level
    step = -root * _solve(gram, _back(scaled, left).double(), level).to(slopes.dtype)
    duals = left + forth(slopes, step)
    pulled = -metric * _back(slopes, duals) / level[:, None].to(slopes.dtype).clamp(min=torch.finfo(slopes.dtype).tiny)
    return torch.where(held, pulled, step), level


def _level(damping: Tensor, gram: Tensor, slopes: Tensor, metric: Tensor) -> Tensor:
    """Return lambda: the damping times the mean squared slope of what may move; of all, where nothing may at first."""
    level = damping * gram.diagonal(dim1=1, dim2=2).sum(1) / slopes.shape[1]
    if bool((level > 0).all()):
        return level
    return torch.where(level > 0, level, damping * (slopes.square() * metric).sum(2).mean(1))


def forth(slopes: Tensor, step: Tensor) -> Tensor:
    """Return J d for each row: ``(rows, m, n)`` and ``(rows, n)`` to ``(rows, m)``."""
    return (step[:, None] @ slopes.transpose(1, 2))[:, 0]


def _back(slopes: Tensor, duals: Tensor) -> Tensor:
    """Return J'w for each row; as a row vector times a matrix, which batched products do several times faster."""
    return (duals[:, None] @ slopes)[:, 0]


def _solve(gram: Tensor, right: Tensor, level: Tensor) -> Tensor:
    """Solve (G + level I) w = right for symmetric G >= 0; rows without any slope get zero."""
    # Rounding leaves G with eigenvalues a little below zero.
    floor = 1e-14 * gram.diagonal(dim1=1, dim2=2).amax(1) + torch.finfo(gram.dtype).tiny
    shifted = gram + torch.diag_embed((level + floor)[:, None].expand(gram.shape[:2]))
    factor, failed = torch.linalg.cholesky_ex(shifted)
    answer = torch.cholesky_solve(right[..., None], factor)[..., 0]
    if bool(failed.any()):
        bad = failed > 0
        values, vectors = torch.linalg.eigh(shifted[bad].nan_to_num())
        cut = 1e-12 * values.amax(1, keepdim=True).clamp(min=torch.finfo(gram.dtype).tiny)
        inverse = torch.where(values > cut, 1 / values.clamp(min=cut), 0.0)
        turned = (vectors.transpose(1, 2) @ right[bad][..., None])[..., 0] * inverse
        answer[bad] = (vectors @ turned[..., None])[..., 0]
    return answer.nan_to_num()
