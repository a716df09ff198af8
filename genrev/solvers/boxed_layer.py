"""One layer's equation W x + b = a, softened: in a box, near a centre, with values a that are points or intervals."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

_ITERATIONS = 100
"""Of the alternating directions, at most: what they leave is small, and the exact steps settle it."""

_CHECK = 10
"""Every how many iterations rows are looked at."""

_CLOSE = 1e-7
"""How near rows must be, relative to their size, to stop early: which values are held is known by then."""

_RELAXED = 1.6
"""How far beyond the last point an iteration goes."""

_GUESSES = 30
"""How many guesses at what is held may be made, at most."""

_ROUNDABOUT = 3
"""How many of them may pass without fewer wrong ones, before they are corrected one at a time."""

_MEMORY = 2**28
"""Bytes that the systems of the rows that are solved at once may take."""


class Asked(NamedTuple):
    """What is asked of a layer, row by row.

    Args:
        least: ``(rows, m)``: what W x + b is asked to be at least; -inf where it may be anything.
        most: ``(rows, m)``: what it is asked to be at most.
        slack: ``(rows, m)``, above 0: how far it may typically miss that.
        centre: ``(rows, n)``: what x is to be near.
        low: ``(rows, n)``: the box of x, -inf where there is none.
        high: likewise.
    """

    least: Tensor
    most: Tensor
    slack: Tensor
    centre: Tensor
    low: Tensor
    high: Tensor

    def rows(self, chosen: Tensor) -> Asked:
        """Return some of the rows.

        Args:
            chosen: their numbers.
        """
        return Asked(*(each[chosen] for each in self))


class BoxedLayer:
    """Minimises |(W x + b - a) / s|^2 + (x - c)'P(x - c) over x in a box, and over a between its bounds.

    So a layer that can't give what is asked of it misses it, and its inputs stay where they can be. Alternating
    directions come near the minimum, by one factor of the layer for all rows, penalties and slacks; which values are
    held by a bound is then known, or nearly, and a primal-dual active set ends it exactly.

    Args:
        weight: ``(m, n)``: W, in double precision.
        bias: ``(m,)``: b.
        precision: ``(n, n)``: P, positive definite.

    Reference:
        Boyd, Parikh, Chu, Peleato and Eckstein, 2011, "Distributed optimization and statistical learning via the
        alternating direction method of multipliers"; Stellato, Banjac, Goulart, Bemporad and Boyd, 2020, "OSQP: an
        operator splitting solver for quadratic programs" (relaxation and penalties); Judice and Pires, 1994, "A block
        principal pivoting algorithm for large-scale strictly monotone linear complementarity problems".

    Example:
        >>> eye = torch.eye(2, dtype=torch.float64)
        >>> layer = BoxedLayer(eye, torch.zeros(2, dtype=torch.float64), eye)
        >>> goal, none = torch.tensor([[0.5, 7.0]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
        >>> layer.nearest(Asked(goal, goal, none + 1e-3, none, none, none + 1)).round(decimals=3).tolist()
        [[0.5, 1.0]]
    """

    def __init__(self, weight: Tensor, bias: Tensor, precision: Tensor) -> None:
        self.weight, self.bias, self.precision = weight, bias, precision

    def nearest(self, asked: Asked) -> Tensor:
        """Return the minimum of each row, ``(rows, n)``.

        Args:
            asked: of the layer.
        """
        # Often no input comes to a bound; then which values are beyond what is asked shows at the centre, or nearly.
        first = _beyond(asked.centre @ self.weight.T + self.bias, asked.least, asked.most)
        x, settled = self._pivot(asked, torch.cat([torch.zeros_like(asked.centre), first], 1), 2)
        rows = settled.logical_not().nonzero()[:, 0]
        if len(rows):
            rest = asked.rows(rows)
            x[rows], _ = self._pivot(rest, self._alternate(rest), _GUESSES)
        return x

    def miss(self, x: Tensor, least: Tensor, most: Tensor) -> Tensor:
        """Return how far W x + b is from what is asked, ``(rows, m)``.

        Args:
            x: ``(rows, n)``.
            least: ``(rows, m)``: what it is asked to be at least, as in `Asked`.
            most: ``(rows, m)``.
        """
        values = x @ self.weight.T + self.bias
        return values - torch.minimum(torch.maximum(values, least), most)

    @cached_property
    def _units(self) -> tuple[Tensor, Tensor]:
        """Typical sizes of the inputs, and of W x."""
        deviation = self.precision.diagonal().rsqrt()
        size = (self.weight * deviation).square().sum(1).sqrt()
        return deviation, torch.where(size > 0, size, 1.0)

    @cached_property
    def _scaled(self) -> Tensor:
        """``(n, m)``: the transposed weights in these units."""
        deviation, size = self._units
        return (self.weight * deviation / size[:, None]).T.contiguous()

    @cached_property
    def _modes(self) -> tuple[Tensor, Tensor]:
        """What diagonalises the prior and the splitting at once, so that one factor serves every penalty."""
        deviation, _ = self._units
        own = torch.linalg.cholesky(torch.eye(len(deviation)).to(self.weight) + self._scaled @ self._scaled.T)
        half = torch.linalg.solve_triangular(own, deviation[:, None] * self.precision * deviation, upper=False)
        values, vectors = torch.linalg.eigh(torch.linalg.solve_triangular(own, half.T, upper=False))
        # Rounding may leave the smallest below zero.
        return values.clamp(min=0), torch.linalg.solve_triangular(own.T, vectors, upper=True)

    @cached_property
    def _covariance(self) -> Tensor:
        """``(m + n, m + n)``: of W x and x, by the prior alone."""
        inputs = torch.cholesky_inverse(torch.linalg.cholesky(self.precision))
        both = torch.cat([self.weight, torch.eye(len(inputs)).to(inputs)])
        return both @ inputs @ both.T

    def _alternate(self, asked: Asked) -> Tensor:
        """Return on which side values are held near the minimum: see `_pivot`.

        Inputs and W x are split from what holds them: of each the nearest that its own term allows is a closed form.
        """
        (deviation, size), (values, vectors) = self._units, self._modes
        n = len(deviation)
        least, most = ((bound - self.bias) / size for bound in (asked.least, asked.most))
        low, high = asked.low / deviation, asked.high / deviation
        goal = asked.centre @ self.precision * deviation
        sharp = (size / asked.slack).square()
        split = torch.cat([asked.centre / deviation, asked.centre @ self.weight.T / size], 1)
        force, penalty = torch.zeros_like(split), torch.ones_like(split[:, :1])
        side = torch.zeros_like(split)
        rows = torch.arange(len(goal), device=goal.device)
        for iteration in range(1, _ITERATIONS + 1):
            pushed = penalty * split - force
            right = goal + pushed[:, :n] + pushed[:, n:] @ self._scaled.T
            x = (right @ vectors / (values + penalty)) @ vectors.T
            now = torch.cat([x, x @ self._scaled], 1)
            both = torch.lerp(split, now, _RELAXED)
            ahead = both + force / penalty
            between = torch.minimum(torch.maximum(ahead[:, n:], least), most)
            soft = torch.lerp(between, ahead[:, n:], penalty / (penalty + sharp))
            moved = torch.cat([ahead[:, :n].clamp(low, high), soft], 1)
            force, before, split = force + penalty * (both - moved), split, moved
            if iteration % _CHECK and iteration < _ITERATIONS:
                continue
            primal, dual = _share(now - split, split), _share(penalty * (split - before), force)
            side[rows] = torch.cat([_held(split[:, :n], force[:, :n], low, high), _beyond(now[:, n:], least, most)], 1)
            going = ((primal > _CLOSE) | (dual > _CLOSE)).nonzero()[:, 0]
            if len(going) == 0:
                break
            # The two are to fall together.
            ratio = (primal / dual.clamp(min=1e-300)).sqrt().clamp(0.2, 5)[:, None]
            penalty = torch.where((ratio > 2) | (ratio < 0.5), penalty * ratio, penalty).clamp(1e-6, 1e8)
            rows, goal, split, force, penalty, least, most, low, high, sharp = (
                each[going] for each in (rows, goal, split, force, penalty, least, most, low, high, sharp)
            )
        return side

    def _pivot(self, asked: Asked, side: Tensor, guesses: int) -> tuple[Tensor, Tensor]:
        """Return the exact minimum by guesses at what is held, and in which rows it was found.

        Args:
            asked: of the layer.
            side: ``(rows, n + m)``: of an input 1 where it sits on its upper bound, -1 where on its lower one; of a
                value of W x + b 1 where it is beyond the most that is asked, -1 where below the least; 0 for neither.
            guesses: how many to make at most.
        """
        n = asked.centre.shape[1]
        found, settled = asked.centre.clone(), torch.zeros_like(asked.centre[:, 0], dtype=torch.bool)
        rows = torch.arange(len(found), device=found.device)
        fewest, patience = torch.full_like(rows, side.shape[1] + 1), torch.full_like(rows, _ROUNDABOUT)
        for _ in range(guesses):
            # What has no room is held, on whichever side.
            tight = torch.cat([asked.low == asked.high, asked.least == asked.most], 1)
            side = torch.where(tight & (side == 0), 1.0, side)
            x, pull = self._given(asked, side)
            values = x @ self.weight.T + self.bias
            size = 1e-10 * (1 + x.abs().amax(1, keepdim=True))
            out = (x > asked.high + size).to(x) - (x < asked.low - size).to(x)
            leaves = side[:, :n] * pull < -1e-10 * (1 + pull.abs().amax(1, keepdim=True))
            inputs = torch.where(side[:, :n] == 0, out, torch.where(leaves, 0.0, side[:, :n]))
            right = torch.cat([inputs, _beyond(values, asked.least, asked.most, 1e-10 * (1 + values.abs()))], 1)
            # At its bound to rounding, a value is on either side of it.
            edge = torch.minimum((values - asked.least).abs(), (values - asked.most).abs()) <= 1e-9 * (1 + values.abs())
            right[:, n:] = torch.where(edge, side[:, n:], right[:, n:])
            wrong = (right != side) & ~tight
            count = wrong.sum(1)
            # What is not the minimum is still the best that is known.
            found[rows] = torch.where(side[:, :n] == 0, x.clamp(asked.low, asked.high), x)
            settled[rows] = count == 0
            going = (count > 0).nonzero()[:, 0]
            if len(going) == 0:
                break
            patience = torch.where(count < fewest, _ROUNDABOUT, patience - 1)
            fewest = torch.minimum(fewest, count)
            # All guesses at once may go round in circles; one at a time, the last that is wrong, can't.
            last = wrong & (wrong.flip(1).cumsum(1).flip(1) == 1)
            side = torch.where(torch.where((patience < 0)[:, None], last, wrong), right, side)
            asked, (rows, side, fewest, patience) = (
                asked.rows(going),
                (each[going] for each in (rows, side, fewest, patience)),
            )
        return found, settled

    def _given(self, asked: Asked, side: Tensor) -> tuple[Tensor, Tensor]:
        """Return the minimum where it is known what is held, and the pull on each input, 0 on those that are free."""
        n = asked.centre.shape[1]
        on, beyond = side[:, :n], side[:, n:]
        held = torch.where(on > 0, asked.high, torch.where(on < 0, asked.low, 0.0))
        goal = torch.where(beyond > 0, asked.most, torch.where(beyond < 0, asked.least, 0.0)) - self.bias
        x, pull = torch.empty_like(held), torch.empty_like(held)
        free = (on == 0).sum(1).double()
        bound = n - free + (beyond != 0).sum(1)
        by_forces = bound**3 < free**3 + 3 * len(self.weight) * free**2
        for rows, way in ((by_forces, self._by_forces), (~by_forces, self._by_places)):
            if bool(rows.any()):
                x[rows], pull[rows] = way(asked.rows(rows), on[rows] != 0, held[rows], beyond[rows] != 0, goal[rows])
        return x, pull

    def _by_forces(self, asked: Asked, on: Tensor, held: Tensor, beyond: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Solve for the forces on what is held, of which there are few."""
        m = len(self.weight)
        bound = torch.cat([beyond, on], 1)
        gap = torch.cat([goal - asked.centre @ self.weight.T, held - asked.centre], 1)
        soft = torch.cat([asked.slack.square(), torch.zeros_like(held)], 1)
        force = torch.zeros_like(gap)
        for rows, places, real in _gathered(bound, 0):
            system = self._covariance[places[:, :, None], places[:, None, :]]
            system.diagonal(dim1=1, dim2=2).add_(soft[rows].gather(1, places))
            force[rows] = force[rows].scatter_add(1, places, _solved(system, gap[rows].gather(1, places), real))
        x = asked.centre + force @ self._covariance[:, m:]
        return torch.where(on, held, x), -force[:, m:]

    def _by_places(self, asked: Asked, on: Tensor, held: Tensor, beyond: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Solve for the inputs that are free, of which there are few."""
        sharp = torch.where(beyond, asked.slack.square().reciprocal(), 0.0)

        def pull(x: Tensor) -> Tensor:
            return (asked.centre - x) @ self.precision + (sharp * (goal - x @ self.weight.T)) @ self.weight

        x, back = torch.where(on, held, 0.0), self.weight.T.contiguous()
        force = pull(x)
        for rows, places, real in _gathered(~on, len(self.weight)):
            part = back[places]
            system = self.precision[places[:, :, None], places[:, None, :]]
            system = torch.baddbmm(system, part * sharp[rows, None, :], part.mT)
            x[rows] = x[rows].scatter_add(1, places, _solved(system, force[rows].gather(1, places), real))
        return x, torch.where(on, pull(x), 0.0)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Return the greatest value relative to another greatest, ``(rows,)``."""
    return part.abs().amax(1) / whole.abs().amax(1).clamp(min=1e-300)


def _held(x: Tensor, force: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return 1 where an upper bound holds a value, -1 where a lower one does, else 0."""
    return ((x >= high) & (force > 0)).to(x) - ((x <= low) & (force < 0)).to(x)


def _beyond(values: Tensor, least: Tensor, most: Tensor, slack: Tensor | float = 0.0) -> Tensor:
    """Return 1 where a value is above what is asked, -1 where below, else 0."""
    return (values > most + slack).to(values) - (values < least - slack).to(values)


def _gathered(marked: Tensor, m: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Give rows together that fit the memory bound, the places that are marked in each, and which of those are real.

    Rows with about as many come together; places are filled up to the longest list.
    """
    counts = marked.sum(1)
    order, widest = counts.argsort(), max(1, int(counts.max()))
    for rows in order.split(max(1, _MEMORY // (8 * widest * (3 * widest + 2 * m)))):
        width = int(counts[rows].max())
        if width:
            places = marked[rows].to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :width]
            yield rows, places, torch.arange(width, device=marked.device) < counts[rows, None]


def _solved(system: Tensor, wanted: Tensor, real: Tensor) -> Tensor:
    """Solve one positive definite system a row, ``(rows, k)``; where places are not real, the result is 0."""
    system = torch.where(real[:, :, None] & real[:, None, :], system, 0.0)
    system.diagonal(dim1=1, dim2=2).add_((~real).to(system))
    factor, _ = torch.linalg.cholesky_ex(system)
    return torch.cholesky_solve(torch.where(real, wanted, 0.0)[..., None], factor)[..., 0]
