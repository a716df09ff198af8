"""Least squares behind an activation: the x whose s(W x + c) comes nearest to given values, for a batch of rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrev.layers import inverse
from genrev.rows import rowwise

_ROUNDS = 12
"""How often the weights of the values are renewed at most, where no input gives them all."""

_GUESSES, _PATIENCE = 200, 5
"""How often it is guessed which bounds hold at most, and how often without fewer wrong ones before one is corrected at
a time."""

_RIDGE = 1e-4
"""What a unit of x counts while bounds are guessed, as a share of the largest singular value."""

_SHORT = 1e-7
"""The least diagonal entry of a triangular factor, as a share of the largest, by which it is divided."""

_ROUNDING = 32
"""How many times the rounding of a value may be left between it and what is asked."""


class ActivatedLayer:
    """The layer s(W x + c), prepared for being asked which x gives its values.

    Where W can give every combination, x is W+ (s^-1(h) - c), the shortest of the inputs that do. Else the equation has
    more values than unknowns, and a pseudo-inverse is right only as long as rounding is: a saturated value says next to
    nothing of x, but its s^-1 has lost most digits. So each value then counts by its slope, which makes the distance
    one of the values themselves; the slopes are those of the chord from what x gives to what is asked, renewed while
    that brings them nearer.

    Zero behind a ReLU asks for a half-line. Where W gives every combination its end is taken, 0; else it is an
    inequality, and x is the shortest of the inputs that break it least.

    Args:
        weight: W, ``(values, inputs)``.
        activation: s: a module with a registered inverse, one value from each.
        positive: whether x is to be 0 or more, as what a ReLU gives is.

    Reference:
        Portugal, Judice and Vicente, 1994, "A comparison of block pivoting and interior-point algorithms for linear
        least squares problems with nonnegative variables".

    Example:
        >>> layer = ActivatedLayer(torch.tensor([[2.0], [1.0]]), nn.ReLU())
        >>> layer(torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, -5.0]]).double())[0].tolist()
        [[1.0]]
    """

    def __init__(self, weight: Tensor, activation: nn.Module, *, positive: bool = False) -> None:
        self.dtype, self.activation, self._positive = weight.dtype, activation, positive
        self._weight = weight.detach().double()
        left, singular, right = torch.linalg.svd(self._weight, full_matrices=False)
        # What is below the weights' own rounding is rounding.
        kept = singular > max(weight.shape) * torch.finfo(weight.dtype).eps * singular.amax()
        self._back = (right.T * torch.where(kept, 1 / singular, 0.0)) @ left.T
        self.rank = int(kept.sum())
        self.onto = self.rank == len(weight)
        self._undo = inverse(activation, (len(weight),))
        self._size = float(singular.amax())

    def __call__(self, values: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs, and where a value is none that s can give.

        Args:
            values: ``(rows, values)``: h, NaN where any will do.
            offset: ``(rows, values)``, double precision: c.

        Returns:
            ``(rows, inputs)`` in double precision, and ``(rows, values)`` of bool.
        """
        asked = ~values.isnan()
        known = values.nan_to_num(0.5)
        # Which values are beyond its range is a matter of the layer's own precision; s^-1 of the others is not.
        preimage = self._undo(known.to(self.dtype))
        goal = torch.where(preimage.clamped, preimage.x.double(), self._undo(known.double()).x)
        wanted = _Wanted(
            torch.where(asked, self.activation(goal), torch.nan),
            goal - offset,
            offset,
            preimage.box.low.isinf() & asked,
        )
        x = rowwise(lambda rows: rows @ self._back.T, wanted.goal)
        x[~asked.any(1)] = 0.0
        slack = _ROUNDING * torch.finfo(self.dtype).eps * values.nan_to_num(0.0).abs().amax(1).clamp(min=1.0)
        done = (asked.all(1) & (self._misfit(x, wanted) <= slack)) | ~asked.any(1)
        if self.onto:
            done |= asked.all(1)
        if self._positive:
            done &= (x >= 0).all(1)
        # The plain formula read what is free as a value.
        x = x.where(asked.all(1, keepdim=True), 0.0)
        bent = wanted.half_line.any(1) | self._positive
        for solve, which in ((self._weighted, ~done & ~bent), (self._one_sided, ~done & bent)):
            left = which.nonzero()[:, 0]
            if len(left):
                x[left] = solve(x[left], wanted[left], slack[left])
        return x, preimage.clamped & asked

    def _misfit(self, x: Tensor, wanted: _Wanted) -> Tensor:
        """Return the distance of what x gives to what is asked, ``(rows,)``."""
        given = self.activation(rowwise(lambda rows: rows @ self._weight.T, x) + wanted.offset)
        misfit = (given - wanted.nearest).nan_to_num(0.0).norm(dim=1)
        return misfit.hypot(x.clamp(max=0.0).norm(dim=1)) if self._positive else misfit

    def _weighted(self, plain: Tensor, wanted: _Wanted, slack: Tensor) -> Tensor:
        """Return inputs for rows whose values can't all be had, or are not all asked, each value by its slope."""
        best, least = plain, self._misfit(plain, wanted)
        given = rowwise(lambda rows: rows @ self._weight.T, best)
        rows = torch.arange(len(plain), device=plain.device)
        for tried in range(_ROUNDS):
            weight = self._chord(given, wanted[rows])
            x = _least_squares(self._weight, weight, wanted.goal[rows])
            misfit = self._misfit(x, wanted[rows])
            better = misfit < least[rows]
            # The first chords may come from far away.
            on = (misfit < (1 - 1e-3) * least[rows]) | (tried < 2)
            best[rows[better]], least[rows[better]] = x[better], misfit[better]
            on &= least[rows] > slack[rows]
            rows = rows[on]
            if len(rows) == 0:
                break
            given = rowwise(lambda part: part @ self._weight.T, x[on])
        return best

    def _one_sided(self, plain: Tensor, wanted: _Wanted, slack: Tensor) -> Tensor:
        """Return inputs for rows some of whose values are bounds: which of them hold is guessed until it is so.

        A little of the length of x counts too while guessing, so that a bound is broken by as much as it is needed, and
        one that is not needed is let go: block principal pivoting.
        """
        best, least = plain, self._misfit(plain, wanted)
        weight, goal, bound = self._weight, wanted.goal, wanted.half_line
        equal = (~wanted.nearest.isnan() & ~bound).double()
        if self._positive:
            eye = torch.eye(weight.shape[1]).to(weight)
            weight, goal = torch.cat([weight, -eye]), torch.cat([goal, torch.zeros_like(plain)], 1)
            bound = torch.cat([bound, torch.ones_like(plain, dtype=torch.bool)], 1)
            equal = torch.cat([equal, torch.zeros_like(plain)], 1)
        holds, rows = torch.zeros_like(bound), torch.arange(len(plain), device=plain.device)
        fewest, patience = torch.full_like(rows, bound.shape[1] + 1), torch.full_like(rows, _PATIENCE)
        for _ in range(_GUESSES):
            x = _least_squares(weight, equal[rows] + holds[rows], goal[rows], ridge=_RIDGE * self._size)
            wrong = (bound[rows] & (rowwise(lambda part: part @ weight.T, x) > goal[rows])) ^ holds[rows]
            count = wrong.sum(1)
            fewer = count < fewest[rows]
            patience[rows] = torch.where(fewer, _PATIENCE, patience[rows] - 1)
            fewest[rows] = torch.minimum(count, fewest[rows])
            # All at once, unless that goes round in circles: then the first alone, which can't.
            first = wrong & (wrong.cumsum(1) == 1)
            holds[rows] ^= torch.where((patience[rows] < 0)[:, None], first, wrong)
            settled = (count == 0).nonzero()[:, 0]
            done = rows[settled]
            if len(done):
                # With the right bounds, the equations alone.
                sharp = _least_squares(weight, equal[done] + holds[done], goal[done])
                for found in (x[settled], sharp):
                    misfit = self._misfit(found, wanted[done])
                    better = misfit < least[done]
                    best[done[better]], least[done[better]] = found[better], misfit[better]
            rows = rows[count > 0]
            if len(rows) == 0:
                break
        else:
            misfit = self._misfit(x[count > 0], wanted[rows])
            better = misfit < least[rows]
            best[rows[better]] = x[count > 0][better]
        # Rounding on the wrong side of zero is zero.
        return best.where((best < -1e-9) | (best > 0), 0.0) if self._positive else best

    def _chord(self, given: Tensor, wanted: _Wanted) -> Tensor:
        """Return the slope from what x gives to what is asked, where they are apart; zero where nothing is asked."""
        run = wanted.goal - given
        rise = wanted.nearest - self.activation(given + wanted.offset)
        apart = run.abs() > 1e-6 * (1 + wanted.goal.abs())
        slope = _slope(self.activation, wanted.goal + wanted.offset)
        chord = torch.where(apart, rise / torch.where(apart, run, 1.0), slope)
        return chord.nan_to_num(0.0).clamp(min=0.0)


@dataclass(frozen=True, eq=False)
class _Wanted:
    """What rows ask of a layer.

    Args:
        nearest: ``(rows, values)``: the nearest values that s can give, NaN where any will do.
        goal: ``(rows, values)``: the W x that gives them.
        offset: ``(rows, values)``: c.
        half_line: ``(rows, values)`` of bool: where anything below the goal will do too.
    """

    nearest: Tensor
    goal: Tensor
    offset: Tensor
    half_line: Tensor

    def __getitem__(self, rows: Tensor) -> _Wanted:
        return _Wanted(self.nearest[rows], self.goal[rows], self.offset[rows], self.half_line[rows])


def _least_squares(matrix: Tensor, weight: Tensor, goal: Tensor, *, ridge: float = 0.0) -> Tensor:
    """Return the shortest x that minimises |weight (M x - goal)|^2 + ridge^2 |x|^2, for each row.

    Args:
        matrix: M, ``(values, inputs)``, double precision.
        weight: ``(rows, values)``, not negative.
        goal: ``(rows, values)``.
        ridge: of the length.
    """
    inputs = matrix.shape[1]
    # Householder's reflections bear rows of very different size where the largest come first.
    order = weight.argsort(dim=1, descending=True, stable=True)
    weight, goal = weight.gather(1, order), goal.gather(1, order)
    system = torch.cat([weight[..., None] * matrix[order], (weight * goal)[..., None]], 2)
    if ridge:
        eye = torch.eye(inputs, inputs + 1).to(system)
        system = torch.cat([system, ridge * eye.expand(len(system), -1, -1)], 1)
    x = weight.new_zeros(len(weight), inputs)
    deficient = torch.ones_like(weight[:, 0], dtype=torch.bool)
    if system.shape[1] >= inputs:
        system = torch.linalg.qr(system, mode="r")[1]
        size = system.diagonal(dim1=1, dim2=2)[:, :inputs].abs()
        # Written so that what is not finite is deficient too.
        deficient = ~(size.amin(1) > _SHORT * size.amax(1))
        sound = (~deficient).nonzero()[:, 0]
        factor = system[sound][:, :inputs]
        x[sound] = torch.linalg.solve_triangular(factor[..., :inputs], factor[..., inputs:], upper=True)[..., 0]
    short = deficient.nonzero()[:, 0]
    if len(short):
        part = system[short]
        back = torch.linalg.pinv(part[..., :inputs], rtol=max(matrix.shape) * torch.finfo(part.dtype).eps)
        x[short] = (back @ part[..., inputs:])[..., 0]
    return x


def _slope(activation: nn.Module, at: Tensor) -> Tensor:
    """Return the slope of an activation of single values, in any mode of gradients."""
    with torch.inference_mode(False), torch.enable_grad():
        point = at.clone().requires_grad_()
        return torch.autograd.grad(activation(point).sum(), point)[0]
