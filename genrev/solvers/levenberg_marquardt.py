"""Levenberg-Marquardt in a box, for a batch of independent least-squares problems that leave as they are solved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum

import torch
from torch import Tensor

from genrev.rows import filled
from genrev.solvers.jacobian import Function, jacobian


class Status(IntEnum):
    """How the search of a row ended.

    Example:
        >>> [status.name for status in Status]
        ['SOLVED', 'STALLED', 'LIMIT']
    """

    SOLVED = 0
    STALLED = 1
    LIMIT = 2


@dataclass(eq=False)
class Search:
    """The state of a batch of searches; every field begins with the row.

    Args:
        x: ``(rows, n)``: the best point found.
        share: ``(rows,)``: its distance to the target as a share of the tolerance.
        status: ``(rows,)`` integers of `Status`.
        steps: ``(rows,)`` integers: how many steps were tried.

    Example:
        >>> rows = {"status": torch.tensor([0, 1]), "steps": torch.tensor([4, 90])}
        >>> search = Search(x=torch.zeros(2, 3), share=torch.tensor([0.001, 70.0]), **rows)
        >>> (search.status == Status.SOLVED).tolist()
        [True, False]
    """

    x: Tensor
    share: Tensor
    status: Tensor
    steps: Tensor


@dataclass(eq=False, repr=False)
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
        chosen = keep.nonzero()[:, 0]
        return _Rows(*(getattr(self, part.name).index_select(0, chosen) for part in fields(self)))

    def __setitem__(self, slots: Tensor, others: _Rows) -> None:
        for part in fields(self):
            getattr(self, part.name)[slots] = getattr(others, part.name)


@dataclass(eq=False, repr=False)
class _Task:
    """What all rows share; see `levenberg_marquardt`."""

    function: Callable[[Tensor], Function]
    low: Tensor
    high: Tensor
    metric: Tensor
    free: Tensor | None
    aim: float
    steps: int
    room: Tensor
    trust: float


_FIRST_DAMPING = 0.3
_MOST_DAMPING = 1e8
_PACE = 30.0
"""How fast damping eases where the linear model holds; slower for a while where a step has failed."""

_CACHED = 2**21
"""How many slopes are at work together: more spend longer on each other's memory, fewer on each call of torch."""

_PATIENCE = 15
"""How many steps may pass without the cost falling by a hundredth before a search counts as stalled."""

_ROUNDABOUT = 3
"""How many guesses at the active set may pass without fewer wrong ones, before they are corrected one at a time."""
_SLOW = 4
"""Of how many steps in a row that do not halve the cost, the last may leap uphill."""

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
    trust: float = math.inf,
    alike: bool = False,
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
        at_once: how many rows are at work together: as one leaves the next one enters; as many as work
            fastest together if not given.
        trust: by how much the residuals may depart from what the linear model foresaw, as a share of the change that it
            foresaw; a step that departs by more is not taken but shortened. A small share follows a path from where the
            search begins; without one, any step that helps is taken.
        alike: whether the Jacobians of rows that are at the same point are the same: where all begin at one, the first
            is computed once.

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
    index = torch.arange(len(x), device=x.device)
    search = Search(x.clone(), torch.full_like(x[:, 0], math.inf), torch.full_like(index, Status.LIMIT), 0 * index)
    if at_once is None:
        at_once = max(1, _CACHED // (64 * x.shape[1] * function(index[:1])(x[:1])[0].shape[1])) * 64
    residual = torch.cat([_begin(function, search, part, aim) for part in index.split(at_once)])
    waiting = (search.status != Status.SOLVED).nonzero()[:, 0]
    free = None if free is None or bool(free.all()) else free
    # Memory that every step works in: to ask for it each time takes as long as the step.
    room = x.new_empty(2, len(filled(waiting[:at_once])), residual.shape[1], x.shape[1])
    task = _Task(function, low, high, metric, free, aim, steps, room, trust)
    first = None
    if alike and bool((x == x[:1]).all()):
        first = jacobian(function(index[:1]), x[:1])[2]
    rows, waiting = _fresh(search, residual, waiting[:at_once], task, first), waiting[at_once:]
    renew = torch.full_like(rows.index, first is None, dtype=torch.bool)
    while len(rows.index):
        _renew(rows, renew, task)
        done, renew = _step(rows, search, task)
        slots = done.nonzero()[: len(waiting), 0]
        if len(slots):
            entering, waiting = waiting[: len(slots)], waiting[len(slots) :]
            rows[slots] = _fresh(search, residual, entering, task, first)
            done[slots], renew[slots] = False, first is None
        if bool(done.any()):
            rows, renew = rows[~done], renew[~done]
    return search


def _begin(function: Callable[[Tensor], Function], search: Search, index: Tensor, aim: float) -> Tensor:
    """Measure rows where they stand; return their residuals."""
    residual, search.share[index] = function(index)(search.x[index])
    search.status[index[search.share[index] <= aim]] = Status.SOLVED
    return residual.detach()


def _fresh(search: Search, residual: Tensor, index: Tensor, task: _Task, first: Tensor | None) -> _Rows:
    """Return rows that have not moved yet, with the Jacobian that all have there; with none yet if not given."""
    x, residual = search.x[index], residual[index]
    cost = _cost(residual)
    if first is None:
        slopes = x.new_empty(*residual.shape, x.shape[1])
    else:
        slopes = first.expand(len(index), -1, -1) * (1.0 if task.free is None else task.free[index][:, None])
    return _Rows(
        index=index,
        x=x,
        residual=residual,
        cost=cost,
        damping=torch.full_like(cost, _FIRST_DAMPING),
        pace=torch.full_like(cost, _PACE),
        jacobian=slopes,
        stale=torch.zeros_like(cost, dtype=torch.bool),
        best=cost.clone(),
        since=torch.zeros_like(index),
        mark=cost.clone(),
        slow=torch.zeros_like(index),
    )


def _renew(rows: _Rows, renew: Tensor, task: _Task) -> None:
    """Compute the Jacobian of some rows where they now are."""
    some = renew.nonzero()[:, 0]
    if not len(some):
        return
    # Filled up here, where a copy more costs nothing, and not in each of many backward passes.
    some = filled(some)
    index = rows.index[some]
    _, _, slopes = jacobian(task.function(index), rows.x[some], out=task.room[0, : len(some)])
    if task.free is not None:
        # What has no slope never moves.
        slopes *= task.free[index][:, None]
    rows.jacobian[some] = slopes


def _step(rows: _Rows, search: Search, task: _Task) -> tuple[Tensor, Tensor]:
    """Try one step of every row; return which are done, and whose Jacobian no longer serves."""
    search.steps[rows.index] += 1
    leap = ~rows.stale & (rows.slow % _SLOW == _SLOW - 1)
    damping = torch.where(leap, _LEAP_DAMPING, rows.damping)
    step, settled = bounded_step(
        rows.jacobian,
        rows.residual,
        rows.x,
        task.low,
        task.high,
        task.metric,
        damping,
        passes=2,
        rough=rows.stale,
        room=task.room,
    )
    trial = _clip(rows.x + step, task.low, task.high)
    residual, share = task.function(rows.index)(trial)
    cost = _cost(residual)
    foreseen = rows.residual + forth(rows.jacobian, step)
    # Written so that a step of no length, which foresees no change, is believed.
    believed = ~((residual - foreseen).norm(dim=1) > task.trust * (rows.residual - foreseen).norm(dim=1))
    better = believed & (share < search.share[rows.index])
    search.x[rows.index[better]], search.share[rows.index[better]] = trial[better], share[better]

    predicted = rows.cost - _cost(foreseen)
    gain = (rows.cost - cost) / predicted.clamp(min=torch.finfo(cost.dtype).tiny)
    # At the kink of a ReLU the cost may have to rise before it falls: where the linear model sees the way out and
    # progress is slow, one step may go up.
    leapt = leap & (predicted > 0.5 * rows.cost) & (cost < _LEAP_COST * rows.cost)
    accepted = believed & cost.isfinite() & (((cost < rows.cost) & (gain > 1e-4)) | leapt)
    # A fresh Jacobian that promises nothing, or fails however short the step, is the end; a stale one is renewed.
    hopeless = ~rows.stale & ((settled & (predicted <= 1e-9 * rows.cost)) | (~accepted & (damping > _MOST_DAMPING)))
    solved = believed & ((share <= task.aim) | (cost == 0))

    # A Jacobian serves on where two more steps as good as this one would do.
    serves = share * cost <= task.aim * rows.cost
    renew = (accepted & ~serves) | (rows.stale & ~accepted)
    rows.damping, rows.pace = _damping(rows.damping, rows.pace, accepted, gain, rows.stale | leap)
    rows.x = torch.where(accepted[:, None], trial, rows.x)
    rows.residual = torch.where(accepted[:, None], residual, rows.residual)
    rows.cost = torch.where(accepted, cost, rows.cost)
    rows.stale = (rows.stale | accepted) & ~renew
    rows.best, rows.since = _clock(rows.best, rows.since, rows.cost < 0.99 * rows.best, rows.cost)
    rows.mark, rows.slow = _clock(rows.mark, rows.slow, (rows.cost < 0.5 * rows.mark) | leapt, rows.cost)

    stalled = hopeless | (rows.since >= _PATIENCE)
    search.status[rows.index[stalled & ~solved]] = Status.STALLED
    search.status[rows.index[solved]] = Status.SOLVED
    return solved | stalled | (search.steps[rows.index] >= task.steps), renew


def _clock(mark: Tensor, since: Tensor, reset: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
    """Start again from the present cost where told; elsewhere a step more has passed."""
    return torch.where(reset, cost, mark), torch.where(reset, 0, since + 1)


def _cost(residual: Tensor) -> Tensor:
    return residual.square().sum(1) / 2


def _damping(damping: Tensor, pace: Tensor, accepted: Tensor, gain: Tensor, bold: Tensor) -> tuple[Tensor, Tensor]:
    """Damp less where the linear model held, more where it did not; not where a bold step failed."""
    eased = (damping / pace).clamp(min=torch.finfo(damping.dtype).eps)
    # After the first failure in a while the right damping may be far above; after another it is near.
    raised = torch.where(pace >= _PACE, (damping * 10).clamp(min=1e-3), damping * (2 * pace).clamp(max=10.0))
    held = torch.where(gain > 0.75, eased, torch.where(gain < 0.25, raised, damping))
    failed = ~accepted & ~bold
    slower, faster = pace.sqrt().clamp(min=2.0), (1.5 * pace).clamp(max=_PACE)
    return (
        torch.where(accepted, held, torch.where(bold, damping, raised)),
        torch.where(failed, slower, torch.where(accepted, faster, pace)),
    )


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
    rough: Tensor | None = None,
    room: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
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
        rough: ``(rows,)`` of bool: where the first guess will do.
        room: ``(2, rows or more, m, n)``: memory to work in, overwritten; its own if not given.

    Returns:
        ``(rows, n)``, and ``(rows,)`` of bool: whether the guess repeated itself, so that the step is the minimum.

    Reference:
        Hintermueller, Ito and Kunisch, 2002, "The primal-dual active set strategy as a semismooth Newton method";
        Judice and Pires, 1994, "A block principal pivoting algorithm for large-scale strictly monotone linear
        complementarity problems" (the way out of circles).
    """
    least, most = low - x, high - x
    # A guess has 1 where a value sits on its upper bound, -1 where on its lower one, 0 where it is free: numbers, not
    # bools, because arithmetic on them is several times faster. What is on a bound and drawn outwards likely stays.
    drawn = -_back(slopes, residual).sign()
    guess = drawn - _clip(drawn, least.sign(), most.sign())
    fixed: Tensor | None = None
    level: Tensor | None = None
    step, settled = torch.empty_like(x), torch.zeros_like(x[:, 0], dtype=torch.bool)
    room = slopes.new_empty(2, *slopes.shape) if room is None else room
    active, part = torch.arange(len(x), device=x.device), slopes
    fewest, patience = torch.full_like(x[:, 0], math.inf), torch.full_like(active, _ROUNDABOUT)
    for last in range(passes - 1, -1, -1):
        free = 1 - guess.abs()
        wish, level = _damped(part, residual, free, fixed, metric, damping, level, room[0, : len(active)])
        inside = _clip(wish, least, most)
        step[active] = free * inside if fixed is None else free * inside + fixed
        side = (wish - inside).sign()
        # What leaves a bound becomes free before it can sit on the other one.
        side *= 1 + (side * guess).clamp(max=0)
        count = (side - guess).abs().sum(1)
        settled[active[count == 0]] = True
        changed = count != 0 if rough is None else (count != 0) & ~rough[active]
        if not last or not bool(changed.any()):
            break
        patience = torch.where(count < fewest, _ROUNDABOUT, patience - 1)
        fewest = torch.minimum(fewest, count)
        if bool((patience < 0).any()):
            # All guesses at once may go round in circles; one at a time, the last that is wrong, can't.
            wrong = (side != guess).cumsum(1)
            side = torch.where((patience < 0)[:, None] & (wrong < wrong[:, -1:]), guess, side)
        kept = changed.nonzero()[:, 0]
        active, residual, least, most, guess, fewest, patience, level = (
            # Several times faster than indexing.
            each.index_select(0, kept)
            for each in (active, residual, least, most, side, fewest, patience, level)
        )
        part = torch.index_select(slopes, 0, active, out=room[1, : len(active)])
        fixed = torch.where(guess > 0, most, torch.where(guess < 0, least, 0.0))
    return step, settled


def _clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, low), high)


def _damped(
    slopes: Tensor,
    residual: Tensor,
    free: Tensor,
    fixed: Tensor | None,
    metric: Tensor,
    damping: Tensor,
    level: Tensor | None,
    room: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return -metric J'w of the damped problem whose held values are fixed (at 0 if not given), and lambda.

    Lambda is the damping times the mean squared slope of what may move at first; it must not change with the guess.
    """
    _, m, n = slopes.shape
    left = residual if fixed is None else residual + forth(slopes, fixed)
    if m <= n:
        gram = _products(torch.mul(slopes, (free * metric)[:, None], out=room), slopes)
        level = _level(damping, gram, slopes, metric) if level is None else level
        duals = _solve(gram, left.double(), level).to(slopes.dtype)
        return -metric * _back(slopes, duals), level
    # With d = sqrt(metric) e the metric is the identity, and held values drop out by a zero.
    root = free * metric.sqrt()
    scaled = torch.mul(slopes, root[:, None], out=room)
    gram = (scaled.transpose(1, 2) @ scaled).double()
    level = _level(damping, gram, slopes, metric) if level is None else level
    step = -root * _solve(gram, _back(scaled, left).double(), level).to(slopes.dtype)
    duals = left + forth(slopes, step)
    pulled = -metric * _back(slopes, duals) / level[:, None].to(slopes.dtype).clamp(min=torch.finfo(slopes.dtype).tiny)
    return torch.where(free > 0, step, pulled), level


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


def _back(slopes: Tensor, duals: Tensor) -> Tensor:
    """Return J'w for each row; as a row vector times a matrix, which batched products do several times faster."""
    return (duals[:, None] @ slopes)[:, 0]


def _solve(gram: Tensor, right: Tensor, level: Tensor) -> Tensor:
    """Solve (G + level I) w = right for symmetric G >= 0; rows without any slope get zero."""
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
    return answer.nan_to_num()
