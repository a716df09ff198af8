"""L-BFGS in a box, for a batch of independent least-squares problems that stop each by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from genrev.solvers.jacobian import Function
from genrev.solvers.objective import Point, Preference, measure
from genrev.solvers.search import Search, Status

MEMORY = 8
"""How many of its last steps a row remembers."""

_ENOUGH = 1e-4
"""What share of the decrease that the slope foresees a step must bring (Armijo's condition)."""

_FLAT = 1e-9
_FLATS = 5
"""After how many steps in a row that lower the cost by less than this share a row has stalled."""

_SHORTEST = 1e-10
"""The share of a step below which none is tried any more."""

_LONGEST = 10.0
"""The greatest change of one step, in units of the scale: what a slope says does not hold farther."""

_FADE = 0.1
_STAGES = 4
"""A preference's weight falls to this share so many times, and then to zero."""

_SLOW = 1e-2
"""A step that lowers the objective by less than this share ends a stage."""


@dataclass(eq=False, repr=False)
class _Rows:
    """The rows still at work. All fields are shortened together.

    Args:
        index: ``(rows,)``.
        x: ``(rows, n)``.
        point: what was measured there.
        direction: ``(rows, n)``: where to go next.
        length: ``(rows,)``: how far, as a share of it.
        moves: ``(rows, memory, n)``: the last steps, in units of the scale; zeros where there is none.
        turns: ``(rows, memory, n)``: how the slope changed over them.
        flat: ``(rows,)``: how many steps in a row changed next to nothing.
        stage: ``(rows,)``: how often the preference's weight has fallen.
        since: ``(rows,)``: the step at which it last did.
    """

    index: Tensor
    x: Tensor
    point: Point
    direction: Tensor
    length: Tensor
    moves: Tensor
    turns: Tensor
    flat: Tensor
    stage: Tensor
    since: Tensor

    def __getitem__(self, keep: Tensor) -> _Rows:
        return _Rows(*(getattr(self, part.name)[keep] for part in fields(self)))

    @property
    def level(self) -> Tensor:
        """The preference's present weight, ``(rows,)``."""
        return torch.where(self.stage < _STAGES, _FADE ** self.stage.to(self.x.dtype), 0.0)

    def value(self, point: Point) -> Tensor:
        """Return what is minimised, ``(rows,)``."""
        return point.cost + self.level * point.penalty

    def slope(self, point: Point) -> Tensor:
        """Return its gradient, ``(rows, n)``."""
        return point.slope + self.level[:, None] * point.drift


@dataclass(eq=False, repr=False)
class _Task:
    """What all rows share; see `lbfgs`."""

    function: Callable[[Tensor], Function]
    low: Tensor
    high: Tensor
    scale: Tensor
    free: Tensor | None
    preference: Preference | None
    rate: float
    aim: float
    steps: int


def lbfgs(
    function: Callable[[Tensor], Function],
    x: Tensor,
    *,
    low: Tensor,
    high: Tensor,
    scale: Tensor,
    free: Tensor | None = None,
    preference: Preference | None = None,
    rate: float = 0.1,
    aim: float = 0.01,
    steps: int = 1000,
) -> Search:
    """Minimise each row's squared residual by a quasi-Newton method of limited memory, projected into the box.

    Values that are on a bound and drawn outwards rest; the others follow the two-loop recursion over what the last
    steps say of them, along the box. All rows try one step at a time, each of its own length.

    A preference is added to what is minimised. Its weight falls in stages, each row's where it makes no more headway,
    and at last to zero, so that it chooses among the points that solve a row, and keeps none from being solved.

    Args:
        function: from row numbers ``(k,)`` to the `Function` of those rows.
        x: ``(rows, n)``: where to begin, inside the box.
        low: ``(n,)``, -inf where unbounded.
        high: ``(n,)``, inf where unbounded.
        scale: ``(n,)``, positive: the size of a large step of each value.
        free: ``(rows, n)`` of bool: which values may move; all if not given.
        preference: what rows dislike beside their residual; nothing if not given.
        rate: the greatest change of the first step, as a share of the scale.
        aim: the share of the tolerance at which a row is solved.
        steps: how many steps to try at most; each is one evaluation of the function and its gradient.

    Returns:
        The best point of each row, by distance in the user's units; with a preference, of a row that is solved, the
        first that does so without its weight.

    Reference:
        Liu and Nocedal, 1989, "On the limited memory BFGS method for large scale optimization"; Bertsekas, 1982,
        "Projected Newton methods for optimization problems with simple constraints".

    Example:
        >>> def square_is_two(rows):
        ...     return lambda x: (x**2 - 2, (x**2 - 2).detach().abs()[:, 0] / 1e-3)
        >>> box = {"low": torch.tensor([0.0]), "high": torch.tensor([9.0]), "scale": torch.ones(1)}
        >>> round(float(lbfgs(square_is_two, torch.ones(1, 1), **box).x), 3)
        1.414
    """
    task = _Task(function, low, high, scale, free, preference, rate, aim, steps)
    index = torch.arange(len(x), device=x.device)
    search = Search(
        x.clone(), torch.full_like(x[:, 0], math.inf), torch.full_like(index, Status.LIMIT), torch.zeros_like(index)
    )
    point = measure(function(index), x, index, preference)
    past = x.new_zeros(len(x), MEMORY, x.shape[1])
    none = torch.zeros_like(index)
    stage = none + (_STAGES if preference is None or steps == 0 else 0)
    if free is not None:
        # What can't move at all has no use for a preference.
        stage = torch.where(free.any(1), stage, _STAGES)
    rows = _Rows(index, x, point, x, torch.ones_like(point.cost), past, past.clone(), none, stage, none.clone())
    still = _turn(rows, torch.ones_like(point.share, dtype=torch.bool), task, 0) & (stage == _STAGES)
    rows = _leave(rows, search, _note(rows, search, x, point, task), still | ~rows.value(point).isfinite())
    for step in range(1, steps + 1):
        if not len(rows.index):
            break
        search.steps[rows.index] = step
        done, stalled = _step(rows, search, task, step)
        rows = _leave(rows, search, done, stalled)
    return search


def _step(rows: _Rows, search: Search, task: _Task, step: int) -> tuple[Tensor, Tensor]:
    """Try one step of every row; return which are solved, and which can get no further."""
    x = torch.minimum(torch.maximum(rows.x + rows.length[:, None] * rows.direction, task.low), task.high)
    trial = measure(task.function(rows.index), x, rows.index, task.preference)
    done = _note(rows, search, x, trial, task)
    move, slope = x - rows.x, rows.slope(rows.point)
    before, after, foreseen = rows.value(rows.point), rows.value(trial), (slope * move).sum(1)
    taken = (foreseen < 0) & (after <= before + _ENOUGH * foreseen)
    # One place for all rows: where a row does not move it forgets an old step for nothing, which is rare.
    place = step % MEMORY
    rows.moves[:, place] = torch.where(taken[:, None], move / task.scale, 0.0)
    rows.turns[:, place] = torch.where(taken[:, None], (rows.slope(trial) - slope) * task.scale, 0.0)
    rows.x = torch.where(taken[:, None], x, rows.x)
    rows.point.take(taken, trial)

    gain = torch.where(taken, (before - after) / before.clamp(min=torch.finfo(x.dtype).tiny), 1.0)
    flat = gain <= max(_FLAT, 10 * torch.finfo(x.dtype).eps)
    rows.flat = torch.where(flat, rows.flat + 1, torch.where(taken, 0, rows.flat))
    rows.length = torch.where(taken, 1.0, rows.length * _shorter(before, after, foreseen))
    lost, known = rows.length < _SHORTEST, (rows.moves != 0).flatten(1).any(1)
    ended = (lost & ~known) | (rows.flat >= _FLATS) | (rows.direction == 0).all(1)
    late = step - rows.since >= max(1, task.steps // (2 * _STAGES))
    next_ = (rows.stage < _STAGES) & (ended | late | (gain < _SLOW))
    rows.stage, rows.since = rows.stage + next_.long(), torch.where(next_, step, rows.since)
    # Where no step of a direction helps what was remembered misleads, as where another weight bends the slopes.
    anew = lost | next_
    rows.moves[anew], rows.turns[anew], rows.flat[anew], rows.length[anew] = 0.0, 0.0, 0, 1.0
    still = _turn(rows, taken | anew, task, step)
    return done, (rows.stage == _STAGES) & (still | (ended & ~next_))


def _turn(rows: _Rows, which: Tensor, task: _Task, step: int) -> Tensor:
    """Give some rows a new direction; return which have none left."""
    slope = rows.slope(rows.point) * task.scale
    resting = ((rows.x <= task.low) & (slope > 0)) | ((rows.x >= task.high) & (slope < 0))
    if task.free is not None:
        resting = resting | ~task.free[rows.index]
    pull = slope.masked_fill(resting, 0.0)
    # What rests has no part in how the slope turns for the others.
    turns = rows.turns.masked_fill(resting[:, None], 0.0)
    inner, squares = (rows.moves * turns).sum(2), turns.square().sum(2)
    tiny = torch.finfo(slope.dtype).tiny
    usable = inner > torch.finfo(slope.dtype).eps * (squares * rows.moves.square().sum(2)).sqrt()
    weight = torch.where(usable, 1 / inner.clamp(min=tiny), 0.0)
    places = [(step - age) % MEMORY for age in range(MEMORY)]

    back, parts = pull.clone(), {}
    for place in places:
        parts[place] = weight[:, place] * (rows.moves[:, place] * back).sum(1)
        back = back - parts[place][:, None] * turns[:, place]
    newest = usable[:, places].to(torch.int8).argmax(1, keepdim=True)
    size = (inner / squares.clamp(min=tiny))[:, places].gather(1, newest)
    back = size * back
    for place in reversed(places):
        part = parts[place] - weight[:, place] * (turns[:, place] * back).sum(1)
        back = back + part[:, None] * rows.moves[:, place]

    # Of a first step nothing tells the length: at most the one to where the cost would be zero on a straight line.
    greatest = pull.abs().amax(1).clamp(min=tiny)
    first = torch.minimum(task.rate / greatest, 2 * rows.value(rows.point) / pull.square().sum(1).clamp(min=tiny))
    back = torch.where(usable.any(1)[:, None], back, first[:, None] * pull).masked_fill(resting, 0.0)
    back = back * (_LONGEST / back.abs().amax(1, keepdim=True).clamp(min=tiny)).clamp(max=1.0)
    rows.direction = torch.where(which[:, None], -back * task.scale, rows.direction)
    return which & (pull == 0).all(1)


def _shorter(before: Tensor, after: Tensor, foreseen: Tensor) -> Tensor:
    """Return by how much to shorten a step: to the least value of the parabola through what is known of it."""
    share = -foreseen / (2 * (after - before - foreseen))
    return share.nan_to_num(0.1, 0.1, 0.1).clamp(0.1, 0.5)


def _note(rows: _Rows, search: Search, x: Tensor, point: Point, task: _Task) -> Tensor:
    """Keep what is nearest to the target; return which rows are solved."""
    done = (point.share <= task.aim) & (rows.stage == _STAGES)
    better = (point.share < search.share[rows.index]) | done
    search.x[rows.index[better]], search.share[rows.index[better]] = x[better], point.share[better]
    return done


def _leave(rows: _Rows, search: Search, done: Tensor, stalled: Tensor) -> _Rows:
    """Return the rows that go on."""
    search.status[rows.index[stalled]], search.status[rows.index[done]] = Status.STALLED, Status.SOLVED
    keep = ~(done | stalled)
    return rows if bool(keep.all()) else rows[keep]
