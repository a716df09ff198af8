"""Levenberg-Marquardt in a box, for a batch of independent least-squares problems that leave as they are solved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from genrev.rows import filled
from genrev.solvers.bounded import BoundedStep, bounded_step
from genrev.solvers.jacobian import Function, jacobian
from genrev.solvers.matrix_free import MatrixFree
from genrev.solvers.metric import LowRank, Metric, restrict
from genrev.solvers.search import Search, Status
from genrev.solvers.stored import Slopes, Stored

__all__ = ["Search", "Status", "levenberg_marquardt"]


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
class _Trial:
    """Where rows may go, and what is there: residuals, shares of the tolerance, costs."""

    x: Tensor
    residual: Tensor
    share: Tensor
    cost: Tensor

    def take(self, rows: Tensor, other: _Trial, chosen: Tensor) -> None:
        for part in fields(self):
            getattr(self, part.name)[rows] = getattr(other, part.name).index_select(0, chosen)


@dataclass(eq=False, repr=False)
class _Task:
    """What all rows share; see `levenberg_marquardt`."""

    function: Callable[[Tensor], Function]
    low: Tensor
    high: Tensor
    metric: Metric
    free: Tensor | None
    aim: float
    steps: int
    trust: float
    room: Tensor | None
    """Memory that every step works in: to ask for it each time takes as long as the step. None where no Jacobian is
    stored."""

    def slopes(self, rows: _Rows) -> Slopes:
        """Return the Jacobians of rows where they now are."""
        if self.room is None:
            return MatrixFree(self.function, rows.index, rows.x, self.metric, self.may(rows.index))
        return Stored(rows.jacobian, self.metric, self.room)

    def may(self, index: Tensor) -> Tensor | None:
        """Return which values of rows may move; None where all may."""
        return None if self.free is None else self.free[index]


_FIRST_DAMPING = 0.3
_MOST_DAMPING = 1e8
_PACE = 30.0
"""How fast damping eases where the linear model holds; slower for a while where a step has failed."""

_CACHED = 2**21
"""How many slopes are at work together: more spend longer on each other's memory, fewer on each call of torch."""

_CORRECTIONS = 4
_NEAR = 0.1
"""How often a step is corrected, and how little of the cost it must leave for that, unless progress is slow. To correct
all that leave less than before saves more time but goes farther from the start."""

_PATIENCE = 15
"""How many steps may pass without the cost falling by a hundredth before a search counts as stalled."""

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
    metric: Metric,
    free: Tensor | None = None,
    aim: float = 0.01,
    steps: int = 100,
    at_once: int | None = None,
    trust: float = math.inf,
    alike: bool = False,
    matrix_free: bool = False,
) -> Search:
    """Move every row the short way to a zero of its residual within the box, or as near as it gets.

    Each step solves the linearised problem with damping of its row's own and an active set for the box. One that brings
    a row near is corrected a few times by what the residuals then are, before the next Jacobian is computed.

    Args:
        function: from row numbers ``(k,)`` to the `Function` of those rows.
        x: ``(rows, n)``: where to begin, inside the box.
        low: ``(n,)``, -inf where unbounded.
        high: ``(n,)``, inf where unbounded.
        metric: ``(n,)``, positive: a step d costs sum(d^2 / metric); or the metric of values that move together.
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
        matrix_free: whether to work with products of the Jacobians alone, which are then never formed: for many
            residuals of many values. Where either are few its steps are those of stored Jacobians; else inexact ones,
            and a row that is within its tolerance ends as soon as one does not halve its distance.

    Returns:
        The best point of each row, by distance in the user's units.

    Reference:
        Levenberg, 1944, "A method for the solution of certain non-linear problems in least squares";
        Shamanskii, 1967, "A modification of Newton's method" (several steps with one Jacobian);
        Broyden, 1965, "A class of methods for solving nonlinear simultaneous equations" (how each corrects the next).

    Example:
        >>> def square_is_two(rows):
        ...     return lambda x: (x**2 - 2, (x**2 - 2).detach().abs()[:, 0] / 1e-3)
        >>> box = {"low": torch.tensor([0.0]), "high": torch.tensor([9.0]), "metric": torch.ones(1)}
        >>> round(float(levenberg_marquardt(square_is_two, torch.ones(1, 1), **box).x), 3)
        1.414
    """
    index = torch.arange(len(x), device=x.device)
    search = Search(x.clone(), torch.full_like(x[:, 0], math.inf), torch.full_like(index, Status.LIMIT), 0 * index)
    if at_once is None and matrix_free:
        at_once = max(1, len(x))
    elif at_once is None:
        at_once = max(1, _CACHED // (64 * x.shape[1] * function(index[:1])(x[:1])[0].shape[1])) * 64
    residual = torch.cat([_begin(function, search, part, aim) for part in index.split(at_once)])
    waiting = (search.status != Status.SOLVED).nonzero()[:, 0]
    free = None if free is None or bool(free.all()) else free
    room = None if matrix_free else x.new_empty(2, len(filled(waiting[:at_once])), residual.shape[1], x.shape[1])
    task = _Task(function, low, high, metric, free, aim, steps, trust, room)
    first = None
    if alike and room is not None and bool((x == x[:1]).all()):
        first = jacobian(function, index[:1], x[:1])[2]
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
    if task.room is None:
        slopes = x.new_empty(len(x), 0)
    elif first is None:
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
        best=cost.clone(),
        since=torch.zeros_like(index),
        mark=cost.clone(),
        slow=torch.zeros_like(index),
    )


def _renew(rows: _Rows, renew: Tensor, task: _Task) -> None:
    """Compute the Jacobian of some rows where they now are."""
    some = renew.nonzero()[:, 0]
    if task.room is None or not len(some):
        return
    # Filled up here, where a copy more costs nothing, and not in each of many backward passes.
    some = filled(some)
    index = rows.index[some]
    _, _, slopes = jacobian(task.function, index, rows.x[some], out=task.room[0, : len(some)])
    if task.free is not None:
        # What has no slope never moves.
        slopes *= task.free[index][:, None]
    rows.jacobian[some] = slopes


def _step(rows: _Rows, search: Search, task: _Task) -> tuple[Tensor, Tensor]:
    """Try one step of every row; return which are done, and whose Jacobian no longer serves."""
    search.steps[rows.index] += 1
    leap = rows.slow % _SLOW == _SLOW - 1
    damping = torch.where(leap, _LEAP_DAMPING, rows.damping)
    slopes, may = task.slopes(rows), task.may(rows.index)
    # In a diagonal metric what has no slope stays anyway.
    may = may.to(rows.x) if may is not None and isinstance(task.metric, LowRank) else None
    step = bounded_step(slopes, rows.residual, rows.x, task.low, task.high, damping, passes=2, may=may)
    trial = _try(task.function(rows.index), (rows.x + step.change).clamp(task.low, task.high))
    foreseen = rows.residual + slopes.forth(step.change)
    # Written so that a step of no length, which foresees no change, is believed.
    believed = ~((trial.residual - foreseen).norm(dim=1) > task.trust * (rows.residual - foreseen).norm(dim=1))
    near = trial.cost < torch.where(rows.slow >= _SLOW / 2, 1.0, _NEAR) * rows.cost
    _correct(trial, rows, step, slopes, believed & near & (trial.share > task.aim), task)
    share = search.share[rows.index]
    better = believed & (trial.share < share)
    search.x[rows.index[better]], search.share[rows.index[better]] = trial.x[better], trial.share[better]

    predicted = rows.cost - _cost(foreseen)
    gain = (rows.cost - trial.cost) / predicted.clamp(min=torch.finfo(damping.dtype).tiny)
    # At the kink of a ReLU the cost may have to rise before it falls: where the linear model sees the way out and
    # progress is slow, one step may go up.
    leapt = leap & (predicted > 0.5 * rows.cost) & (trial.cost < _LEAP_COST * rows.cost)
    accepted = believed & trial.cost.isfinite() & (((trial.cost < rows.cost) & (gain > 1e-4)) | leapt)
    # A Jacobian that promises nothing, or fails however short the step, is the end.
    hopeless = (step.settled & (predicted <= 1e-9 * rows.cost)) | (~accepted & (damping > _MOST_DAMPING))
    solved = believed & ((trial.share <= task.aim) | (trial.cost == 0))
    if not slopes.exact:
        # The last digits may be below what rounding leaves, and take the most products.
        solved |= (share <= 1) & (trial.share > 0.5 * share)

    rows.damping, rows.pace = _damping(rows.damping, rows.pace, accepted, gain, leap)
    rows.x = torch.where(accepted[:, None], trial.x, rows.x)
    rows.residual = torch.where(accepted[:, None], trial.residual, rows.residual)
    rows.cost = torch.where(accepted, trial.cost, rows.cost)
    rows.best, rows.since = _clock(rows.best, rows.since, rows.cost < 0.99 * rows.best, rows.cost)
    rows.mark, rows.slow = _clock(rows.mark, rows.slow, (rows.cost < 0.5 * rows.mark) | leapt, rows.cost)

    stalled = hopeless | (rows.since >= _PATIENCE)
    search.status[rows.index[stalled & ~solved]] = Status.STALLED
    search.status[rows.index[solved]] = Status.SOLVED
    return solved | stalled | (search.steps[rows.index] >= task.steps), accepted


def _try(function: Function, x: Tensor) -> _Trial:
    residual, share = function(x)
    return _Trial(x, residual, share, _cost(residual))


def _correct(trial: _Trial, rows: _Rows, step: BoundedStep, slopes: Slopes, which: Tensor, task: _Task) -> None:
    """Bring some trials nearer to their zeros, in place, by Broyden's method.

    Its unknowns are the duals w, as many as there are residuals, at x = clip(x - metric J'w), and it begins with what
    the step already solved with. So values come off their bounds and go onto them as w changes.
    """
    some = which.nonzero()[:, 0]
    if step.duals is None or step.factor is None or not len(some):
        return
    x, duals, residual = rows.x[some], step.duals[some], trial.residual[some].double()
    slopes = slopes.select(some)
    land = _landing(task, rows.index[some], x, step.change[some])
    inverse = torch.cholesky_inverse(step.factor[some])
    function = task.function(rows.index[some])
    for _ in range(_CORRECTIONS):
        # Where there is no factor nothing changes.
        change = (inverse @ residual[..., None])[..., 0].nan_to_num(0.0, 0.0, 0.0)
        other = _try(function, land(slopes.back((duals + change).to(x.dtype))).clamp(task.low, task.high))
        found = other.residual.double()
        answer = (inverse @ (residual - found)[..., None])[..., 0]
        extent = (change * answer).sum(1)
        usable = extent > 0.1 * change.square().sum(1)
        excess = torch.where(usable[:, None], (change - answer) / extent[:, None], 0.0)
        inverse = torch.baddbmm(inverse, excess[..., None], change[:, None] @ inverse)
        nearer = (trial.share[some] > task.aim) & (other.cost < trial.cost[some])
        duals = torch.where(nearer[:, None], duals + change, duals)
        residual = torch.where(nearer[:, None], found, residual)
        nearer = nearer.nonzero()[:, 0]
        trial.take(some[nearer], other, nearer)


def _landing(task: _Task, index: Tensor, x: Tensor, change: Tensor) -> Callable[[Tensor], Tensor]:
    """Return where a pull J'w leads from x; in a metric of correlated values, with those held that the step held."""
    metric = task.metric
    if not isinstance(metric, LowRank):
        return lambda pull: torch.addcmul(x, metric, pull, value=-1)
    inside = (x + change > task.low) & (x + change < task.high)
    may = task.may(index)
    inside = inside if may is None else inside & may
    fixed = torch.where(inside, 0.0, change)
    held = restrict(metric, inside.to(x), fixed)
    begin = x + (fixed if held.at is None else held.at)
    return lambda pull: begin - held.apply(pull)


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
