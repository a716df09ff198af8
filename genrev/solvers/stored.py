"""Jacobians that are stored, and the damped least-squares problems that they make, solved by factors."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from genrev.solvers.metric import LowRank, Metric, restrict


class Solution(NamedTuple):
    """What minimises the damped problem of one guess at the active set.

    Args:
        wish: ``(rows, n)``: where the free values go, and where the held ones would go if they were let.
        level: ``(rows,)``: lambda.
        duals: ``(rows, m)`` in double precision: w = (J d + r) / lambda; none where there is no factor.
        factor: ``(rows, m, m)`` in double precision: the lower Cholesky factor of J metric J' + lambda over the free
            values, NaN where there is none; none where something else was factored, or nothing.
    """

    wish: Tensor
    level: Tensor
    duals: Tensor | None = None
    factor: Tensor | None = None


class Slopes(Protocol):
    """The Jacobians J of a batch of rows, as a step needs them: `Stored` ones, or their products alone."""

    metric: Metric

    @property
    def exact(self) -> bool:
        """Whether steps are solved for by a factor."""

    def forth(self, step: Tensor) -> Tensor:
        """Return J d for each row: ``(rows, n)`` to ``(rows, m)``."""

    def back(self, duals: Tensor) -> Tensor:
        """Return J'w for each row: ``(rows, m)`` to ``(rows, n)``."""

    def select(self, rows: Tensor) -> Slopes:
        """Return the Jacobians of some rows, which may overwrite those of an earlier choice."""

    def solve(
        self, residual: Tensor, free: Tensor, fixed: Tensor | None, damping: Tensor, level: Tensor | None
    ) -> Solution:
        """Minimise |J d + r|^2 + lambda d' metric^-1 d over the free values, the others fixed (at 0 if not given).

        Lambda is the damping times the mean squared slope of what may move at first; it must not change with the guess.
        """


class Stored:
    """Jacobians in memory.

    Args:
        slopes: ``(rows, m, n)``; a value of no slope does not move where the metric is a diagonal.
        metric: what a step costs.
        room: ``(2, rows or more, m, n)``: memory to work in, overwritten; its own if not given.
    """

    def __init__(self, slopes: Tensor, metric: Metric, room: Tensor | None = None) -> None:
        self.slopes, self.metric = slopes, metric
        self._room = slopes.new_empty(2, *slopes.shape) if room is None else room

    @property
    def exact(self) -> bool:
        """Whether steps are solved for by a factor: always."""
        return True

    def forth(self, step: Tensor) -> Tensor:
        """Return J d for each row: ``(rows, n)`` to ``(rows, m)``."""
        return (step[:, None] @ self.slopes.transpose(1, 2))[:, 0]

    def back(self, duals: Tensor) -> Tensor:
        """Return J'w for each row; as a row vector times a matrix, which batched products do several times faster."""
        return (duals[:, None] @ self.slopes)[:, 0]

    def select(self, rows: Tensor) -> Stored:
        """Return the Jacobians of some rows; they share one place in memory with those of any other choice."""
        part = torch.index_select(self.slopes, 0, rows, out=self._room[1, : len(rows)])
        return Stored(part, self.metric, self._room)

    def solve(
        self, residual: Tensor, free: Tensor, fixed: Tensor | None, damping: Tensor, level: Tensor | None
    ) -> Solution:
        """Solve the damped problem by the smaller one of its two systems."""
        slopes, room = self.slopes, self._room[0, : len(self.slopes)]
        _, m, n = slopes.shape
        if m > n:
            return self._solve_tall(residual, free, fixed, damping, level, room)
        held = restrict(self.metric, free, fixed)
        left = residual if held.at is None else residual + self.forth(held.at)
        gram = _products(held.weigh(slopes, room), slopes)
        level = damped_level(damping, gram, slopes, self.metric) if level is None else level
        duals, factor = solve_shifted(gram, left.double(), level)
        return Solution(held.wish(self.back(duals.to(slopes.dtype))), level, duals, factor)

    def _solve_tall(
        self,
        residual: Tensor,
        free: Tensor,
        fixed: Tensor | None,
        damping: Tensor,
        level: Tensor | None,
        room: Tensor,
    ) -> Solution:
        slopes, metric = self.slopes, self.metric
        left = residual if fixed is None else residual + self.forth(fixed)
        if isinstance(metric, LowRank):
            part = Stored(torch.mul(slopes, free[:, None], out=room), metric, self._room)
            gram = (part.slopes.transpose(1, 2) @ part.slopes).double()
            if level is None:
                level = damped_level(damping, _products(restrict(metric, free).weigh(slopes), slopes), slopes, metric)
            precision, ones = metric.precision.double(), free.double()
            inner = level[:, None, None] * ones[:, None] * precision * ones[:, :, None]
            right = part.back(left).double()
            if fixed is not None:
                right += level[:, None] * ones * (fixed.double() @ precision)
            held = (1 - ones) * level[:, None].clamp(min=torch.finfo(ones.dtype).tiny)
            answer, _ = solve_shifted(gram + inner + torch.diag_embed(held), right, 0 * level)
            step = -free * answer.to(slopes.dtype)
        else:
            # With d = sqrt(metric) e the metric is the identity, and held values drop out by a zero.
            root = free * metric.sqrt()
            scaled = torch.mul(slopes, root[:, None], out=room)
            gram = (scaled.transpose(1, 2) @ scaled).double()
            level = damped_level(damping, gram, slopes, metric) if level is None else level
            answer, _ = solve_shifted(gram, (left[:, None] @ scaled)[:, 0].double(), level)
            step = -root * answer.to(slopes.dtype)
        least = level[:, None].to(slopes.dtype).clamp(min=torch.finfo(slopes.dtype).tiny)
        wish = restrict(metric, free, fixed).wish(self.back(left + self.forth(step)) / least, step)
        return Solution(wish, level)


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


def damped_level(damping: Tensor, gram: Tensor, slopes: Tensor, metric: Metric) -> Tensor:
    """Return lambda: the damping times the mean squared slope of what may move; of all, where nothing may at first."""
    level = damping * gram.diagonal(dim1=1, dim2=2).sum(1) / slopes.shape[1]
    if bool((level > 0).all()):
        return level
    diagonal = metric.variance if isinstance(metric, LowRank) else metric
    return torch.where(level > 0, level, damping * (slopes.square() * diagonal).sum(2).mean(1))


def solve_shifted(gram: Tensor, right: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Solve (G + level I) w = right for symmetric G >= 0, zero for rows without any slope; return its factor, too.

    Args:
        gram: ``(rows, m, m)`` in double precision.
        right: ``(rows, m)`` in double precision.
        level: ``(rows,)``, not negative.
    """
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
